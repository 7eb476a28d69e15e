"""What stands still is not looked at in each frame. It is taken to be there, with the score that it had; but that is no
new detection."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from edgerun.motion import MotionOptions
from edgerun.pipeline import Pipeline, PipelineOptions
from edgerun.regions import RegionOptions
from edgerun.rules import RuleOptions
from edgerun.tracking import TrackerOptions
from edgerun.types import Detections, Event, Frame, Stamp
from edgerun.zones import ZoneOptions

EVERYWHERE = ZoneOptions(polygon=((0, 0), (1, 0), (1, 1), (0, 1)))
STATUE = np.array([[450, 300, 490, 400]], np.float32)


def told(region_options: RegionOptions, walks: bool, scores: Mapping[int, float]) -> tuple[list[Event], int]:
    """The events about a statue with a score of 0.6, and other ``scores`` at its n-th look; and how often it was looked
    at in a minute. Beside it somebody ``walks``, or nobody is."""
    rule = RuleOptions(name="sure", when="enter", zone="all", min_score=0.68, labels=("statue",))
    options = PipelineOptions(
        fps=10, labels=(), motion=MotionOptions(), regions=region_options, tracker=TrackerOptions(),
        zones={"all": EVERYWHERE}, lines={}, rules=[rule], ground=None, place=None,
    )  # fmt: skip
    pipeline, noise, events, looks = (
        Pipeline(options, ("statue", "person"), (160, 160)),
        np.random.default_rng(3),
        [],
        0,
    )
    for seq in range(600):
        x = 20 + 300 * abs(1 - seq / 50 % 2)
        boxes = np.concatenate([STATUE, [[x, 20, x + 40, 120]]]).astype(np.float32)[: 1 + walks]
        picture = noise.integers(90, 94, (480, 640, 3), np.uint8)
        for left, top, right, bottom in boxes.astype(int).tolist():
            picture[top:bottom, left:right] = 220
        stamp = Stamp("porch", seq, seq / 10, 1.8e9 + seq / 10, 640, 480)
        look = pipeline.look(Frame(stamp, "rgb24", (picture,)))
        score, parts = np.array([scores.get(looks, 0.6), 0.9], np.float32), []
        for region in look.regions:
            low, high = np.array(region.xyxy[:2]), np.array(region.xyxy[2:])
            there = (boxes[:, :2] > low).all(axis=1) & (boxes[:, 2:] < high).all(axis=1)
            found = Detections(boxes, score[: len(boxes)], np.arange(len(boxes), dtype=np.int32))
            parts.append((found.take(np.flatnonzero(there)), region))
        looks += any(0 in part.class_id for part, _ in parts)
        events += pipeline.finish(look, parts).events
    return events, looks


@pytest.mark.parametrize(
    ("region_options", "walks"),
    [(RegionOptions(mode="off"), False), (RegionOptions(mode="on"), False), (RegionOptions(mode="on"), True)],
    ids=["all or nothing", "crops", "crops elsewhere"],
)
def test_one_good_look_decides_nothing_however_long_it_holds(region_options: RegionOptions, walks: bool) -> None:
    """And enough of them do."""
    _, looks = told(region_options, walks, {})
    assert 30 < looks < 150
    late = looks - 20
    assert told(region_options, walks, {late: 0.99})[0] == []
    (event,), _ = told(region_options, walks, dict.fromkeys(range(late, looks), 0.99))
    assert event.objects[0].score > 0.68
