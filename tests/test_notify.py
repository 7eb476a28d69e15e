"""systemd hears what it needs to know, and nothing at all without it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgerun.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A socket like the service manager's, and what it would put into $NOTIFY_SOCKET."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(5)
        name = str(tmp_path / "notify") if request.param == "path" else f"@edgerun-test-{os.getpid()}"
        listener.bind(name.replace("@", "\0", 1) if name.startswith("@") else name)
        yield listener, name


def test_each_message_is_one_datagram(manager: tuple[socket.socket, str]) -> None:
    """In the words of sd_notify(3), by path and in the abstract namespace."""
    listener, name = manager
    notifier = Notifier({"NOTIFY_SOCKET": name})
    notifier.ready("2 cameras\nREADY=0")
    notifier.watchdog()
    notifier.stopping()
    notifier.extend(2.5)
    said = [listener.recv(4096).decode() for _ in range(4)]
    assert said == [
        "READY=1\nSTATUS=2 cameras READY=0",
        "WATCHDOG=1",
        "STOPPING=1",
        "EXTEND_TIMEOUT_USEC=2500000",
    ]


def test_a_reload_carries_its_time(manager: tuple[socket.socket, str]) -> None:
    """Type=notify-reload takes a RELOADING for real only with the monotonic time at which it began."""
    listener, name = manager
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    Notifier({"NOTIFY_SOCKET": name}).reloading()
    first, second = listener.recv(4096).decode().splitlines()
    assert first == "RELOADING=1"
    key, _, value = second.partition("=")
    assert key == "MONOTONIC_USEC"
    assert before <= int(value) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


@pytest.mark.parametrize("address", [None, "", "vsock:2:1234", "/nonexistent/notify", "@edgerun-nobody-listens"])
def test_without_a_listener_nothing_happens(address: str | None) -> None:
    """Started by hand, or with a manager that is gone, the daemon runs on."""
    notifier = Notifier({"NOTIFY_SOCKET": address} if address is not None else {})
    notifier.ready("x")
    notifier.watchdog()


def test_a_manager_that_does_not_read_is_not_waited_for(manager: tuple[socket.socket, str]) -> None:
    """More messages than the socket holds are dropped, not queued."""
    _, name = manager
    notifier = Notifier({"NOTIFY_SOCKET": name})
    for _ in range(5000):
        notifier.watchdog()
