"""A real HTTPS server on loopback with a certificate of its own, which can break off, refuse ranges and redirect."""

from __future__ import annotations

import re
import ssl
import subprocess
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class Behaviour:
    """What the server gives: ``body`` at any path; ``breaks`` are byte counts after which it hangs up."""

    body: bytes = b""
    breaks: list[int] = field(default_factory=list)
    ranges: bool = True
    redirect: str = ""
    status: int = 200
    asked: list[str] = field(default_factory=list)
    """The Range header of each request."""


class _Server(ThreadingHTTPServer):
    behaviour = Behaviour()

    def handle_error(self, request: Any, client_address: Any) -> None: ...  # a client that hangs up is no news


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, _Server)
        _answer(self, self.server.behaviour)

    def log_message(self, format: str, *args: Any) -> None: ...


class HttpsServer:
    """Serves while it is entered; ``url`` is its address, ``certificate`` what a client has to trust."""

    def __init__(self, folder: Path) -> None:
        self.certificate, key = folder / "cert.pem", folder / "key.pem"
        make = (
            "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
        )
        subprocess.run([*make.split(), "-keyout", key, "-out", self.certificate], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://localhost:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def behaviour(self) -> Behaviour:
        return self._server.behaviour

    @behaviour.setter
    def behaviour(self, wanted: Behaviour) -> None:
        self._server.behaviour = wanted

    def __enter__(self) -> HttpsServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _answer(request: BaseHTTPRequestHandler, behaviour: Behaviour) -> None:
    wanted = request.headers.get("Range", "")
    behaviour.asked.append(wanted)
    if behaviour.redirect:
        request.send_response(302)
        request.send_header("Location", behaviour.redirect)
        request.end_headers()
        return
    start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and behaviour.ranges else 0  # type: ignore[index]  # it matches
    rest = behaviour.body[start:]
    request.send_response(206 if start else behaviour.status)
    request.send_header("Content-Length", str(len(rest)))
    request.end_headers()
    if behaviour.breaks:
        request.wfile.write(rest[: behaviour.breaks.pop(0)])
        request.wfile.flush()
        request.connection.close()
        return
    request.wfile.write(rest)
