"""A camera's web server, kind or unkind, on loopback."""

from __future__ import annotations

import base64
import hashlib
import socket
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

Answer = Callable[[BaseHTTPRequestHandler], None]


class HttpCamera:
    """Serves ``answer`` to every GET; ``login`` is asked for by one of the ``schemes``, such as basic, digest, digest
    SHA-256 or digest MD5, stale=false."""

    def __init__(self, answer: Answer, *, login: tuple[str, str] | None = None, schemes: Sequence[str] = ()) -> None:
        self.requests = 0
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera.requests += 1
                if login and not any(camera._knows(self, login, scheme) for scheme in schemes):
                    self.send_response(401)
                    for kind, _, algorithm in (scheme.partition(" ") for scheme in schemes):
                        named = f", algorithm={algorithm}" if algorithm else ""
                        self.send_header("WWW-Authenticate", f'{kind.title()} realm="camera", nonce="n1"{named}')
                    self.end_headers()
                    return
                try:
                    answer(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.address = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.address}/video"

    @staticmethod
    def _knows(handler: BaseHTTPRequestHandler, login: tuple[str, str], scheme: str) -> bool:
        given = handler.headers.get("Authorization", "")
        if scheme == "basic":
            return given == "Basic " + base64.b64encode(":".join(login).encode()).decode()

        known = {"": hashlib.md5, "MD5": hashlib.md5, "SHA-256": hashlib.sha256}
        hashed = known.get(scheme.partition(" ")[2].partition(",")[0].upper())
        if hashed is None:
            return False

        def digest(text: str) -> str:
            return hashed(text.encode()).hexdigest()

        secret = digest(f"{login[0]}:camera:{login[1]}")
        return given.startswith("Digest") and digest(f"{secret}:n1:{digest(f'GET:{handler.path}')}") in given

    def __enter__(self) -> HttpCamera:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class SilentServer:
    """Accepts, may say a few words, then nothing, and keeps the connection open."""

    def __init__(self, words: bytes = b"") -> None:
        self._words = words
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            if self._words:
                connection.sendall(self._words)

    def __enter__(self) -> SilentServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            connection.close()
