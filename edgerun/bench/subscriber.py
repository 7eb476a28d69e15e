"""The smallest MQTT 3.1.1 subscriber there is: it notes when each message arrived, and looks into none meanwhile.

A client library would add its own tenth of a millisecond to every figure. (OASIS MQTT 3.1.1, sections 2 and 3.)
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from datetime import datetime, timezone
from typing import Any

from edgerun.records import dataclass

_CONNECT = b"\x10\x15\x00\x04MQTT\x04\x02\x00\x00\x00\x09edgebench"
_PUBLISH = 3
_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message, and the Unix time at which it came."""

    at: float
    topic: str
    payload: bytes

    @property
    def told(self) -> dict[str, Any]:
        """The payload, of JSON."""
        told: dict[str, Any] = json.loads(self.payload)
        return told


class Subscriber:
    """Subscribes to ``topics`` at QoS 0 and collects until closed."""

    def __init__(self, port: int, topics: str) -> None:
        self._arrivals: list[Arrival] = []
        self._changed = threading.Condition()
        self._socket = _reach(port)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(_CONNECT)
        wanted = topics.encode()
        body = b"\x00\x01" + len(wanted).to_bytes(2, "big") + wanted + b"\x00"
        self._socket.sendall(b"\x82" + bytes([len(body)]) + body)
        threading.Thread(target=self._run, name="subscriber", daemon=True).start()

    def __len__(self) -> int:
        return len(self._arrivals)

    def wait_for(self, count: int, timeout_s: float = _PATIENCE_S) -> None:
        """Until ``count`` messages have come in all. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._arrivals) >= count, timeout_s):
                raise TimeoutError(f"{len(self._arrivals)} of {count} messages came within {timeout_s:g} s")

    def since(self, count: int) -> list[Arrival]:
        """What came after the first ``count`` messages."""
        return self._arrivals[count:]

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _run(self) -> None:
        buffer = b""
        while True:
            try:
                part = self._socket.recv(65536)
            except OSError:
                return
            at = time.time()
            if not part:
                return
            buffer += part
            while (packet := _packet(buffer)) is not None:
                kind, body, size = packet
                buffer = buffer[size:]
                if kind == _PUBLISH:
                    length = int.from_bytes(body[:2], "big")
                    with self._changed:
                        self._arrivals.append(Arrival(at, body[2 : 2 + length].decode(), body[2 + length :]))
                        self._changed.notify_all()


def _reach(port: int) -> socket.socket:
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except OSError:  # noqa: PERF203  a wait, not work
            if time.monotonic() > until:
                raise
            time.sleep(0.02)


def _packet(buffer: bytes) -> tuple[int, bytes, int] | None:
    """Kind, body and whole size of the first packet; None while it is not all there."""
    size = shift = 0
    for used, byte in enumerate(buffer[1:5], 2):
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            whole = used + size
            return (buffer[0] >> 4, buffer[used:whole], whole) if len(buffer) >= whole else None
    return None


def unix(iso: str) -> float:
    """Seconds since the epoch of ``2026-11-22T06:18:00.123456Z``."""
    return datetime.fromisoformat(iso.rstrip("Z")).replace(tzinfo=timezone.utc).timestamp()
