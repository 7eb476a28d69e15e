"""Multi-object tracking scores against MOTChallenge ground truth, and what the tracker costs.

    python scripts/eval/mot.py                                  the tracker on the MOT15 sequences with their detections
    python scripts/eval/mot.py --perfect --fps 10,5,2           true boxes as detections, at several frame rates
    python scripts/eval/mot.py --replay tracks.jsonl            what `edgerun replay --detections` printed for vtest.avi
    python scripts/eval/mot.py --speed                          milliseconds of CPU per update

Scores of detection files are taken as they stand and clipped to 0-1, for every tracker alike. Where the Python package
`trackers` is installed, `--peer` puts its trackers beside ours, at their defaults, in the same run.
"""

from __future__ import annotations

import argparse
import configparser
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from tracking_scores import Boxes, Counts, score

from edgerun.tracking import Tracker
from edgerun.types import Detections, Stamp

SHARED = Path(__file__).resolve().parents[3] / "shared"
MOT15 = SHARED / "groundtruth" / "mot15"
PETS = SHARED / "groundtruth" / "pets09-s2l1_frames_1-400.txt"

Table: TypeAlias = npt.NDArray[np.float64]
Follow: TypeAlias = Callable[[Detections, Stamp], Boxes]
"""One tracker at work: detections in, the boxes and ids that it gives out."""


@dataclass(frozen=True)
class Clip:
    """Detections and truth of each frame, from the first on."""

    name: str
    fps: float
    size: tuple[int, int]
    detections: list[Detections]
    truth: list[Boxes]


def ours(fps: float, coasting: bool) -> Follow:
    """edgerun's tracker; ``coasting``: what it does not see but still shows counts as well."""
    tracker = Tracker(fps)

    def follow(detections: Detections, stamp: Stamp) -> Boxes:
        tracks = tracker.update(detections, stamp)
        rows = tracks.seen | coasting
        return Boxes(tracks.track_id[rows], tracks.xyxy[rows])

    return follow


def peer(name: str, fps: float) -> Follow:
    """A tracker of the package `trackers`, at its defaults but for the frame rate."""
    import supervision  # type: ignore[import-not-found]  # only where peers are compared
    import trackers  # type: ignore[import-not-found]  # the same

    cameraless = {"enable_cmc": False} if name == "BoTSORTTracker" else {}
    tracker: Any = getattr(trackers, name)(frame_rate=fps, **cameraless)

    def follow(detections: Detections, _: Stamp) -> Boxes:
        found = tracker.update(
            supervision.Detections(detections.xyxy, confidence=detections.score, class_id=detections.class_id)
        )
        rows = found.tracker_id >= 0
        return Boxes(found.tracker_id[rows].astype(np.int64), found.xyxy[rows].astype(np.float32))

    return follow


def by_frame(path: Path) -> tuple[list[Table], int]:
    """Rows ``id x1 y1 x2 y2 confidence`` of each frame of a MOTChallenge file, and the last frame's number."""
    table = np.loadtxt(path, delimiter=",", ndmin=2, usecols=range(7))
    last = int(table[:, 0].max())
    rows = np.column_stack([table[:, 1], table[:, 2:4], table[:, 2:4] + table[:, 4:6], table[:, 6]])
    return [rows[table[:, 0] == number] for number in range(1, last + 1)], last


def detections_of(rows: Table) -> Detections:
    score = np.clip(rows[:, 5], 0, 1).astype(np.float32)
    return Detections(rows[:, 1:5].astype(np.float32), score, np.zeros(len(rows), np.int32))


def boxes_of(rows: Table, everyone: bool) -> Boxes:
    """True boxes; those marked 0 in the file are not to be counted, unless ``everyone`` is."""
    rows = rows[(rows[:, 5] != 0) | everyone]
    return Boxes(rows[:, 0].astype(np.int64), rows[:, 1:5].astype(np.float32))


def read_sequence(folder: Path, everyone: bool) -> Clip:
    """A folder with det.txt, gt.txt and, for frame rate and size, seqinfo.ini."""
    about = configparser.ConfigParser()
    about.read(folder / "seqinfo.ini")
    known = about["Sequence"]
    size = int(known["imWidth"]), int(known["imHeight"])
    (found, last), (true, end) = by_frame(folder / "det.txt"), by_frame(folder / "gt.txt")
    empty = [np.zeros((0, 6))]
    frames = max(last, end)
    found, true = found + empty * (frames - last), true + empty * (frames - end)
    return Clip(
        folder.name, float(known["frameRate"]), size,
        [detections_of(rows) for rows in found], [boxes_of(rows, everyone) for rows in true],
    )  # fmt: skip


def perfect(path: Path, fps: float) -> Clip:
    """True boxes as detections, of a clip with 10 frames per second that is looked at ``fps`` times per second."""
    frames = by_frame(path)[0][:: round(10 / fps)]
    truth = [boxes_of(rows, everyone=True) for rows in frames]
    certain = [Detections(b.xyxy, np.ones(len(b.ids), np.float32), np.zeros(len(b.ids), np.int32)) for b in truth]
    return Clip(f"perfect, {fps:g} fps", fps, (768, 576), certain, truth)


