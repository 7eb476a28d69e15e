"""A van that the detector calls a car and a truck by turns, or both at once: one thing for rules, counts and boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from edgerun.motion import MotionOptions
from edgerun.pipeline import Pipeline, PipelineOptions, Result
from edgerun.regions import RegionOptions
from edgerun.rules import RuleOptions
from edgerun.tracking import TrackerOptions
from edgerun.types import Detections, Frame, Stamp
from edgerun.zones import LineOptions, ZoneOptions

SIZE = 640, 480
CAR, TRUCK = 0, 1
PICTURE = (np.zeros((*SIZE[::-1], 3), np.uint8),)
EVERYWHERE = ZoneOptions(polygon=((0, 0), (1, 0), (1, 1), (0, 1)))


def drive(
    names: Sequence[tuple[int, ...]], labels: tuple[str, ...] = (), tracker: TrackerOptions | None = None
) -> list[Result]:
    """From left to right, over a line in the middle; ``names``: what it is called in each frame, the surest first."""
    options = PipelineOptions(
        fps=10, labels=labels, motion=MotionOptions(enabled=False), regions=RegionOptions(mode="off"),
        tracker=tracker or TrackerOptions(), zones={"street": EVERYWHERE}, ground=None, place=None,
        lines={"middle": LineOptions(from_=(0.5, 1.0), to=(0.5, 0.0))},
        rules=[
            RuleOptions(name="passes", when="cross", line="middle", labels=("car", "truck")),
            RuleOptions(name="comes", when="enter", zone="street", labels=("truck",)),
        ],
    )  # fmt: skip
    pipeline = Pipeline(options, ("car", "truck", "person"), (320, 320))
    results = []
    for seq, called in enumerate(names):
        x = 40 + 10 * seq
        boxes = np.array([[x + shift, 200 + shift, x + 120, 280] for shift in range(len(called))], np.float32).reshape(
            -1, 4
        )
        scores = np.array([0.9 - 0.2 * place for place in range(len(called))], np.float32)
        stamp = Stamp("street", seq, seq / 10, 1.8e9 + seq / 10, *SIZE)
        look = pipeline.look(Frame(stamp, "rgb24", PICTURE))
        results.append(
            pipeline.finish(look, [(Detections(boxes, scores, np.array(called, np.int32)), look.regions[0])])
        )
    return results


def events(results: list[Result]) -> list[tuple[str, str]]:
    return [(event.rule, event.objects[0].label) for result in results for event in result.events]


@pytest.mark.parametrize("names", [[(CAR,), (CAR,), (TRUCK,)] * 16, [(CAR, TRUCK), (CAR,), (TRUCK, CAR)] * 16])
def test_it_passes_once_and_counts_once(names: list[tuple[int, ...]]) -> None:
    results = drive(names)
    assert events(results) == [("passes", "car")]
    assert {len(result.tracks) for result in results[5:]} == {1}
    assert results[-1].occupancy == {("street", "car"): 1, ("street", "truck"): 0}
    assert not sum(len(result.loose(0.5)) for result in results[5:]), "no second box beside the one with an id"


def test_rules_about_what_it_turns_out_to_be() -> None:
    results = drive([(CAR,)] * 6 + [(TRUCK,)] * 42)
    assert events(results) == [("comes", "truck"), ("passes", "truck")]
    assert {i for result in results for i in result.tracks.track_id.tolist()} == {1}


def test_it_comes_back_under_another_name_after_nobody_saw_it_for_a_while() -> None:
    """For longer than the tracker looks for it."""
    results = drive([(TRUCK,)] * 10 + [()] * 13 + [(CAR,)] * 20)
    assert {i for result in results for i in result.tracks.track_id.tolist()} == {1, 2}
    assert events(results) == [("comes", "truck"), ("passes", "car")]
    assert results[-1].occupancy == {("street", "car"): 1, ("street", "truck"): 0}


def test_where_one_label_is_wanted_the_others_take_nothing_from_it() -> None:
    assert events(drive([(CAR, TRUCK)] * 48, labels=("truck",))) == [("comes", "truck"), ("passes", "truck")]


def test_each_on_its_own_where_that_is_asked_for() -> None:
    results = drive([(CAR, TRUCK)] * 48, tracker=TrackerOptions(alike=()))
    assert sorted(events(results)) == [("comes", "truck"), ("passes", "car"), ("passes", "truck")]


def test_a_label_that_the_model_does_not_know() -> None:
    with pytest.raises(ValueError, match="the model does not know the label 'lorry'"):
        drive([], tracker=TrackerOptions(alike=(("car", "lorry"),)))
