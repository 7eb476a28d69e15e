"""Row 18: four cameras of 10 fps for as long as asked ($SOAK_H hours, 8 by default)."""

from __future__ import annotations

import os
import time
from datetime import datetime

import numpy as np

from faults.row import Outcome, Row, Terms
from tests.daemon_process import DaemonProcess
from tests.outages import camera, clip
from tests.servers.mosquitto import Mosquitto
from tests.subscriber import Subscriber


def _play(terms: Terms) -> Outcome:
    seconds = 120.0 if terms.short else 3600 * float(os.environ.get("SOAK_H", "8"))
    with (
        Mosquitto(terms.folder / "broker") as broker,
        Subscriber(broker.port, topic="edgerun/+/+/detections", session_s=0) as subscriber,
        DaemonProcess(
            terms.folder / "daemon",
            {
                "device": "pi",
                "mqtt": {"host": "127.0.0.1", "port": broker.port},
                "cameras": {f"camera-{n}": camera(clip(), fps=10) for n in range(4)},
            },
        ) as daemon,
    ):
        daemon.ready()
        time.sleep(min(60.0, seconds / 4))  # until all that is made once is made
        began = time.monotonic()
        times, sizes, descriptors = [], [], []
        worst: list[float] = []
        frames = 0
        window_s = min(3600.0, seconds / 4)
        window: list[float] = []
        opened = time.time(), time.monotonic()
        while (now := time.monotonic()) - began < seconds:
            time.sleep(min(10.0, seconds / 60))
            times.append((now - began) / 3600)
            sizes.append(daemon.rss_mb())
            descriptors.append(daemon.descriptors())
            arrived, subscriber.arrivals = subscriber.arrivals, []
            frames += len(arrived)
            window += [opened[0] + found.at - opened[1] - _captured(found.json["captured"]) for found in arrived]
            if now - began > window_s * (len(worst) + 1):
                worst.append(float(np.percentile(window, 99)))
                window = []
        status = daemon.stop()
    slope = float(np.polyfit(times, sizes, 1)[0])
    growth = descriptors[-1] - descriptors[0]
    ratio = worst[-1] / worst[0]
    figure = (
        f"{seconds / 3600:.2f} h, {frames} frames: RSS {sizes[0]:.0f} -> {sizes[-1]:.0f} MB ({slope:+.2f} MB/h), "
        f"descriptors {growth:+d}, p99 from capture to subscriber {worst[0] * 1000:.0f} -> {worst[-1] * 1000:.0f} ms "
        f"({ratio:.2f} of the first part), status {status}"
    )
    return Outcome(figure, slope <= 1 and growth <= 0 and ratio <= 1.2 and status == 0)


def _captured(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


ROWS = [Row(18, "a soak, four cameras of 10 fps", "RSS <= +1 MB/h, no descriptor more, p99 <= 1.2 of the first", _play)]
