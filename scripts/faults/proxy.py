"""A TCP proxy in front of a broker: it passes, stalls, resets or refuses, and counts what is unacknowledged."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
import time
from collections.abc import Iterator
from types import TracebackType

_PUBLISH, _PUBACK = 3, 4


class _Direction:
    """One way of a connection. Cuts the stream into MQTT packets as it goes by."""

    def __init__(self, to: socket.socket) -> None:
        self.to = to
        self._rest = b""

    def packets(self, chunk: bytes) -> Iterator[tuple[int, int]]:
        """Type and flags of each whole packet."""
        self._rest += chunk
        while (length := _whole(self._rest)) and length <= len(self._rest):
            yield self._rest[0] >> 4, self._rest[0] & 15
            self._rest = self._rest[length:]


def _whole(data: bytes) -> int:
    """Length of the packet that begins here; 0 while its header is not whole."""
    length, shift = 0, 0
    for at, byte in enumerate(data[1:5], 2):
        length |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return at + length
    return 0


class Proxy:
    """Listens at ``port``. ``most_unacknowledged`` is the largest number of QoS 1 messages of a client that were on
    their way at one time; ``sent`` and ``acknowledged`` count them."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._selector = selectors.DefaultSelector()
        self._ways: dict[socket.socket, _Direction] = {}
        self._clients: set[socket.socket] = set()
        self._flying: dict[socket.socket, int] = {}
        self.most_unacknowledged = self.sent = self.acknowledged = 0
        self.connections = 0
        self._mode = "pass"
        self._closed = False
        self._selector.register(self._listener, selectors.EVENT_READ)
        threading.Thread(target=self._run, daemon=True).start()

    def let(self, mode: str) -> None:
        """``pass``; ``stall``: connections stay, nothing passes; ``refuse``: new ones are closed at once."""
        self._mode = mode

    def reset(self) -> None:
        """Every connection ends with a TCP reset."""
        for sock in list(self._ways):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._drop(sock)

    def _run(self) -> None:
        while not self._closed:
            if self._mode == "stall":
                time.sleep(0.02)
                continue
            for key, _ in self._selector.select(0.05):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                if sock is self._listener:
                    self._accept()
                elif sock in self._ways:
                    self._pass(sock)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            if self._mode == "refuse":
                raise ConnectionRefusedError
            upstream = socket.create_connection(("127.0.0.1", self._upstream), 2)
        except OSError:
            client.close()
            return
        self.connections += 1
        self._flying[client] = 0
        self._clients.add(client)
        self._ways[client], self._ways[upstream] = _Direction(upstream), _Direction(client)
        for sock in (client, upstream):
            self._selector.register(sock, selectors.EVENT_READ)

    def _pass(self, sock: socket.socket) -> None:
        way = self._ways[sock]
        try:
            chunk = sock.recv(65536)
            if chunk:
                way.to.sendall(chunk)
        except OSError:
            chunk = b""
        if not chunk:
            self._drop(sock)
            return
        for kind, flags in way.packets(chunk):
            if sock in self._clients and kind == _PUBLISH and flags & 6 == 2:
                self.sent += 1
                self._flying[sock] += 1
                self.most_unacknowledged = max(self.most_unacknowledged, self._flying[sock])
            elif kind == _PUBACK and way.to in self._clients:
                self.acknowledged += 1
                self._flying[way.to] -= 1

    def _drop(self, sock: socket.socket) -> None:
        way = self._ways.pop(sock, None)
        if way is None:
            return
        self._ways.pop(way.to, None)
        for end in (sock, way.to):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(end)
            self._clients.discard(end)
            self._flying.pop(end, None)
            end.close()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        self._listener.close()
        self.reset()
