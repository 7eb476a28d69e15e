"""Single parts in this process: the motion gate, the decode path, the outbox."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from edgerun.bench.clips import full_hd
from edgerun.bench.figures import Figure, Section, interleaved
from edgerun.bench.floor import planes_of
from edgerun.bench.workplace import Workplace
from edgerun.config import source
from edgerun.images import TensorWriter
from edgerun.motion import MotionGate, MotionOptions
from edgerun.outbox import Entry, Outbox, OutboxOptions
from edgerun.stages import Feed
from edgerun.types import U8, Frame, InputLayout, ModelIO, TensorSpec

_FRAMES = 300
_HD_FPS = 5
_HD_S = 20
_SIDE = 300
_ALERTS = 200
_BODY = b"x" * 400
"""About what an alert with one object takes."""


def motion(place: Workplace) -> Section:
    """The gate on the clip's luma planes, against what any gate does: take every n-th row and column, and blur."""
    frames = list(islice(_frames(place.clip, 0), _FRAMES))
    height, width = frames[0].planes[0].shape
    step = max(1, -(-height // MotionOptions().height_px))

    def gate() -> float:
        one = MotionGate(MotionOptions(), 10.0)
        return _each(frames, lambda frame: one.update(frame.planes[0], frame.stamp))

    def reduce() -> float:
        return _each(frames, lambda frame: _reduced(frame.planes[0], step))

    found = interleaved(place.repeats, {"gate": gate, "reduce": reduce})
    section = Section(f"Motion gate, contrast and boxes, {width}x{height}, {place.clip.name}; {place.repeats} rounds")
    section.figures = [
        Figure(
            "median of a frame", "ms", found["gate"], found["reduce"], "reduce and blur", "difference", "≤ 0.08 in all"
        )
    ]
    return section


def _reduced(luma: U8, step: int) -> None:
    rows = np.ascontiguousarray(luma[step // 2 :: step])
    cv2.GaussianBlur(np.ascontiguousarray(rows[:, step // 2 :: step]), (3, 3), 0)


def _each(frames: Iterable[Frame], do: Callable[[Frame], object]) -> float:
    """Median milliseconds of one call."""
    took = []
    for frame in frames:
        began = time.perf_counter()
        do(frame)
        took.append(time.perf_counter() - began)
    return median(took) * 1000


def decode(place: Workplace) -> Section:
    """File to tensor at 1080p: edgerun's source and writer, against PyAV and OpenCV by hand."""
    clip = full_hd(place.clip, place.folder, _HD_FPS, _HD_S)
    spec = TensorSpec("picture", (1, _SIDE, _SIDE, 3), "uint8")
    writer, out = TensorWriter(ModelIO((spec,), ()), InputLayout()), np.empty(spec.shape, np.uint8)

    def ours() -> float:
        began, count = time.process_time(), 0
        for frame in _frames(clip, _HD_FPS):
            writer.write(frame, out)
            count += 1
        return (time.process_time() - began) / count * 1000

    found = interleaved(place.repeats, {"ours": ours, "plain": lambda: _plain_decode(clip)})
    section = Section(f"Decode path, 1920x1080 H.264 to a {_SIDE}x{_SIDE} tensor; {place.repeats} rounds")
    section.figures = [
        Figure(
            "CPU per frame", "ms", found["ours"], found["plain"], "PyAV, planes resized, converted small", goal="≤ 1.15"
        )
    ]
    return section


def _plain_decode(clip: Path) -> float:
    import av

    packed = np.empty((_SIDE * 3 // 2, _SIDE), np.uint8)
    flat, half, area = packed.reshape(-1), _SIDE // 2, _SIDE * _SIDE
    y = flat[:area].reshape(_SIDE, _SIDE)
    u = flat[area : area + half * half].reshape(half, half)
    v = flat[area + half * half :].reshape(half, half)
    rgb = np.empty((_SIDE, _SIDE, 3), np.uint8)
    began, count = time.process_time(), 0
    with av.open(str(clip)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for picture in container.decode(video=0):
            for plane, small in zip(planes_of(picture).planes, (y, u, v), strict=True):
                cv2.resize(plane, small.shape[::-1], dst=small)
            cv2.cvtColor(packed, cv2.COLOR_YUV2RGB_I420, dst=rgb)
            count += 1
    return (time.process_time() - began) / count * 1000


def _frames(clip: Path, fps: float) -> Iterable[Frame]:
    return source("file", path=str(clip), loop=False, pace=False).build(Feed("bench", fps)).frames()


def outbox(place: Workplace) -> Section:
    """One alert committed to disk, against the same bytes appended to a file and synchronised."""
    path = place.folder / "bench-outbox.db"
    box = Outbox(path, OutboxOptions())
    box.open()

    def commit() -> float:
        took = []
        for _ in range(_ALERTS):
            entry = Entry("camera", box.seqs.next("camera"), _BODY)
            began = time.perf_counter()
            box.add([entry])
            took.append(time.perf_counter() - began)
            box.settle(entry)
        return median(took) * 1000

    def append() -> float:
        took = []
        with (place.folder / "appended").open("ab", buffering=0) as file:
            for _ in range(_ALERTS):
                began = time.perf_counter()
                file.write(_BODY)
                os.fdatasync(file.fileno())
                took.append(time.perf_counter() - began)
        return median(took) * 1000

    found = interleaved(place.repeats, {"commit": commit, "append": append})
    box.close()
    section = Section(f"Outbox, one alert of {len(_BODY)} bytes a commit; {place.repeats} rounds of {_ALERTS}")
    section.figures = [
        Figure("median commit", "ms", found["commit"], found["append"], "append and fdatasync", "difference")
    ]
    section.remarks.append(f"In {place.folder.parent}; an SD card takes some milliseconds for each.")
    return section