def track(sequence: Clip, follow: Follow) -> Counts:
    width, height = sequence.size
    stamps = [Stamp("eval", i, i / sequence.fps, i / sequence.fps, width, height) for i in range(len(sequence.truth))]
    return score(sequence.truth, [follow(d, s) for d, s in zip(sequence.detections, stamps, strict=True)])


def replayed(path: Path, truth_path: Path) -> Counts:
    """Score frame records of `edgerun replay --detections`, of the frames that have both records and truth."""
    truth, last = by_frame(truth_path)
    pairs = []
    for line in path.read_text().splitlines():
        record = json.loads(line)
        if record["type"] == "frame" and record["frame"] <= last:
            named = [item for item in record["objects"] if item["track_id"] is not None]
            xyxy = np.array([item["box_px"] for item in named], np.float32).reshape(-1, 4)
            seen = Boxes(np.array([item["track_id"] for item in named], np.int64), xyxy)
            pairs.append((boxes_of(truth[record["frame"] - 1], everyone=True), seen))
    return score([true for true, _ in pairs], [seen for _, seen in pairs])


def crowd(objects: int, updates: int, seed: int = 0) -> list[Detections]:
    """So many boxes that walk about a picture of 1920x1080 at 10 fps, bounce off its border and tremble."""
    random = np.random.default_rng(seed)
    extent = random.uniform([30, 70], [60, 140], (objects, 2))
    room = np.array([1920, 1080]) - extent
    place, speed = random.uniform(0, room), random.normal(0, 4, (objects, 2))
    frames = []
    for _ in range(updates):
        place += speed
        speed = np.where((place < 0) | (place > room), -speed, speed)
        place = np.clip(place, 0, room)
        corner = place + random.normal(0, 1, place.shape)
        score = random.uniform(0.5, 0.95, objects).astype(np.float32)
        xyxy = np.hstack([corner, corner + extent]).astype(np.float32)
        frames.append(Detections(xyxy, score, np.zeros(objects, np.int32)))
    return frames


def cost(follow: Follow, frames: Sequence[Detections]) -> tuple[float, float]:
    """Median and least CPU time of an update in ms."""
    spent = []
    for number, detections in enumerate(frames):
        stamp = Stamp("eval", number, number / 10, number / 10, 1920, 1080)
        started = time.process_time()
        follow(detections, stamp)
        spent.append(1000 * (time.process_time() - started))
    return float(np.median(spent)), min(spent)


def print_scores(rows: Iterable[tuple[str, Counts]]) -> None:
    print(f"{'':32} {'MOTA':>6} {'IDF1':>6} {'HOTA':>6} {'recall':>6} {'prec.':>6} {'switch':>6}")
    for name, c in rows:
        figures = (c.mota, c.idf1, c.hota, c.recall, c.precision)
        print(f"{name:32} " + " ".join(f"{figure:6.3f}" for figure in figures) + f" {c.switches:6d}")


def print_speed(makers: dict[str, Callable[[float], Follow]], updates: int) -> None:
    print(f"{'CPU ms per update: median (least)':36}" + "".join(f"{n:>4} objects    " for n in (5, 20, 50)))
    for name, make in makers.items():
        spent = [cost(make(10), crowd(n, updates)) for n in (5, 20, 50)]
        print(f"{name:36}" + "".join(f"{median:7.3f} ({least:.3f})" for median, least in spent))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=Path, nargs="+", help="folders with det.txt, gt.txt, seqinfo.ini")
    parser.add_argument("--everyone", action="store_true", help="count true boxes that are marked 0 as well")
    parser.add_argument("--coasting", action="store_true", help="count tracks that are not seen as well")
    parser.add_argument("--peer", nargs="*", default=[], metavar="CLASS", help="as ByteTrackTracker CBIoUTracker")
    parser.add_argument("--perfect", action="store_true", help="true boxes as detections")
    parser.add_argument("--fps", default="10,5,2", help="frame rates for --perfect")
    parser.add_argument("--replay", type=Path, metavar="JSONL", help="frame records instead of the tracker")
    parser.add_argument("--truth", type=Path, default=PETS, help="ground truth for --replay and --perfect")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--updates", type=int, default=500, help="updates for --speed")
    args = parser.parse_args()
    makers: dict[str, Callable[[float], Follow]] = {"edgerun": lambda fps: ours(fps, args.coasting)}
    makers |= {name: lambda fps, name=name: peer(name, fps) for name in args.peer}
    if args.speed:
        print_speed(makers, args.updates)
    elif args.replay:
        print_scores([(args.replay.name, replayed(args.replay, args.truth))])
    else:
        folders = args.sequences or sorted(path.parent for path in MOT15.glob("*/det.txt"))
        wanted = [perfect(args.truth, float(fps)) for fps in args.fps.split(",")] if args.perfect else []
        wanted = wanted or [read_sequence(folder, args.everyone) for folder in folders]
        for name, make in makers.items():
            print(name)
            counts = [(s.name, track(s, make(s.fps))) for s in wanted]
            total = [] if args.perfect else [("all", sum((c for _, c in counts), Counts()))]
            print_scores(counts + total)


if __name__ == "__main__":
    main()
