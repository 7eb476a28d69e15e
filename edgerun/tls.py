"""Whom to trust on an encrypted connection."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl


def trusting(ca: str | Path | None = None, *, insecure: bool = False) -> ssl.SSLContext:
    """Trusts the certificates of a file, or those of the system; ``insecure``: any. Raises OSError (also ssl.SSLError).

    Without the rules of RFC 5280 that Python asks for since 3.13: the certificates that people make for their own
    brokers and cameras seldom keep them, and no other client minds.
    """
    import ssl

    context = ssl.create_default_context(cafile=ca or None)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
