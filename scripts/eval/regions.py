"""What regions are worth: detections and tracks of a clip with MOTChallenge ground truth, at several budgets.

    python scripts/eval/regions.py                               the bundled model at 10 and 5 frames per second
    python scripts/eval/regions.py --mode off --mode auto --per-frame 2 --fps 10 --json

AP is that of the raw detections, recall to IDF1 that of the confirmed tracks, all at IoU 0.5. `covered` is the part of
the true boxes whose centres lie in a motion box or a region. Milliseconds are of the processor, per frame looked at.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from ap import SHARED, average_precision, frames, matches, plugged
from mot import boxes_of, by_frame
from tracking_scores import Boxes, score

from edgerun.engines import ENGINES
from edgerun.heads import HEADS
from edgerun.heads.recognise import recognise
from edgerun.images import TensorWriter, luma
from edgerun.models import resolve
from edgerun.motion import MotionGate, MotionOptions
from edgerun.pipeline import FLOOR_SCORE
from edgerun.regions import Region, RegionOptions, RegionPlanner
from edgerun.tracking import Tracker
from edgerun.types import F32, Array, Detections, Frame, Mask, Stamp, Tracks


@dataclass(frozen=True)
class Row:
    """The figures of one run over the clip."""

    mode: str
    fps: float
    per_frame: int
    inferences: float
    ap: float
    recall: float
    precision: float
    switches: int
    mota: float
    idf1: float
    covered: float
    gate_ms: float
    plan_ms: float
    merge_ms: float


class Eyes:
    """The model: detections of one label in a region of a frame."""

    def __init__(self, name: str, label: str) -> None:
        model = resolve("", name) if Path(name).is_file() else resolve(name)
        self._engine = plugged(ENGINES["tflite"], model.path)
        self._head = plugged(HEADS[model.head or recognise(self._engine.io, len(model.labels))])
        self._writer = TensorWriter(self._engine.io, self._head.layout(self._engine.io))
        self._tensor: Array = np.empty(self._engine.io.inputs[0].shape, self._engine.io.inputs[0].dtype)
        self._class_id = model.labels.index(label)
        self.size = self._engine.io.size

    def see(self, frame: Frame, region: Region) -> Detections:
        """What is in one region."""
        fit = self._writer.write(frame, self._tensor, region.xyxy)
        found = self._head.decode(self._engine.infer([self._tensor]), self._engine.io, fit, FLOOR_SCORE)
        return found.take(found.class_id == self._class_id)


class Watch:
    """One camera's step without rules; times each part."""

    def __init__(self, eyes: Eyes, options: RegionOptions, motion: bool, fps: float) -> None:
        self._eyes = eyes
        self._gate = MotionGate(MotionOptions(), fps) if motion else None
        self._planner = RegionPlanner(options, eyes.size)
        self._tracker = Tracker(fps)
        self._tracks = Tracks.empty()
        self.inferences = 0
        self.seconds = np.zeros(3)

    def step(self, frame: Frame, stamp: Stamp) -> tuple[Detections, Tracks, F32]:
        """Detections, tracks, and all motion boxes and regions of a frame."""
        started = time.process_time()
        motion = self._gate.update(luma(frame), stamp) if self._gate else None
        gated = time.process_time()
        regions = self._planner.plan(motion, self._tracks, stamp)
        planned = time.process_time()
        parts = [(self._eyes.see(frame, region), region) for region in regions]
        inferred = time.process_time()
        found = self._planner.merge(parts, stamp)
        merged = time.process_time()
        self._tracks = self._tracker.update(found, stamp) if regions else self._tracker.hold(stamp)
        self._planner.learn(self._tracks, stamp)
        self.inferences += len(regions)
        self.seconds += (gated - started, planned - gated, merged - inferred)
        boxes = np.array([region.xyxy for region in regions], np.float32).reshape(-1, 4)
        return found, self._tracks, boxes if motion is None else np.concatenate([boxes, motion.boxes])


def inside(truth: F32, boxes: F32) -> Mask:
    """Which true boxes have their centre in one of the boxes."""
    centre = ((truth[:, :2] + truth[:, 2:]) / 2)[:, None]
    held = np.all((centre >= boxes[:, :2]) & (centre <= boxes[:, 2:]), axis=2)
    return np.asarray(np.any(held, axis=1), np.bool_)


def evaluate(eyes: Eyes, options: RegionOptions, fps: float, args: argparse.Namespace) -> Row:
    """Run the clip once."""
    first, last = map(int, args.frames.split("-"))
    rows, known = by_frame(args.truth)
    watch = Watch(eyes, options, not args.no_motion, fps)
    truth, tracked, scores, hits, covered = [], [], [], [], []
    for number, frame in frames(args.video, range(first, min(last, known) + 1, round(args.clip_fps / fps))):
        at = number / args.clip_fps
        stamp = Stamp("clip", number, at, at, frame.stamp.width, frame.stamp.height)
        found, tracks, boxes = watch.step(frame, stamp)
        real = boxes_of(rows[number - 1], everyone=True)
        truth.append(real)
        tracked.append(Boxes(tracks.track_id, tracks.xyxy))
        scores.append(found.score)
        hits.append(matches(found, real.xyxy, 0.5))
        covered.append(inside(real.xyxy, boxes))
    ap = average_precision(np.concatenate(scores), np.concatenate(hits), sum(len(real.ids) for real in truth))[0]
    counts = score(truth, tracked)
    gate, plan, merge = 1000 * watch.seconds / len(truth)
    return Row(
        options.mode, fps, options.per_frame, watch.inferences / len(truth), ap,
        counts.recall, counts.precision, counts.switches, counts.mota, counts.idf1,
        float(np.concatenate(covered).mean()), gate, plan, merge,
    )  # fmt: skip


def show(rows: Sequence[Row]) -> None:
    """Print a table."""
    names = [field.name for field in fields(Row)]
    print("  ".join(f"{name:>9}" for name in names))
    for row in rows:
        cells = (getattr(row, name) for name in names)
        print("  ".join(f"{cell:9.3f}" if isinstance(cell, float) else f"{cell:>9}" for cell in cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="person-ssdlite-int8", metavar="NAME|FILE")
    parser.add_argument("--label", default="person", help="the label that the ground truth is about")
    parser.add_argument("--mode", action="append", choices=["off", "on", "auto"], help="repeat; default: off and auto")
    parser.add_argument("--per-frame", action="append", type=int, help="inferences per frame at most; repeat")
    parser.add_argument("--fps", action="append", type=float, help="frames looked at per second; repeat")
    parser.add_argument("--no-motion", action="store_true", help="without the motion gate")
    parser.add_argument("--video", type=Path, default=SHARED / "media" / "vtest.avi")
    parser.add_argument("--clip-fps", type=float, default=10.0, help="frame rate of the clip")
    parser.add_argument("--truth", type=Path, default=SHARED / "groundtruth" / "pets09-s2l1_frames_1-400.txt")
    parser.add_argument("--frames", default="1-400", help="first and last frame, counted from 1")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    eyes = Eyes(args.model, args.label)
    rows = []
    for fps in args.fps or [10.0, 5.0]:
        for mode in args.mode or ["off", "auto"]:
            for per_frame in args.per_frame or ([1] if mode == "off" else [2, 3, 4]):
                options = RegionOptions(mode=mode, per_frame=per_frame, per_second=max(30.0, per_frame * fps))
                rows.append(evaluate(eyes, options, fps, args))
    if args.json:
        print(json.dumps([asdict(row) for row in rows]))
    else:
        show(rows)


if __name__ == "__main__":
    main()
