"""Telling systemd how things stand: sd_notify(3) datagrams. Without ``$NOTIFY_SOCKET`` nothing is sent."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping


class Notifier:
    """One line to the service manager. Every method may be called from any thread, and none fails or waits: a
    manager that does not listen is no reason to stop."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) if self._address else None
        if self._socket is not None:
            self._socket.setblocking(False)

    def ready(self, status: str = "") -> None:
        """Started, or reloaded: what depends on the daemon may start."""
        self._send("READY=1", *_status(status))

    def watchdog(self) -> None:
        """All internal loops advance."""
        self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """A reload began; ``ready`` ends it. The time is what ``Type=notify-reload`` asks for."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """The shutdown began."""
        self._send("STOPPING=1")

    def extend(self, seconds: float) -> None:
        """Start or stop takes at least this much longer."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def _send(self, *lines: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except OSError:  # a full or vanished socket: the next message may get through, and waiting would be worse
            return


def _address(path: str) -> str:
    """Of ``$NOTIFY_SOCKET``: a path, or ``@name`` in the abstract namespace; all else (vsock) is not for us."""
    if path.startswith("@"):
        return "\0" + path[1:]
    return path if path.startswith("/") else ""


def _status(text: str) -> tuple[str, ...]:
    return (f"STATUS={' '.join(text.split())}",) if text else ()
