"""Whom to connect to, and how the socket and its encryption are set up."""

from __future__ import annotations

import socket
from dataclasses import field
from typing import TYPE_CHECKING

from edgerun.errors import SinkError
from edgerun.folders import expanded
from edgerun.records import dataclass
from edgerun.tls import CERTIFICATE, KEY, read_pem, trusting
from edgerun.types import Message

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

_DEAD_LINK_MS = 5000
_PROBE_S = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsOptions:
    """How the connection to the broker is encrypted."""

    ca: str = ""
    """File with the certificates that are trusted. Default: those of the system."""
    cert: str = ""
    """File with this device's own certificate, for brokers that ask for one."""
    key: str = ""
    """File with the key of `cert`."""
    insecure: bool = False
    """Trust any certificate. Whoever stands between can then read and change everything."""

    def __post_init__(self) -> None:
        if bool(self.cert) != bool(self.key):
            raise ValueError("needs both cert and key, or neither")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Whom to connect to, and as whom."""

    host: str
    port: int
    client_id: str
    username: str
    password: str = field(repr=False)
    tls: TlsOptions | None
    v5: bool
    keepalive_s: int
    will: Message | None
    subscriptions: tuple[str, ...]
    as_published: tuple[str, ...]
    """Subscriptions, too: what is published there to be retained says so at once (MQTT 5), not only to who comes
    later."""
    requests_only: bool
    """What comes that is larger than a request need not be heard."""
    met: bool = False
    """It has taken a connection before: it is there, and speaks what it is spoken to in."""


def tls_context(options: TlsOptions) -> ssl.SSLContext:
    """Raises SinkError that names the file which is not there or not what it should be."""
    import ssl

    ca, cert, key = (expanded(file) if file else None for file in (options.ca, options.cert, options.key))
    _read("ca", ca, CERTIFICATE)
    _read("cert", cert, CERTIFICATE)
    if b"ENCRYPTED" in _read("key", key, KEY):  # OpenSSL would ask for it at the terminal, where there is one
        raise SinkError(f"`mqtt.tls.key`: {key} is locked with a password: openssl pkey -in {key} takes it off")
    try:
        context = trusting(ca, insecure=options.insecure)
    except ssl.SSLError as error:
        raise SinkError(f"`mqtt.tls.ca`: {ca} cannot be used ({error.reason or error})") from error
    try:
        if cert is not None:
            context.load_cert_chain(cert, key)
    except ssl.SSLError as error:
        raise SinkError(f"`mqtt.tls.cert` and `key`: {cert} and {key} are no pair ({error.reason or error})") from error
    return context


def _read(name: str, path: Path | None, mark: bytes) -> bytes:
    """What a file of the options holds; empty without one. Raises SinkError where it does not hold ``mark``."""
    try:
        return read_pem(path, mark) if path else b""
    except ValueError as error:
        raise SinkError(f"`mqtt.tls.{name}`: {error}") from error


def tune(sock: socket.socket) -> None:
    """Small packets at once, and a dead link found in seconds: after ``_DEAD_LINK_MS`` without an answer to data,
    and when there is none to send, to the kernel's probes."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_LINK_MS)
