"""Whom to trust on an encrypted connection."""

from __future__ import annotations

import ssl
from pathlib import Path


def trusting(ca: str | Path | None = None) -> ssl.SSLContext:
    """Trusts the certificates of a file, or those of the system. Raises OSError (also ssl.SSLError).

    Without the rules of RFC 5280 that Python asks for since 3.13: the certificates that people make for their own
    brokers and cameras seldom keep them, and no other client minds.
    """
    context = ssl.create_default_context(cafile=ca or None)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
