"""What all the peers' programs share: the clip's frames, and what each of them cost. Standard library and OpenCV."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2

WARM_UP = 20

Pictures = Iterator[Any]
"""BGR pictures (H, W, 3)."""


def pictures(clip: Path) -> Pictures:
    """The clip over and over, by the reader that most programs use."""
    while True:
        capture = cv2.VideoCapture(str(clip))
        while True:
            there, picture = capture.read()
            if not there:
                break
            yield picture


def measure(work: Callable[[Any], object], clip: Path, frames: int) -> None:
    """Run ``work`` on each picture and print its cost for one as JSON; reading the clip counts."""
    cv2.setNumThreads(1)
    source = pictures(clip)
    for _ in range(WARM_UP):
        work(next(source))
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(frames):
        work(next(source))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(json.dumps({"wall_ms": wall / frames * 1000, "cpu_ms": cpu / frames * 1000, "memory_mb": peak}))


def arguments() -> tuple[Path, Path, Path, int]:
    """Clip, model, labels, and how many frames."""
    return Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
