"""The tracker with 5, 20 and 50 objects, beside roboflow/trackers' ByteTrack where a Python that has it is named."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np

from edgerun.bench.figures import Figure, Section
from edgerun.bench.workplace import Workplace
from edgerun.errors import EdgerunError
from edgerun.tracking import Tracker
from edgerun.types import F32, Detections, Stamp

_FRAMES = 120
_FPS = 10.0
_GOALS = {5: "≤ 0.15", 20: "≤ 0.25", 50: "≤ 0.5"}

_PEER = """
import json, sys, time
from statistics import median
import numpy as np
import supervision as sv
from trackers import ByteTrackTracker
arrays = np.load(sys.argv[1])
tracker, took = ByteTrackTracker(), []
for xyxy, score in zip(arrays["xyxy"], arrays["score"]):
    found = sv.Detections(xyxy=xyxy, confidence=score, class_id=np.zeros(len(score), int))
    began = time.perf_counter()
    tracker.update(found)
    took.append(time.perf_counter() - began)
print(json.dumps(median(took) * 1000))
"""


def tracker(place: Workplace, peer_python: Path | None = None) -> Section:
    section = Section(f"Tracker, {_FRAMES} frames of objects that cross and jitter; {place.repeats} rounds")
    for objects, goal in _GOALS.items():
        boxes, scores = crowd(objects, _FRAMES)
        held = place.folder / f"crowd-{objects}.npz"
        np.savez(held, xyxy=boxes, score=scores)
        ours, peers = [], []
        for _ in range(place.repeats):
            ours.append(_ours(boxes, scores))
            if peer_python is not None:
                peers.append(_peers(peer_python, held))
        name = "trackers' ByteTrack" if peers else ""
        section.figures.append(
            Figure(f"median update, {objects} objects", "ms", tuple(ours), tuple(peers), name, goal=goal)
        )
    if peer_python is None:
        section.remarks.append("Not beside its peer: no Python that has it was named (--peer-python).")
    return section


def crowd(objects: int, frames: int) -> tuple[F32, F32]:
    """Boxes f32 (frames, objects, 4) at 1920x1080 that move straight at walking pace and bounce off the borders, with
    a detector's jitter; scores f32 (frames, objects)."""
    chance = np.random.default_rng(objects)
    area = np.array([1920, 1080])
    centre, speed = chance.uniform(0, area, (objects, 2)), chance.normal(0, 8, (objects, 2))
    sides = np.stack([chance.uniform(40, 90, objects), chance.uniform(90, 220, objects)], axis=1)
    boxes = np.empty((frames, objects, 4), np.float32)
    for frame in range(frames):
        centre = centre + speed
        speed = np.where((centre < 0) | (centre > area), -speed, speed)
        seen = centre + chance.normal(0, 1.5, centre.shape)
        boxes[frame] = np.concatenate([seen - sides / 2, seen + sides / 2], axis=1)
    scores = chance.uniform(0.5, 0.95, (frames, objects)).astype(np.float32)
    return boxes, scores


def _ours(boxes: F32, scores: F32) -> float:
    one, took = Tracker(_FPS), []
    class_id = np.zeros(boxes.shape[1], np.int32)
    for seq, (xyxy, score) in enumerate(zip(boxes, scores, strict=True)):
        found, stamp = Detections(xyxy, score, class_id), Stamp("bench", seq, seq / _FPS, seq / _FPS, 1920, 1080)
        began = time.perf_counter()
        one.update(found, stamp)
        took.append(time.perf_counter() - began)
    return median(took) * 1000


def _peers(python: Path, held: Path) -> float:
    command: Sequence[str] = (str(python), "-c", _PEER, str(held))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EdgerunError(f"{python} cannot run roboflow/trackers: {done.stderr.strip().splitlines()[-1:]}")
    return float(json.loads(done.stdout.splitlines()[-1]))
