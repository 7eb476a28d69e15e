"""The page for Prometheus over HTTP: only GET, no effect on anything, a token where set, no names but its own."""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import logging
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

from edgerun.config.upkeep import MetricsOptions
from edgerun.runtime.health.figures import figures
from edgerun.runtime.health.report import Report
from edgerun.runtime.meters import Meters

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

log = logging.getLogger(__name__)

_TIMEOUT_S = 2.0


class MetricsServer(HTTPServer):
    """One request at a time: a scraper comes every few seconds, and nobody can make it start a thread for each."""

    def __init__(self, options: MetricsOptions, page: Callable[[], bytes]) -> None:
        """Raises OSError when it cannot listen there."""
        if ":" in options.host:
            self.address_family = socket.AF_INET6
        self.token = options.token.value
        self.names = {"localhost", options.host.lower(), socket.gethostname().lower()}
        self.page = page
        super().__init__((options.host, options.port), _Handler)

    def server_bind(self) -> None:
        """Without asking the name service what this address is called, which may take long."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """A request's time is limited as a whole: who drips it byte by byte holds up neither others nor a reload."""
        limit = threading.Timer(_TIMEOUT_S, _cut, [request])
        limit.daemon = True
        limit.start()
        try:
            super().finish_request(request, client_address)
        finally:
            limit.cancel()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is nobody's concern, a page that cannot be made is."""
        if isinstance(sys.exc_info()[1], OSError):
            log.debug("a client of the metrics at %s went away", client_address, exc_info=True)
        else:
            log.exception("the page of metrics could not be made")


class _Handler(BaseHTTPRequestHandler):
    server: MetricsServer
    server_version = "edgerun"
    sys_version = ""

    def do_GET(self) -> None:
        """The page, if everything about the request is right."""
        if not is_ours(self.headers.get("Host", ""), self.server.names):
            self.send_error(421, "This is not the host you asked for")
        elif not self._is_allowed():
            self.send_error(401, "Send `Authorization: Bearer TOKEN`")
        elif self.path != "/metrics":
            self.send_error(404, "There is only /metrics")
        else:
            page = self.server.page()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

    def _is_allowed(self) -> bool:
        wanted = f"Bearer {self.server.token}".encode()
        given = self.headers.get("Authorization", "").encode("latin-1", "replace")  # the bytes that were sent
        return not self.server.token or hmac.compare_digest(given, wanted)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged: whoever asks must not fill the journal."""


def _cut(connection: socket.socket) -> None:
    """Whoever reads from it or writes to it is woken."""
    with contextlib.suppress(OSError):  # it is over already
        connection.shutdown(socket.SHUT_RDWR)


def is_ours(host: str, names: set[str]) -> bool:
    """Whether a Host header is an address, which no web page of somebody else can make a browser send here by a name
    of its own (DNS rebinding), or a name of this machine."""
    before, _, port = host.rpartition(":")
    name = before if port.isdecimal() else host
    name = name.strip("[]").lower()
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in names or name.removesuffix(".local") in names
    return True


def page_writer(latest: Callable[[], Report], meters: Meters) -> Callable[[], bytes]:
    """Writes the page anew each time. Raises ImportError."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.registry import Collector

    class Figures(Collector):
        def collect(self) -> Iterator[Metric]:
            return figures(latest(), meters)

        def describe(self) -> list[Metric]:
            return []

    registry = CollectorRegistry()
    registry.register(Figures())
    return lambda: generate_latest(registry)
