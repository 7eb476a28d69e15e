"""Average precision of models on a clip with MOTChallenge ground truth, whole frames, one label.

    python scripts/eval/ap.py --every 4 --model person-ssdlite-int8 --model float.tflite

AP is the area under the precision envelope over all points (as in PASCAL VOC since 2010), at one IoU.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from edgerun.boxes import iou
from edgerun.engines import ENGINES
from edgerun.heads import HEADS
from edgerun.heads.recognise import recognise
from edgerun.images import TensorWriter
from edgerun.models import ModelFile, from_metadata, resolve
from edgerun.plugins import P, Plugin
from edgerun.types import F32, Detections, Frame, Mask, Stamp

SHARED = Path(__file__).resolve().parents[3] / "shared"
LOWEST_SCORE = 0.01


@dataclass(frozen=True)
class Row:
    """One model's figures. ``best_f1`` is over all score thresholds; ``engine_ms`` the median of its inferences."""

    model: str
    ap: float
    recall: float
    best_f1: float
    engine_ms: float


def read_truth(path: Path) -> dict[int, F32]:
    """Boxes (N,4) by frame number from 1; rows with a confidence of 0 are not to be counted."""
    boxes: dict[int, list[list[float]]] = {}
    for line in path.read_text().splitlines():
        number, _, x, y, w, h, counted = map(float, line.split(",")[:7])
        if counted:
            boxes.setdefault(int(number), []).append([x, y, x + w, y + h])
    return {number: np.array(rows, np.float32) for number, rows in boxes.items()}


def frames(clip: Path, numbers: range) -> Iterator[tuple[int, Frame]]:
    """The clip's frames of these numbers, counted from 1, in I420 planes."""
    with av.open(str(clip)) as container:
        for number, decoded in enumerate(container.decode(video=0), 1):
            if number >= numbers.stop:
                return
            if number in numbers:
                picture = decoded.reformat(format="yuv420p")
                rows = [
                    np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
                    for plane in picture.planes
                ]
                stamp = Stamp("clip", number, float(decoded.time or 0), 0.0, decoded.width, decoded.height)
                yield number, Frame(stamp, "i420", tuple(rows))


def matches(found: Detections, truth: F32, least_iou: float) -> Mask:
    """Which detections, best first, hit a box that no better one took."""
    hit = np.zeros(len(found), np.bool_)
    overlap = iou(found.xyxy, truth)
    for row in np.argsort(-found.score, kind="stable"):
        best = overlap[row].argmax() if overlap.shape[1] else 0
        if overlap.shape[1] and overlap[row, best] >= least_iou:
            hit[row] = True
            overlap[:, best] = -1
    return hit


def average_precision(score: F32, hit: Mask, positives: int) -> tuple[float, float, float]:
    """AP, the recall of all detections, and the best F1 over thresholds."""
    order = np.argsort(-score, kind="stable")
    true = np.cumsum(hit[order])
    precision, recall = true / np.arange(1, len(true) + 1), true / positives
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.diff(recall, prepend=0)
    return float(np.sum(envelope * steps)), float(recall[-1]), float(f1.max())


def plugged(plugin: Plugin[P], *arguments: object) -> P:
    """A plugin with its default options."""
    return plugin.build(plugin.options(), *arguments)


def evaluate(model: ModelFile, args: argparse.Namespace) -> Row:
    """Run one model over the clip."""
    truth = read_truth(args.truth)
    loaded = plugged(ENGINES[args.engine], model.path)
    labels = model.labels or from_metadata(loaded.io.metadata) or ("person",)
    reader = plugged(HEADS[model.head or recognise(loaded.io, len(labels))])
    writer = TensorWriter(loaded.io, reader.layout(loaded.io))
    tensor = np.empty(loaded.io.inputs[0].shape, loaded.io.inputs[0].dtype)
    first, last = map(int, args.frames.split("-"))
    scores, hits, seconds, positives = [], [], [], 0
    for number, frame in frames(args.video, range(first, last + 1, args.every)):
        fit = writer.write(frame, tensor)
        started = time.perf_counter()
        outputs = loaded.infer([tensor])
        seconds.append(time.perf_counter() - started)
        found = reader.decode(outputs, loaded.io, fit, LOWEST_SCORE)
        found = found.take(found.class_id == labels.index(args.label))
        boxes = truth.get(number, np.zeros((0, 4), np.float32))
        scores.append(found.score)
        hits.append(matches(found, boxes, args.iou))
        positives += len(boxes)
    loaded.close()
    figures = average_precision(np.concatenate(scores), np.concatenate(hits), positives)
    return Row(model.name, *figures, 1000 * float(np.median(seconds)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", metavar="NAME|FILE", help="repeat to compare; default: the bundled")
    parser.add_argument("--labels", default="", help="labels file for models given as files")
    parser.add_argument("--label", default="person", help="the label that the ground truth is about")
    parser.add_argument("--engine", default="tflite")
    parser.add_argument("--video", type=Path, default=SHARED / "media" / "vtest.avi")
    parser.add_argument("--truth", type=Path, default=SHARED / "groundtruth" / "pets09-s2l1_frames_1-400.txt")
    parser.add_argument("--frames", default="1-400", help="first and last frame, counted from 1")
    parser.add_argument("--every", type=int, default=1, help="look at every Nth frame only")
    parser.add_argument("--iou", type=float, default=0.5)
    args = parser.parse_args()
    print(f"{'model':32} {'AP@' + str(args.iou):>8} {'recall':>8} {'best F1':>8} {'ms':>8}")
    for name in args.model or ["person-ssdlite-int8"]:
        model = resolve("", name, args.labels) if Path(name).is_file() else resolve(name)
        row = evaluate(model, args)
        print(f"{row.model:32} {row.ap:8.4f} {row.recall:8.4f} {row.best_f1:8.4f} {row.engine_ms:8.2f}")


if __name__ == "__main__":
    main()
