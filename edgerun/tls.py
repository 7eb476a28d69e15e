"""Whom to trust on an encrypted connection."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

CERTIFICATE, KEY = b"CERTIFICATE-----", b"PRIVATE KEY-----"
"""What a line of a PEM file ends in, above what it is named after (RFC 7468)."""


def read_pem(path: Path, mark: bytes) -> bytes:
    """What a file holds. Raises ValueError that says in words why it is no PEM file with ``mark``."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from error
    if mark not in content:
        what = mark.strip(b"-").decode().lower()
        raise ValueError(f"{path} holds no {what} in PEM form (BEGIN ... {mark.decode()})")
    return content


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
