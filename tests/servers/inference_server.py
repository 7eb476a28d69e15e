"""A server of the Open Inference Protocol over HTTP with the binary tensor extension, in a thread of the test.

Its one model, ``largest``, answers with the largest value of each channel of a picture ``[1, 3, 6, 8]``.
"""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

MODEL = {
    "name": "largest",
    "inputs": [{"name": "picture", "datatype": "FP32", "shape": [-1, 3, -1, -1]}],
    "outputs": [{"name": "top", "datatype": "FP32", "shape": [-1, 3]}],
}
_LENGTH = "Inference-Header-Content-Length"


class _OverIPv6(ThreadingHTTPServer):
    address_family = socket.AF_INET6


class InferenceServer:
    """``mood`` is how it answers inferences: ``well``, ``late`` (after the test releases it), ``garbled``, ``busy``."""

    def __init__(self, port: int = 0, host: str = "127.0.0.1") -> None:
        self.mood = "well"
        self.tokens: list[str | None] = []
        self.release = threading.Event()
        self._http = (_OverIPv6 if ":" in host else ThreadingHTTPServer)((host, port), self._handler())
        self.port = int(self._http.server_address[1])
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self.release.set()
        self._http.shutdown()
        self._http.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.tokens.append(self.headers.get("authorization"))
                about = {"/v2": {"name": "test", "extensions": ["binary_tensor_data"]}, "/v2/models/largest": MODEL}
                if self.path == "/v2/models/largest/ready":
                    self._answer(200, b"")
                elif self.path in about:
                    self._answer(200, json.dumps(about[self.path]).encode())
                else:
                    self._answer(404, b'{"error": "not found"}')

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if server.mood == "late":
                    server.release.wait(10)
                if server.mood == "busy":
                    self._answer(503, b'{"error": "queue is full"}')
                elif server.mood == "garbled":
                    self._answer(200, b"\0nonsense")
                else:
                    self._infer(body, int(self.headers[_LENGTH]))

            def _infer(self, body: bytes, split: int) -> None:
                asked: dict[str, Any] = json.loads(body[:split])
                shape = asked["inputs"][0]["shape"]
                picture = np.frombuffer(body[split:], np.float32).reshape(shape)
                raw = picture.max(axis=(2, 3)).tobytes()
                output: dict[str, Any] = {"name": "top", "datatype": "FP32", "shape": [1, 3]}
                output["parameters"] = {"binary_data_size": len(raw)}
                head = json.dumps({"model_name": "largest", "outputs": [output]}).encode()
                self._answer(200, head + raw, {_LENGTH: str(len(head))})

            def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
                self.send_response(status)
                for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        return Handler
