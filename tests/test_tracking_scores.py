"""The tracker on public benchmarks, and the scores by which it is measured against motmetrics as an oracle."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.shared_media import SHARED, needs_shared

EVAL = Path(__file__).resolve().parents[1] / "scripts" / "eval"
SEQUENCES = ["ETH-Sunnyday", "KITTI-17", "PETS09-S2L1", "TUD-Stadtmitte"]


@pytest.fixture
def mot(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(EVAL))
    import mot  # type: ignore[import-not-found, unused-ignore]  # a script, found by its folder

    return mot


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(EVAL))
    import tracking_scores  # type: ignore[import-not-found, unused-ignore]  # the same

    return tracking_scores


@needs_shared
@pytest.mark.parametrize("coasting", [False, True])
def test_mot15_with_public_detections(mot: Any, coasting: bool) -> None:
    """Better than the best of roboflow/trackers 2.6.1 on the same sequences, with the default options for all."""
    total = mot.Counts()
    for name in SEQUENCES:
        clip = mot.read_sequence(SHARED / "groundtruth" / "mot15" / name, everyone=False)
        total += mot.track(clip, mot.ours(clip.fps, coasting))
    assert total.mota >= 0.62
    assert total.idf1 >= 0.66


@needs_shared
@pytest.mark.parametrize(("fps", "most"), [(10, 0), (5, 3), (2, 20)])
def test_perfect_boxes_change_ids_hardly_ever(mot: Any, fps: int, most: int) -> None:
    clip = mot.perfect(mot.PETS, fps)
    assert mot.track(clip, mot.ours(clip.fps, coasting=False)).switches <= most


@needs_shared
def test_clear_and_identity_scores_equal_those_of_motmetrics(mot: Any, scores: Any) -> None:
    import motmetrics  # type: ignore[import-untyped]  # an oracle, without hints

    clip = mot.read_sequence(SHARED / "groundtruth" / "mot15" / "TUD-Stadtmitte", everyone=True)
    follow = mot.ours(clip.fps, coasting=True)
    stamps = [mot.Stamp("test", i, i / clip.fps, 0.0, *clip.size) for i in range(len(clip.truth))]
    found = [follow(d, s) for d, s in zip(clip.detections, stamps, strict=True)]
    oracle = motmetrics.MOTAccumulator(auto_id=True)
    for true, ours in zip(clip.truth, found, strict=True):
        like = scores.iou(true.xyxy, ours.xyxy).astype(float)
        oracle.update(true.ids, ours.ids, np.where(like >= 0.5, 1 - like, np.nan))
    names = ["mota", "idf1", "num_switches", "num_misses", "num_false_positives"]
    expected = motmetrics.metrics.create().compute(oracle, metrics=names).iloc[0]
    counts = scores.score(clip.truth, found)
    assert counts.mota == pytest.approx(expected["mota"], abs=1e-9)
    assert counts.idf1 == pytest.approx(expected["idf1"], abs=1e-9)
    assert (counts.switches, counts.missed, counts.false) == tuple(expected[names[2:]].astype(int))


def row(scores: Any, *items: tuple[int, float]) -> Any:
    """A frame of boxes of 10x10 px: ids and where they begin."""
    xyxy = np.array([[x, 0, x + 10, 10] for _, x in items], np.float32).reshape(-1, 4)
    return scores.Boxes(np.array([i for i, _ in items], np.int64), xyxy)


def test_scores_by_hand(scores: Any) -> None:
    truth = [row(scores, (1, 0), (2, 100))] * 4
    found = [
        row(scores, (7, 0), (8, 100)),
        row(scores, (7, 0)),
        row(scores, (7, 0), (9, 100), (5, 300)),
        row(scores, (7, 0), (9, 100)),
    ]
    counts = scores.score(truth, found)
    assert (counts.missed, counts.false, counts.switches) == (1, 1, 1)
    assert counts.mota == pytest.approx(1 - 3 / 8)
    # 7 is right 4 times, 9 twice
    assert counts.idf1 == pytest.approx(2 * 6 / (8 + 8))
    # 7 pairs at each limit; association: 4 of 4 for 7, 1 of 4 for 8, 2 of 4 for 9
    assert counts.hota == pytest.approx(np.sqrt(7 / 9 * (4 * 1 + 1 / 4 + 2 * 2 / 4) / 7))


def test_perfect_tracks_score_one_and_none_score_nothing(scores: Any) -> None:
    truth = [row(scores, (1, 3 * i), (2, 100 - 2 * i)) for i in range(9)]
    perfect = scores.score(truth, truth)
    assert (perfect.mota, perfect.idf1, perfect.hota) == (1, 1, 1)
    nothing = scores.score(truth, [row(scores)] * 9)
    assert (nothing.mota, nothing.idf1, nothing.hota, nothing.recall) == (0, 0, 0, 0)


def test_replayed_frames_are_scored(mot: Any, tmp_path: Path) -> None:
    """As `edgerun replay --detections` prints them; raw detections and events do not count."""
    (tmp_path / "gt.txt").write_text("1,1,0,0,10,10,1,-1,-1,-1\n2,1,0,0,10,10,1,-1,-1,-1\n3,1,0,0,10,10,1,-1,-1,-1\n")
    named, raw = (
        {"track_id": 4, "label": "person", "score": 0.9, "box_px": [0, 0, 10, 10]},
        {"track_id": None, "label": "person", "score": 0.9, "box_px": [50, 0, 60, 10]},
    )
    lines = [{"type": "frame", "frame": n, "t": n / 10, "objects": [named, raw]} for n in (1, 3)] + [{"type": "event"}]
    (tmp_path / "replay.jsonl").write_text("\n".join(map(json.dumps, lines)))
    counts = mot.replayed(tmp_path / "replay.jsonl", tmp_path / "gt.txt")
    assert (counts.truth, counts.found, counts.mota) == (2, 2, 1)


@pytest.mark.parametrize(
    "arguments", [["--speed", "--updates", "5"], pytest.param(["--perfect", "--fps", "2"], marks=needs_shared)]
)
def test_the_command_prints_a_table(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, str(EVAL / "mot.py"), *arguments], capture_output=True, text=True, check=True
    )  # fmt: skip
    assert len(done.stdout.splitlines()) >= 2
