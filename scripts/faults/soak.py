"""Row 18: four cameras of 10 fps for as long as asked ($SOAK_H hours, 8 by default; several shorter runs are as good
for all but what takes longer to show)."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import av
import numpy as np

from edgerun.runtime.health.memory import rss_mb
from faults.row import Outcome, Row, Terms
from tests.daemon_process import CLIP, DaemonProcess
from tests.outages import camera, clip
from tests.servers.mosquitto import Mosquitto
from tests.subscriber import Subscriber

_PARTS = 8
_WINDOWS = 4
_WARM_UP_S = 300.0
"""Until all is made that is made once: caches, decoders' pools."""


@dataclass
class _Series:
    """Samples over the hours since the warm-up."""

    hours: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, hour: float, value: float) -> None:
        self.hours.append(hour)
        self.values.append(value)

    def slope(self) -> tuple[float, float]:
        """A line through the medians of some parts, and twice its standard error: what is within that is noise."""
        parts = zip(np.array_split(self.hours, _PARTS), np.array_split(self.values, _PARTS), strict=True)
        points = np.array([(hours.mean(), np.median(values)) for hours, values in parts])
        line, spread = np.polyfit(points[:, 0], points[:, 1], 1, cov=True)
        return float(line[0]), 2 * float(np.sqrt(spread[0, 0]))


@dataclass
class _Notes:
    """What is written down of a daemon as time goes by."""

    memory: dict[str, _Series] = field(default_factory=lambda: {"daemon": _Series(), "engine": _Series()})
    descriptors: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    delays_s: list[list[float]] = field(default_factory=lambda: [[] for _ in range(_WINDOWS)])

    def look(self, daemon: DaemonProcess, hour: float) -> None:
        self.memory["daemon"].add(hour, rss_mb(daemon.pid))
        self.memory["engine"].add(hour, sum(map(rss_mb, daemon.engines())))
        self.descriptors.append(daemon.descriptors())
        self.threads.append(len(daemon.threads()))


def _continued(folder: Path, seconds: float) -> Path:
    """The bundled clip over and over in one file, its packets as they are. A camera's stream goes on; where four files
    are opened anew at once, the daemon takes 13 MB for a minute, of which malloc's pools keep 2."""
    made = folder / "continued.mp4"
    with av.open(str(CLIP)) as source, av.open(str(made), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        assert stream.time_base is not None and stream.duration is not None
        for round_ in range(round(seconds / float(stream.duration * stream.time_base)) + 1):
            source.seek(0)
            for packet in source.demux(stream):
                if packet.pts is not None and packet.dts is not None:
                    packet.pts += round_ * stream.duration
                    packet.dts += round_ * stream.duration
                    packet.stream = copy
                    target.mux(packet)
    return made


def _play(terms: Terms) -> Outcome:
    seconds = 150.0 if terms.short else 3600 * float(os.environ.get("SOAK_H", "8"))
    stream = _continued(terms.folder, seconds + 2 * _WARM_UP_S)
    with (
        Mosquitto(terms.folder / "broker") as broker,
        Subscriber(broker.port, topic="edgerun/+/+/detections", session_s=0) as subscriber,
        Subscriber(broker.port, topic="edgerun/+/+/alerts", name="claims the alerts", session_s=0),
        DaemonProcess(
            terms.folder / "daemon",
            {
                "device": "pi",
                "mqtt": {"host": "127.0.0.1", "port": broker.port},
                "cameras": {f"camera-{n}": camera(clip(path=str(stream)), fps=10) for n in range(4)},
            },
        ) as daemon,
    ):
        daemon.ready()
        time.sleep(min(_WARM_UP_S, seconds / 5))
        notes = _observed(daemon, subscriber, seconds)
        status = daemon.stop()
    return _outcome(notes, seconds, status)


def _observed(daemon: DaemonProcess, subscriber: Subscriber, seconds: float) -> _Notes:
    notes = _Notes()
    began, wall = time.monotonic(), time.time() - time.monotonic()
    subscriber.arrivals = []
    while (elapsed := time.monotonic() - began) < seconds:
        notes.look(daemon, elapsed / 3600)
        time.sleep(min(10.0, seconds / 60))
        arrived, subscriber.arrivals = subscriber.arrivals, []
        window = notes.delays_s[min(_WINDOWS - 1, int(elapsed / seconds * _WINDOWS))]
        window += [wall + found.at - _captured(found.json["captured"]) for found in arrived]
    return notes


def _outcome(notes: _Notes, seconds: float, status: int) -> Outcome:
    slopes = {name: series.slope() for name, series in notes.memory.items()}
    memory = "; ".join(
        f"{name} {found.values[0]:.1f} -> {found.values[-1]:.1f} MB ({slope:+.2f} ± {noise:.2f} MB/h)"
        for (name, found), (slope, noise) in zip(notes.memory.items(), slopes.values(), strict=True)
    )
    grown = _grown(notes.descriptors), _grown(notes.threads)
    p99_ms = [float(np.percentile(window, 99)) * 1000 for window in notes.delays_s]
    ratio = p99_ms[-1] / p99_ms[0]
    figure = (
        f"{seconds / 3600:.2f} h, {sum(map(len, notes.delays_s))} frames: {memory}; descriptors {grown[0]:+d}, threads "
        f"{grown[1]:+d}; p99 from capture to subscriber {', '.join(f'{ms:.0f}' for ms in p99_ms)} ms by quarter "
        f"({ratio:.2f}), status {status}"
    )
    flat = all(slope - error <= 1 for slope, error in slopes.values()) and max(grown) <= 0
    return Outcome(figure, flat and ratio <= 1.2 and status == 0)


def _grown(counts: list[int]) -> int:
    """From the first samples to the last, but for what one of them sees by chance."""
    return int(np.median(counts[-5:]) - np.median(counts[:5]))


def _captured(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


ROWS = [Row(18, "a soak, four cameras of 10 fps", "RSS <= +1 MB/h, no descriptor more, p99 <= 1.2 of the first", _play)]
