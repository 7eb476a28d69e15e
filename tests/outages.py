"""Two cameras, a broker, and everything failing in turn: what a device goes through in a bad year, in a minute."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.daemon_process import CLIP, DaemonProcess, wait_for
from tests.servers import RtspServer
from tests.servers.mosquitto import Mosquitto
from tests.subscriber import Subscriber

_ACCEPTED = re.compile(r"accepted (\S+) (\d+)$")


def camera(source: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A camera whose rules have plenty to say of the bundled clip."""
    return {
        "source": dict(source),
        "fps": 5,
        "zones": {"path": {"polygon": [[0, 0.45], [1, 0.35], [1, 0.75], [0, 0.85]]}},
        "lines": {"crossing": {"from": [0.5, 0.15], "to": [0.5, 1]}},
        "rules": [
            {"name": "visitor", "when": "enter", "zone": "path", "labels": ["person"]},
            {"name": "passer-by", "when": "cross", "line": "crossing", "labels": ["person"]},
        ],
        **more,
    }


def clip(**more: Any) -> dict[str, Any]:
    """The bundled clip as a camera's source, without end."""
    return {"type": "file", "path": str(CLIP), "loop": True, **more}


def two_cameras(port: int, rtsp_url: str) -> dict[str, Any]:
    return {
        "device": "yard-pi",
        "mqtt": {"host": "127.0.0.1", "port": port},
        "log": {"level": "debug"},
        "model": {"workers": 1},
        "cameras": {"file": camera(clip()), "rtsp": camera({"type": "rtsp", "url": rtsp_url})},
    }


def accepted(log: str) -> set[tuple[str, int]]:
    """Camera and seq of every alert whose commit returned, as the daemon's debug log tells."""
    found = (_ACCEPTED.search(line) for line in log.splitlines())
    return {(match[1], int(match[2])) for match in found if match}


@dataclass(frozen=True)
class Durations:
    """How long the broker and the RTSP server are away, and how long all is well in between."""

    broker_s: float
    rtsp_s: float
    calm_s: float


@dataclass
class Tale:
    """What came of it: seconds that each recovery took, and the alerts by what is known of them."""

    recovered_s: dict[str, float] = field(default_factory=dict)
    accepted: set[tuple[str, int]] = field(default_factory=set)
    received: dict[str, list[int]] = field(default_factory=dict)
    repeats: int = 0
    camera_states: list[str] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)
    engine_reason: str = ""
    """What the state said of the killed engine."""
    messages: list[tuple[str, bytes]] = field(default_factory=list)
    log: str = ""

    @property
    def missing(self) -> set[tuple[str, int]]:
        """Accepted, and never received."""
        return self.accepted - {(name, seq) for name, seqs in self.received.items() for seq in seqs}

    @property
    def holes(self) -> dict[str, list[int]]:
        """Seqs below the highest received that never came, by camera."""
        gaps = {name: sorted({*range(1, max(seqs) + 1)} - {*seqs}) for name, seqs in self.received.items()}
        return {name: gone for name, gone in gaps.items() if gone}

    @property
    def disordered(self) -> list[str]:
        """Cameras whose first deliveries did not come in the order of their seqs."""
        return [name for name, seqs in self.received.items() if seqs != sorted(seqs)]


