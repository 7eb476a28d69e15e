"""An MQTT 5 broker that takes five messages at a time and not one more, and counts how many it was given."""

from __future__ import annotations

import contextlib
import socket
import threading

RECEIVE_MAXIMUM = 5


class StrictBroker:
    """Acknowledges only when its patience (20 ms without a packet) is over, so that a client fills its window.

    After taking the connection it reads nothing until ``reading`` is set. It refuses subscriptions to what has
    ``secret`` in its name. An ``older`` one knows 3.1.1 alone. It ends the connection over what is sent to a topic that
    ends with ``forbidden``, or asked to be heard there. While it ``hangs_up`` or ``hangs``, it says
    nothing to who comes.
    """

    def __init__(
        self, *, reading: bool = True, secret: str = "nothing", older: bool = False, forbidden: str = "nothing"
    ) -> None:
        self._older = older
        self._forbidden = forbidden.encode()
        self._secret = secret.encode()
        self.reading = threading.Event()
        if reading:
            self.reading.set()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.hangs = self.hangs_up = False
        self.most_unanswered = 0
        self.published: list[tuple[str, bytes]] = []
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError, EOFError):
                self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        _, hello = _packet(connection)
        if self.hangs_up:
            return
        if self.hangs:
            connection.recv(1)
            return
        if self._older:
            knows = hello[6] == 4
            connection.sendall(bytes([0x20, 2, 0, not knows]))
            if not knows:
                return
        else:
            connection.sendall(bytes([0x20, 6, 0, 0, 3, 0x21, 0, RECEIVE_MAXIMUM]))
        self.reading.wait()
        unanswered: list[bytes] = []
        connection.settimeout(0.02)
        while True:
            try:
                kind, body = _packet(connection)
            except TimeoutError:
                for mid in unanswered:
                    connection.sendall(b"\x40\x02" + mid)
                unanswered.clear()
                continue
            if kind >> 4 == 8 and body[:-1].endswith(self._forbidden):
                return
            if kind >> 4 == 3:
                size = int.from_bytes(body[:2], "big")
                if body[: 2 + size].endswith(self._forbidden):
                    return
                self.published.append((body[2 : 2 + size].decode(), body[2 + size :]))
                if kind & 6:
                    unanswered.append(body[2 + size : 4 + size])
                    self.most_unanswered = max(self.most_unanswered, len(unanswered))
            elif kind >> 4 == 8:
                verdict = b"\x87" if self._secret in body else b"\x01"
                head = b"\x90\x03" + body[:2] if self._older else b"\x90\x04" + body[:2] + b"\x00"
                connection.sendall(head + verdict)
            elif kind >> 4 == 12:
                connection.sendall(b"\xd0\x00")


def _packet(connection: socket.socket) -> tuple[int, bytes]:
    """The first byte and the rest; a timeout only between packets."""
    kind = connection.recv(1)
    if not kind:
        raise EOFError
    size, shift = 0, 0
    while True:
        byte = _exactly(connection, 1)[0]
        size |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return kind[0], _exactly(connection, size)


def _exactly(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        with contextlib.suppress(TimeoutError):
            part = connection.recv(size - len(found))
            if not part:
                raise EOFError
            found += part
    return found
