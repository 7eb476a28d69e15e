"""Events of a replay against those of ground truth: the same rules, fed with the tracks that somebody drew by hand.

    edgerun replay -c FILE --camera NAME --video CLIP > events.jsonl
    python scripts/eval/crossings.py -c FILE --camera NAME --size 768x576 --fps 10 events.jsonl

An event is found when the replay has one of the same rule, phase and direction within ``--tolerance`` seconds whose
object is not further away than its own height; each counts once. Rules about how many there are tell of no object in
particular, so for them the time decides alone. The ground truth is a MOTChallenge file, by default that of vtest.avi;
events of the clip after its last frame do not count. Who is marked 0 in it, as hardly visible, is there all the same:
else people would leave zones and come anew in the middle of the picture. Drawn boxes do not tremble, so who is over a
line by them has crossed it: the margin and the inertia of lines are for detected boxes.

The last line adds up all rows, and tells for how many of them the number found is within a tenth of the true one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgerun.config import CameraOptions, load
from edgerun.messages import event_record
from edgerun.rules import RuleBook
from edgerun.types import Stamp, Tracks

TRUTH = Path(__file__).resolve().parents[3] / "shared" / "groundtruth" / "pets09-s2l1_frames_1-400.txt"
COUNTS = ("count", "absent", "all")
"""Kinds of rules that are about several objects, or none, in no order."""


@dataclass(frozen=True)
class Happening:
    """An event, as far as it is compared. ``box``: x1 y1 x2 y2 in 0-1 of whom it is about, if it is about one."""

    key: tuple[str, str, str]
    t: float
    box: tuple[float, ...]

    @staticmethod
    def of(record: dict[str, Any], fps: float) -> Happening:
        """From an event as ``edgerun replay`` prints it."""
        about = record["objects"] if record["kind"] not in COUNTS else ()
        what = record["direction"] or record["phase"]
        box = tuple(about[0]["box"]) if about else ()
        return Happening((record["rule"], record["kind"], what), record["frame"] / fps, box)

    def is_within(self, left: float, top: float, right: float, bottom: float) -> bool:
        """Whether its object stands in a part of the picture."""
        return bool(self.box) and left <= (self.box[0] + self.box[2]) / 2 <= right and top <= self.box[3] <= bottom

    def distance(self, other: Happening) -> float:
        """Between the middles of both boxes, in heights of this one."""
        if not self.box or not other.box:
            return 0.0
        (x1, y1, x2, y2), (u1, v1, u2, v2) = self.box, other.box
        return float(np.hypot(x1 + x2 - u1 - u2, y1 + y2 - v1 - v2) / 2 / max(y2 - y1, 1e-6))


def true_events(
    truth: Path, camera: CameraOptions, size: tuple[int, int], fps: float, label: str
) -> Iterator[Happening]:
    """What the camera's rules say of the drawn tracks."""
    rows = np.loadtxt(truth, delimiter=",")
    lines = {name: replace(line, margin=0.0, inertia_s=0.0) for name, line in camera.lines.items()}
    book = RuleBook(camera.rules, camera.zones, lines, _labels(camera, label), None, camera.ground)
    for number in range(1, int(rows[:, 0].max()) + 1):
        now = rows[rows[:, 0] == number]
        n = len(now)
        xyxy = np.concatenate([now[:, 2:4], now[:, 2:4] + now[:, 4:6]], axis=1).astype(np.float32)
        ids, every = now[:, 1].astype(np.int64), np.ones(n, np.bool_)
        tracks = Tracks(xyxy, np.ones(n, np.float32), np.zeros(n, np.int32), ids, every)
        stamp = Stamp("truth", number, number / fps, number / fps, *size)
        for event in book.update(tracks, stamp):
            yield Happening.of(event_record(event), fps)


def _labels(camera: CameraOptions, label: str) -> Sequence[str]:
    named = {name for rule in camera.rules for name in rule.labels}
    return [label, *sorted(named - {label})]


def match(truth: Sequence[Happening], found: Sequence[Happening], tolerance_s: float) -> int:
    """How many of both go together, nearest in time first."""
    pairs = [
        (abs(a.t - b.t), i, j)
        for i, a in enumerate(truth)
        for j, b in enumerate(found)
        if abs(a.t - b.t) <= tolerance_s and a.distance(b) <= 1
    ]
    used_truth: set[int] = set()
    used_found: set[int] = set()
    for _, i, j in sorted(pairs):
        if i not in used_truth and j not in used_found:
            used_truth.add(i)
            used_found.add(j)
    return len(used_truth)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("events", type=Path, help="what edgerun replay printed")
    parser.add_argument("-c", "--config", type=Path, required=True)
    parser.add_argument("--camera", required=True)
    parser.add_argument("--truth", type=Path, default=TRUTH, help="MOTChallenge rows (default: %(default)s)")
    parser.add_argument("--size", default="768x576", help="of the clip in pixels (default: %(default)s)")
    parser.add_argument("--fps", type=float, default=10.0, help="of the clip (default: %(default)s)")
    parser.add_argument("--label", default="person", help="what the ground truth is about (default: %(default)s)")
    parser.add_argument("--tolerance", type=float, default=1.0, help="seconds (default: %(default)s)")
    parser.add_argument(
        "--unlabelled",
        type=float,
        nargs=4,
        metavar=("X1", "Y1", "X2", "Y2"),
        help="a part of the picture, in 0-1, in which the ground truth leaves people out: nothing is judged there",
    )
    args = parser.parse_args()
    camera = load(args.config).cameras[args.camera]
    width, height = map(int, args.size.split("x"))
    truth = list(true_events(args.truth, camera, (width, height), args.fps, args.label))
    last = np.loadtxt(args.truth, delimiter=",", usecols=0).max() / args.fps
    records = [json.loads(line) for line in args.events.read_text().splitlines()]
    found = [Happening.of(record, args.fps) for record in records if record["type"] == "event"]
    found = [event for event in found if event.t <= last]
    if args.unlabelled:
        found = [event for event in found if not event.is_within(*args.unlabelled)]
    show(truth, found, args.tolerance)


def show(truth: Sequence[Happening], found: Sequence[Happening], tolerance_s: float) -> None:
    """Print a table with a row for each rule, phase and direction."""
    print(f"{'rule':20} {'what':14} {'truth':>6} {'found':>6} {'right':>6} {'precision':>10} {'recall':>7}")
    counts = []
    for key in sorted({event.key for event in (*truth, *found)}):
        have, got = [e for e in truth if e.key == key], [e for e in found if e.key == key]
        counts.append((len(have), len(got), match(have, got, tolerance_s)))
        print(f"{key[0]:20} {key[2]:14} {_figures(*counts[-1])}")
    alike = sum(abs(have - got) <= have / 10 for have, got, _ in counts)
    print(f"{'all':20} {f'{alike} of {len(counts)} alike':14} {_figures(*map(sum, zip(*counts, strict=True)))}")


def _figures(have: int, got: int, right: int) -> str:
    return f"{have:6} {got:6} {right:6} {right / max(got, 1):10.2f} {right / max(have, 1):7.2f}"


if __name__ == "__main__":
    main()
