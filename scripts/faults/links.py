"""Row 6: the way to the broker is cut, or the broker holds still."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator

from faults.proxy import Proxy
from faults.row import Outcome, Row, Terms
from faults.sender import Sender
from tests.daemon_process import wait_for
from tests.servers.mosquitto import Mosquitto, free_port
from tests.subscriber import Subscriber

_SPACE, _HERE, _THERE = "edgerun-faults", "10.213.7.1", "10.213.7.2"
_PER_SECOND = 20.0


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextlib.contextmanager
def _namespace() -> Iterator[Callable[[str], None]]:
    """A network namespace with one link to it; ``up`` and ``down`` set that."""
    with contextlib.suppress(subprocess.CalledProcessError):
        _ip("netns", "del", _SPACE)
    _ip("netns", "add", _SPACE)
    try:
        _ip("link", "add", "edgerun0", "type", "veth", "peer", "name", "edgerun1")
        _ip("link", "set", "edgerun1", "netns", _SPACE)
        _ip("addr", "add", f"{_HERE}/24", "dev", "edgerun0")
        _ip("-n", _SPACE, "addr", "add", f"{_THERE}/24", "dev", "edgerun1")
        _ip("-n", _SPACE, "link", "set", "edgerun1", "up")
        _ip("link", "set", "edgerun0", "up")
        yield lambda state: _ip("link", "set", "edgerun0", state)
    finally:
        _ip("netns", "del", _SPACE)


def _cut(sender: Sender, away_s: float, cut: Callable[[], None], heal: Callable[[], None]) -> tuple[float, float]:
    """Seconds until the cut was noticed, and until all was delivered after it healed."""
    wait_for(lambda: sender.counts.get("delivered", 0) > 20, 20, "alerts are delivered")
    began = time.monotonic()
    cut()
    wait_for(lambda: not sender.counts["connected"], 60, "the cut is noticed")
    noticed_s = time.monotonic() - began
    time.sleep(max(0.0, away_s - noticed_s))
    heal()
    healed = time.monotonic()
    behind = sender.counts["accepted"]
    wait_for(lambda: sender.counts["delivered"] >= behind, 60, "all is delivered")
    return noticed_s, time.monotonic() - healed


def _play(terms: Terms) -> Outcome:
    away_s = terms.times(60, 15)
    found: dict[str, tuple[float, float]] = {}
    if os.geteuid() == 0:
        port = free_port()
        settings = f"allow_anonymous true\nlistener {port} {_HERE}"
        with (
            _namespace() as link,
            Mosquitto(terms.folder / "far", settings=settings) as broker,
            Subscriber(broker.port, topic="edgerun/+/+/alerts"),
            Sender(terms.folder / "a", port, around=("ip", "netns", "exec", _SPACE)) as sender,
        ):
            sender.start(_PER_SECOND, 10**9, "--host", _HERE)
            found["link down"] = _cut(sender, away_s, lambda: link("down"), lambda: link("up"))
    with (
        Mosquitto(terms.folder / "broker") as broker,
        Subscriber(broker.port, topic="edgerun/+/+/alerts", session_s=0),
    ):
        with Proxy(broker.port) as proxy, Sender(terms.folder / "b", proxy.port) as sender:
            sender.start(_PER_SECOND)
            found["stalled way"] = _cut(sender, away_s, lambda: proxy.let("stall"), lambda: proxy.let("pass"))
        with Sender(terms.folder / "c", broker.port) as sender:
            sender.start(_PER_SECOND)
            found["stopped broker"] = _cut(sender, away_s, broker.freeze, broker.thaw)
    figure = "; ".join(
        f"{what}: noticed after {noticed:.1f} s, drained {drained:.1f} s after"
        for what, (noticed, drained) in found.items()
    )
    if "link down" not in found:
        figure += "; link down: not played, it needs root"
    limits = {"link down": 8.0, "stalled way": 12.0, "stopped broker": 12.0}
    passed = all(noticed <= limits[what] and drained <= 10 for what, (noticed, drained) in found.items())
    return Outcome(figure, passed)


ROWS = [Row(6, "a cut link, a stalled way, a stopped broker", "noticed <= 8 s, <= 12 s; drained <= 10 s after", _play)]
