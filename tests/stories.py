"""Golden scenarios: who walks where, told in a few lines of YAML, and the events that must come of it.

A folder of ``tests/scenarios`` holds ``config.yaml`` (zones, lines, rules as in a camera's config), ``story.yaml`` and
``expected.jsonl``. A story tells of ``frames`` (fps, seconds, size, and wall: when it starts), of ``stalls`` (from, to:
seconds without a frame), of ``wall_steps`` (at, by: the wall clock jumps) and of ``tracks``: each has an id, a label, a
box size and a path of ``[t, x, y]``, the middle of its box's lower edge in pixels, from its first frame to its last.
``tremble`` moves the box by up to so many pixels in each frame, ``unseen`` are spans in which it only coasts, and
``scores`` are pairs ``[t, score]`` from which on it has that score.

To see what a scenario gives now: ``python -m tests.stories NAME``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from edgerun.rules import Place, RuleBook, RuleOptions
from edgerun.types import Event, Stamp, Tracks
from edgerun.zones import GroundOptions, LineOptions, ZoneOptions

SCENARIOS = Path(__file__).parent / "scenarios"
LABELS = ("person", "car", "suitcase", "helmet")
_START = "2024-05-15T12:00:00+00:00"


def _frozen(value: Any) -> Any:
    """Lists to tuples, as the config reader does it."""
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return value


def load_book(path: Path) -> RuleBook:
    """The rule book of a scenario's ``config.yaml``."""
    config = _frozen(yaml.safe_load(path.read_text()))
    lines = {
        name: LineOptions(from_=line["from"], **{k: v for k, v in line.items() if k != "from"})
        for name, line in config.get("lines", {}).items()
    }
    return RuleBook(
        [RuleOptions(**rule) for rule in config["rules"]],
        {name: ZoneOptions(**zone) for name, zone in config.get("zones", {}).items()},
        lines,
        LABELS,
        Place(**config["place"]) if "place" in config else None,
        GroundOptions(**config["ground"]) if "ground" in config else None,
    )


def frames(story: dict[str, Any]) -> Iterator[tuple[Tracks, Stamp]]:
    """The tracks of each frame of a story."""
    told = {"fps": 10, "size": [640, 480], "wall": _START} | story["frames"]
    start = datetime.fromisoformat(told["wall"]).timestamp()
    noise = {track["id"]: np.random.default_rng(track["id"]) for track in story["tracks"]}
    for seq in range(round(told["seconds"] * told["fps"]) + 1):
        t = round(seq / told["fps"], 6)
        if any(begin < t < end for begin, end in story.get("stalls", ())):
            continue
        wall = start + t + sum(by for at, by in story.get("wall_steps", ()) if t >= at)
        rows = [(track, *_box(track, t, noise[track["id"]])) for track in story["tracks"] if _lives(track, t)]
        yield (
            Tracks(
                np.array([box for _, box, _ in rows], np.float32).reshape(-1, 4),
                np.array([_score(track, t) for track, _, _ in rows], np.float32),
                np.array([LABELS.index(track.get("label", "person")) for track, _, _ in rows], np.int32),
                np.array([track["id"] for track, _, _ in rows], np.int64),
                np.array([seen for _, _, seen in rows], np.bool_),
            ),
            Stamp("porch", seq + 1, 100.0 + t, wall, *told["size"]),
        )


def _lives(track: dict[str, Any], t: float) -> bool:
    return bool(track["path"][0][0] <= t <= track["path"][-1][0])


def _score(track: dict[str, Any], t: float) -> float:
    scores = track.get("scores", [[0, 0.8]])
    return float([score for begin, score in scores if begin <= t][-1])


def _box(track: dict[str, Any], t: float, noise: np.random.Generator) -> tuple[list[float], bool]:
    times, xs, ys = zip(*track["path"], strict=True)
    shake = noise.uniform(-1, 1, 2) * track.get("tremble", 0)
    x, y = np.interp(t, times, xs) + shake[0], np.interp(t, times, ys) + shake[1]
    width, height = track.get("size", [40, 100])
    seen = not any(begin <= t <= end for begin, end in track.get("unseen", ()))
    return [x - width / 2, y - height, x + width / 2, y], seen


def tell(event: Event) -> dict[str, Any]:
    """An event in one short line; what it does not have is left out."""
    line = {
        "t": round(event.stamp.captured - 100.0, 3),
        "rule": event.rule,
        "kind": event.kind,
        "phase": event.phase,
        "episode": event.episode,
        "zone": event.zone,
        "line": event.line,
        "direction": event.direction,
        "tracks": [item.track_id for item in event.objects],
        "count": event.count,
    }
    return {key: value for key, value in line.items() if value not in ("", [], 0) or key == "t"}


def play(name: str, *, renewed: bool = False) -> list[dict[str, Any]]:
    """All events of a scenario. ``renewed``: for each frame an equal book takes over from the one before."""
    folder = SCENARIOS / name
    book = load_book(folder / "config.yaml")
    blank = deepcopy(book)
    story = yaml.safe_load((folder / "story.yaml").read_text())
    told = []
    for tracks, stamp in frames(story):
        if renewed:
            before, book = book, deepcopy(blank)
            book.take_over(before)
            told += before.finish(stamp)
        told += book.update(tracks, stamp)
    return [tell(event) for event in told]


def expected(name: str) -> list[dict[str, Any]]:
    """The events that a scenario must give."""
    return [json.loads(line) for line in (SCENARIOS / name / "expected.jsonl").read_text().splitlines()]


def main() -> None:
    for name in sys.argv[1:]:
        print(f"# {name}")
        for event in play(name):
            print(json.dumps(event))


if __name__ == "__main__":
    main()
