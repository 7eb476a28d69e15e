"""From the start of the process to the first detections at a subscriber, and what the commands' imports cost."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from edgerun.bench.figures import Figure, Section, interleaved
from edgerun.bench.service import Service
from edgerun.bench.workplace import Workplace
from edgerun.errors import EdgerunError

_DROP_CACHES = Path("/proc/sys/vm/drop_caches")


def start(place: Workplace, times: int = 0) -> Section:
    """``times`` starts in a row besides (0: none), counting those that came up with detections."""
    section = Section(f"Start: {place.conditions}")
    _forget(place)
    first = _start(place)
    bare = (sys.executable, "-c", "import numpy, cv2, av")
    commands = {
        "warm": lambda: _start(place),
        "check": lambda: _run(sys.executable, "-m", "edgerun", "check", str(place.folder / "edgerun.yaml")),
        "imports": lambda: _run(*bare),
    }
    found = interleaved(place.repeats, commands)
    floor = found["imports"], "Python with numpy, cv2, av"
    section.figures = [
        Figure("first start with a configuration: to the first detections", "s", (first,)),
        Figure("warm: process to first detections", "s", found["warm"], *floor, "difference", "≤ 0.6 in all"),
        Figure("edgerun check", "s", found["check"], *floor, "difference", "≤ 0.3 in all"),
    ]
    if os.access(_DROP_CACHES, os.W_OK) and os.geteuid() == 0:
        cold = tuple(_cold(place) for _ in range(place.repeats))
        section.figures.append(Figure("page cache dropped", "s", cold, goal="≤ 1.5"))
    else:
        section.remarks.append("The page cache was not dropped: only root may.")
    if times:
        section.figures.append(_many(place, times))
    return section


def _forget(place: Workplace) -> None:
    for kept in (place.folder / "state").glob("*"):
        if kept.is_file():
            kept.unlink()


def _start(place: Workplace) -> float:
    service = Service(place.setup(10.0), place.broker, place.folder)
    try:
        return service.serving()
    finally:
        service.close()


def _cold(place: Workplace) -> float:
    os.sync()
    _DROP_CACHES.write_text("3", encoding="ascii")
    return _start(place)


def _many(place: Workplace, times: int) -> Figure:
    """Starts in a row; one that publishes nothing is told by its share."""
    took = [seconds for _ in range(times) if (seconds := _start_or_none(place)) is not None]
    return Figure(
        f"{len(took)} of {times} starts came up with detections", "s", tuple(took), goal=f"{times} of {times}"
    )


def _start_or_none(place: Workplace) -> float | None:
    try:
        return _start(place)
    except EdgerunError:
        return None


def _run(*command: str) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began
