"""A camera's web server, kind or unkind, on loopback."""

from __future__ import annotations

import base64
import hashlib
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

Answer = Callable[[BaseHTTPRequestHandler], None]


class HttpCamera:
    """Serves ``answer`` to every GET; ``login`` is asked for by the ``scheme``, such as basic or digest."""

    def __init__(self, answer: Answer, *, login: tuple[str, str] | None = None, scheme: str = "basic") -> None:
        self.requests = 0
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera.requests += 1
                if login and not camera._knows(self, login, scheme):
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", f'{scheme.title()} realm="camera", nonce="n1"')
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

        def md5(text: str) -> str:
            return hashlib.md5(text.encode()).hexdigest()

        secret = md5(f"{login[0]}:camera:{login[1]}")
        return given.startswith("Digest") and md5(f"{secret}:n1:{md5(f'GET:{handler.path}')}") in given

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