class Outages:
    """The play and its actors."""

    def __init__(self, folder: Path, durations: Durations, say: Callable[[str], None] = lambda text: None) -> None:
        self._folder = folder
        self._durations = durations
        self._say = say
        self._tale = Tale()

    def run(self) -> Tale:
        """Start everything, let each part fail and come back, stop everything."""
        with (
            Mosquitto(self._folder / "broker", persistent=True) as broker,
            RtspServer(CLIP) as rtsp,
            Subscriber(broker.port) as subscriber,
            DaemonProcess(self._folder / "daemon", two_cameras(broker.port, rtsp.url)) as daemon,
        ):
            self._subscriber, self._daemon = subscriber, daemon
            try:
                self._play(broker, rtsp)
            except AssertionError as error:
                raise AssertionError(f"{error}\n{daemon.log()}") from error
        return self._tale

    def _play(self, broker: Mosquitto, rtsp: RtspServer) -> None:
        self._daemon.ready()
        self._both_alert("the start")
        self._broker_outage(broker)
        self._engine_death()
        self._rtsp_outage(rtsp)
        self._daemon_death()
        self._end()

    def _both_alert(self, what: str, since: float | None = None) -> None:
        """Wait until both cameras are ok and alert; note how long that took."""
        since = since or time.monotonic()
        for name in ("file", "rtsp"):
            self._subscriber.wait(f"/{name}/detections", 30, since)
            self._subscriber.wait(f"/{name}/alerts", 60, since)
        self._say(f"both cameras alert after {what}")
        time.sleep(self._durations.calm_s)

    def _recovered(self, what: str, since: float, at: float) -> None:
        self._tale.recovered_s[what] = at - since
        self._say(f"{what}: recovered after {at - since:.1f} s")

    def _broker_outage(self, broker: Mosquitto) -> None:
        self._say(f"the broker is down for {self._durations.broker_s:g} s")
        broker.stop()
        time.sleep(self._durations.broker_s)
        assert not self._daemon.health()["delivery"]["connected"]
        broker.start()
        back = time.monotonic()
        self._recovered("broker outage", back, self._subscriber.wait("/detections", 20, back).at)
        self._both_alert("the broker's outage", back)

    def _engine_death(self) -> None:
        engine = self._daemon.engine()
        self._say("kill -9 of the engine's process")
        killed = time.monotonic()
        os.kill(engine, signal.SIGKILL)
        wait_for(lambda: self._daemon.engines() not in ([engine], []), 20, "a new engine process")
        state = wait_for(lambda: self._state_with_restart(killed), 20, "the restart in the state")
        self._tale.engine_reason = state["workers"][0]["last_reason"]
        self._recovered("engine death", killed, self._subscriber.wait("/detections", 20, time.monotonic()).at)
        self._both_alert("the engine's death")

    def _state_with_restart(self, since: float) -> Any:
        states = [found.json for found in self._subscriber.on("yard-pi/state", since)]
        return next((state for state in states if state["workers"][0]["restarts"]), None)

    def _rtsp_outage(self, rtsp: RtspServer) -> None:
        self._say(f"the RTSP server is down for {self._durations.rtsp_s:g} s")
        stopped = time.monotonic()
        rtsp.stop()
        self._subscriber.wait("/rtsp/state", 10, stopped, state="offline")
        time.sleep(max(0.0, self._durations.rtsp_s - (time.monotonic() - stopped)))
        rtsp.start()
        back = time.monotonic()
        self._recovered("RTSP outage", back, self._subscriber.wait("/rtsp/state", 45, back, state="ok").at)
        self._both_alert("the RTSP server's outage", back)

    def _daemon_death(self) -> None:
        self._say("kill -9 of the daemon")
        killed = time.monotonic()
        self._daemon.kill()
        wait_for(lambda: self._subscriber.on("/status", killed), 5, "the last will")
        self._daemon.ready()
        self._recovered("daemon death", killed, self._subscriber.wait("/detections", 20, killed).at)
        self._both_alert("the daemon's death")

    def _end(self) -> None:
        assert self._daemon.stop() == 0, self._daemon.log()
        tale, subscriber = self._tale, self._subscriber
        tale.log = self._daemon.log()
        tale.accepted = accepted(tale.log)
        last = {name: max(seq for camera, seq in tale.accepted if camera == name) for name in ("file", "rtsp")}
        wait_for(lambda: all(last[n] in subscriber.by_camera().get(n, []) for n in last), 10, "the last alerts")
        wait_for(lambda: subscriber.statuses()[-1] == "offline", 5, "offline at the end")
        tale.received = subscriber.by_camera()
        tale.repeats = len(subscriber.all_alerts()) - len(subscriber.alerts())
        tale.camera_states = subscriber.states("rtsp")
        tale.statuses = subscriber.statuses()
        tale.messages = [(found.topic, found.payload) for found in subscriber.arrivals]
