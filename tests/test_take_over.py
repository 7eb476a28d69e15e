"""What a camera's pipeline knows goes on when another one takes over from it, as at a reload: all that is told as
before. What is new begins with who is there, and not as if they came."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerun.motion import MotionOptions
from edgerun.pipeline import Pipeline, PipelineOptions, Result
from edgerun.regions import RegionOptions
from edgerun.rules import RuleBook, RuleOptions
from edgerun.tracking import TrackerOptions
from edgerun.types import Detections, Event, Frame, Stamp
from edgerun.zones import GroundOptions, LineOptions, ZoneOptions
from tests.test_rules import ALL, FLAT, GROUND, LABELS, YARD, rule, stamp, tracks, wander

LEFT = ZoneOptions(polygon=((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)))
MOST = ZoneOptions(polygon=((0.0, 0.0), (0.9, 0.0), (0.9, 1.0), (0.0, 1.0)))
GATE = LineOptions(from_=(0.5, 0.0), to=(0.5, 1.0))
IN = rule(name="in", when="enter", zone="left")
OUT = rule(name="out", when="exit", zone="left")
STAY = rule(name="stay", when="dwell", zone="left", seconds=1.0)
STAND = rule(name="stand", when="stationary", zone="left", seconds=1.0)
GONE = rule(name="gone", when="removed", zone="left", seconds=1.0)
SOME = rule(name="some", when="count", zone="left", at_least=1, labels=("person",))
NONE = rule(name="none", when="absent", zone="left", seconds=1.0)
PASS = rule(name="pass", when="cross", line="gate")
FAST = rule(name="fast", when="speed", zone="left", min_speed_kmh=20.0)
BOTH = rule(name="both", when="all", all=("stay", "pass"), seconds=2.0)


def book(
    *rules: RuleOptions, left: ZoneOptions = LEFT, gate: LineOptions = GATE, ground: GroundOptions = FLAT
) -> RuleBook:
    return RuleBook(rules, {"left": left}, {"gate": gate}, LABELS, ground=ground)


def walk(rules: RuleBook, first: int, last: int, x: float, step: float = 0.0) -> list[Event]:
    """One track in these frames, ten a second; from ``x`` it goes so many pixels with each."""
    told = []
    for frame in range(first, last):
        told += rules.update(tracks([(1, x + step * (frame - first), 300)]), stamp(frame / 10))
    return told


def short(events: Sequence[Event]) -> list[tuple[str, str, float]]:
    return [(event.rule, event.phase, event.stamp.captured) for event in events]


NEW = [  # what is told at once or soon, as the rule or its zone and line are new, and what as they go
    (IN, [], [], []),
    (OUT, [], [], [("out", "instant", 7.4)]),
    (STAY, [("stay", "start", 3.0)], [("stay", "start", 3.9)], [("stay", "end", 7.4)]),
    (STAND, [("stand", "start", 3.0)], [("stand", "start", 3.9)], [("stand", "end", 6.8)]),
    (GONE, [], [], [("gone", "instant", 6.8)]),
    (SOME, [("some", "start", 3.0)], [("some", "start", 3.0)], [("some", "end", 7.4)]),
    (NONE, [], [], [("none", "start", 8.4)]),
    (PASS, [], [], [("pass", "instant", 7.2)]),
    (FAST, [], [], [("fast", "instant", 6.6)]),
]


@pytest.mark.parametrize("changed", ["rule", "zone"])
@pytest.mark.parametrize(("new", "by_rule", "by_zone", "goes"), NEW, ids=[new.name for new, *_ in NEW])
def test_what_is_new_begins_with_who_is_there(
    new: RuleOptions, by_rule: list[Any], by_zone: list[Any], goes: list[Any], changed: str
) -> None:
    """Nobody comes in who was in, those who stay have been there as long as anybody knows, and what they do next is
    told."""
    before = book() if changed == "rule" else book(new, left=MOST, gate=LineOptions(from_=(0.6, 0.0), to=(0.6, 1.0)))
    walk(before, 0, 30, 200)
    after = book(new)
    after.take_over(before)
    assert short(walk(after, 30, 60, 200)) == (by_rule if changed == "rule" else by_zone)
    assert short(walk(after, 60, 90, 200, 12)) == goes


def test_what_began_by_the_same_rule_goes_on_and_all_else_ends_once() -> None:
    """Under its number, whatever else comes, goes or takes another place."""
    before = book(STAY, SOME, rule(name="long", when="dwell", zone="left", seconds=1.0), STAND)
    begun = {event.rule: event.episode for event in walk(before, 0, 30, 200)}
    assert sorted(begun) == ["long", "some", "stand", "stay"]
    after = book(PASS, IN, rule(name="long", when="dwell", zone="left", seconds=4.0), SOME, NONE, STAY)
    after.take_over(before)
    assert {event.rule: event.episode for event in before.finish(stamp(2.9))} == {
        "long": begun["long"], "stand": begun["stand"],
    }  # fmt: skip
    told = walk(after, 30, 60, 200)
    assert short(told) == [("long", "start", 4.0)]
    assert told[0].episode not in begun.values()
    ends = {event.rule: event.episode for event in after.finish(stamp(6.0))}
    assert ends == {"some": begun["some"], "stay": begun["stay"], "long": told[0].episode}


@pytest.mark.parametrize(("cooldown_s", "told"), [(60.0, []), (59.0, [("comes", "instant", 5.3)])])
@pytest.mark.parametrize("what", ["cooldown_s", "track_cooldown_s"])
def test_rule_cools_down_on_unless_it_is_changed(what: str, cooldown_s: float, told: list[Any]) -> None:
    before, now = (rule(name="comes", when="enter", zone="left", **{what: wait_s}) for wait_s in (60.0, cooldown_s))
    first = book(STAY, before)
    assert ("comes", "instant", 0.3) in short(walk(first, 0, 10, 200))
    for frame in range(10, 50):
        first.update(tracks([]), stamp(frame / 10))
    after = book(now)
    after.take_over(first)
    assert short(walk(after, 50, 60, 260)) == told


def test_alert_that_waits_for_the_score_is_still_told() -> None:
    """And what happened, or lasts, still serves a rule about several."""
    sure = rule(name="sure", when="enter", zone="left", min_score=0.95)
    before = book(sure, STAY, PASS)
    assert short(walk(before, 0, 20, 200)) == [("stay", "start", 1.0)]
    after = book(BOTH, PASS, sure, STAY)
    after.take_over(before)
    good = tracks([(1, 200, 300)])
    good.score[:] = 1
    told = [event for frame in range(20, 50) for event in after.update(good, stamp(frame / 10))]
    assert short(told) == [("sure", "instant", 2.7)]
    again = book(PASS, STAY, BOTH)
    again.take_over(after)
    walker = tracks([(1, 200, 300), (2, 360, 300)])
    told = [event for frame in range(50, 55) for event in again.update(walker, stamp(frame / 10))]
    walker = tracks([(1, 200, 300), (2, 260, 300)])
    told += [event for frame in range(55, 60) for event in again.update(walker, stamp(frame / 10))]
    assert [(event.rule, [item.track_id for item in event.objects]) for event in told] == [
        ("pass", [2]), ("both", [1, 2]),
    ]  # fmt: skip


def test_speed_is_not_measured_over_two_grounds() -> None:
    """Places on the one and on the other are far apart, and nobody went from here to there."""
    before, far = book(FAST), GroundOptions(points=FLAT.points, meters=tuple((x + 500, y) for x, y in FLAT.meters))
    assert walk(before, 0, 20, 200, 1) == []
    after = book(FAST, ground=far)
    after.take_over(before)
    assert walk(after, 20, 50, 220, 1) == []


def test_label_that_is_not_followed_any_more_is_no_one_who_leaves() -> None:
    """What began with it ends, and it is not counted; all others stay."""
    before = book(OUT, STAY)
    both = tracks([(1, 200, 300), (2, 100, 300)], class_id=(0, 1))
    for frame in range(30):
        before.update(both, stamp(frame / 10))
    assert before.occupancy() == {("left", "person"): 1, ("left", "car"): 1}
    after = book(OUT, STAY, IN)
    after.take_over(before, ["person"])
    assert before.finish(stamp(2.9)) == []
    ended = after.update(tracks([(1, 200, 300)]), stamp(3.0))
    assert [(event.rule, event.phase, event.objects[0].label) for event in ended] == [("stay", "end", "car")]
    assert after.occupancy() == {("left", "person"): 1}
    assert walk(after, 31, 90, 200) == []
    assert after.occupancy() == {("left", "person"): 1}


def test_counts_that_were_told_once_are_told_on() -> None:
    """A zero is no less news than before; of a zone that is gone there is none."""
    before = book(IN)
    walk(before, 0, 10, 200)
    assert before.occupancy() == {("left", "person"): 1}
    walk(before, 10, 30, 500)
    assert before.occupancy() == {("left", "person"): 0}
    after, without = book(), RuleBook([], {"yard": YARD}, {}, LABELS)
    after.take_over(before)
    assert after.occupancy() == {("left", "person"): 0}
    without.take_over(after)
    assert without.occupancy() == {}


@pytest.mark.parametrize(
    ("told", "step_s", "way"),
    [
        (IN, 0.1, [400] * 10 + [300] * 2 + [400] * 9 + [300] * 9),
        (PASS, 0.1, [400] * 10 + [300] * 2 + [400] * 9 + [300] * 9),
        (GONE, 0.1, [200] * 30 + [240] * 2 + [200] * 9 + [240] * 2 + [200] * 9 + [300] * 9),
        (rule(name="stay", when="dwell", zone="left", seconds=22.0), 5.0, [200] * 9),
    ],
    ids=lambda value: value.name if isinstance(value, RuleOptions) else "",
)
def test_what_is_in_doubt_is_so_on(told: RuleOptions, step_s: float, way: list[int]) -> None:
    """And over, for those who are back: what they do later is told no sooner. A slow camera is known to be one."""
    gate = LineOptions(from_=GATE.from_, to=GATE.to, inertia_s=0.3)
    straight = renewed = book(told, gate=gate)
    events: tuple[list[Event], list[Event]] = [], []
    for frame, x in enumerate(way):
        before, renewed = deepcopy(renewed), book(told, gate=gate)
        renewed.take_over(before)
        for rules, noted in zip((straight, renewed), events, strict=True):
            noted += rules.update(tracks([(1, x, 300)]), stamp(frame * step_s))
    assert short(events[1]) == short(events[0])
    assert len(events[0]) == 1


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_equal_rules_in_another_order_tell_the_same(seed: int) -> None:
    """Whatever the tracks do, and whenever they take over; but for the numbers of episodes."""
    rng = np.random.default_rng(seed)
    straight = other = RuleBook(ALL, {"yard": YARD}, {"gate": GATE}, LABELS, ground=GROUND)
    for seen, now in wander(seed, 150):
        if other is straight or rng.random() < 0.3:
            before, order = deepcopy(other), rng.permutation(len(ALL))
            other = RuleBook([ALL[i] for i in order], {"yard": YARD}, {"gate": GATE}, LABELS, ground=GROUND)
            other.take_over(before)
            assert before.finish(now) == []
        told, expected = (
            sorted(repr(replace(event, episode=0)) for event in rules.update(seen, now)) for rules in (other, straight)
        )
        assert told == expected


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_whatever_rules_take_over(seed: int) -> None:
    """Starts end once, episodes are never reused, and who enters by the same rule leaves once."""
    rng = np.random.default_rng(seed)
    needed = {"in", "out", "crowd", "both"}

    def drawn() -> RuleBook:
        rules = [one for one in ALL if one.name in needed or rng.random() < 0.5]
        zones = {"yard": YARD} if rng.random() < 0.5 else {"other": LEFT, "yard": YARD}
        order = rng.permutation(len(rules))
        return RuleBook([rules[i] for i in order], zones, {"gate": GATE}, LABELS, ground=GROUND)

    rules, events, last = drawn(), list[Event](), stamp(0)
    for seen, last in wander(seed, 150):
        if rng.random() < 0.2:
            before, rules = rules, drawn()
            rules.take_over(before)
            events += before.finish(last)
        events += rules.update(seen, last)
        names = Counter(event.rule for event in events)
        inside = sum(count for (zone, _), count in rules.occupancy().items() if zone == "yard")
        assert names["in"] - names["out"] == inside
    events += rules.finish(last)
    starts, ends, others = (
        [event.episode for event in events if event.phase == phase] for phase in ("start", "end", "instant")
    )
    assert sorted(starts) == sorted(ends)
    assert len({*starts, *others}) == len(starts) + len(others)


def pipeline(**told: Any) -> Pipeline:
    options: dict[str, Any] = {
        "fps": 10, "labels": (), "motion": MotionOptions(), "regions": RegionOptions(mode="on"), "ground": None,
        "tracker": TrackerOptions(), "zones": {"left": LEFT}, "lines": {}, "rules": [IN], "place": None,
    }  # fmt: skip
    return Pipeline(PipelineOptions(**options | told), LABELS, (160, 160))


def watched(pipelines: Sequence[Pipeline]) -> list[Result]:
    """What one person who walks to the right for a while and one who stands come to, a pipeline for each frame."""
    noise, results = np.random.default_rng(3), []
    for seq, looking in enumerate(pipelines):
        x = 100 + 4 * min(seq, 20)
        picture = noise.integers(90, 94, (480, 640, 3), np.uint8)
        boxes = np.array([[x, 100, x + 40, 200], [250, 300, 290, 400]], np.float32)
        for left, top, right, bottom in boxes.astype(int).tolist():
            picture[top:bottom, left:right] = 220
        if seq and looking is not pipelines[seq - 1]:
            looking.take_over(pipelines[seq - 1])
            assert pipelines[seq - 1].end() == []
        look = looking.look(Frame(Stamp("porch", seq, seq / 10, 1.8e9 + seq / 10, 640, 480), "rgb24", (picture,)))
        found = Detections(boxes, np.full(2, 0.9, np.float32), np.zeros(2, np.int32))
        parts = [(found.take(_within(boxes, region.xyxy)), region) for region in look.regions]
        results.append(looking.finish(look, parts))
    return results


def _within(boxes: Any, xyxy: Any) -> Any:
    return (boxes[:, :2] > xyxy[:2]).all(axis=1) & (boxes[:, 2:] < xyxy[2:]).all(axis=1)


def test_equal_pipeline_looks_and_finds_as_if_it_were_the_one_before() -> None:
    """The background, what stands still and where it was looked last are known on."""
    one = pipeline()
    straight, taken_over = watched([one] * 60), watched([pipeline() for _ in range(60)])
    assert [result.look.regions for result in taken_over] == [result.look.regions for result in straight]
    assert [result.tracks.track_id.tolist() for result in taken_over] == [
        result.tracks.track_id.tolist() for result in straight
    ]
    assert [result.events for result in taken_over] == [result.events for result in straight]
    assert len({len(result.look.regions) for result in straight}) > 2


@pytest.mark.parametrize(
    "told",
    [{"tracker": TrackerOptions(memory_s=3.0, alike=(("person", "car"),))}, {"motion": MotionOptions(enabled=False)},
     {"regions": RegionOptions(mode="off")}, {"labels": ("person",)}, {"score": 0.6}],
    ids=lambda told: next(iter(told)),
)  # fmt: skip
def test_ids_go_on_whatever_else_is_told(told: dict[str, Any]) -> None:
    before, after = pipeline(), pipeline(**told)
    results = watched([before] * 30 + [after] * 30)
    assert results[-1].tracks.track_id.tolist() == results[29].tracks.track_id.tolist() == [1, 2]
    assert [event.rule for result in results for event in result.events] == ["in", "in"]
    assert after.score == told.get("score", 0.5)


def test_way_of_looking_is_that_which_is_told_now() -> None:
    """With the motion gate off each frame is looked at, and with regions off all of it."""
    before, unsaid = pipeline(), {"motion": MotionOptions(enabled=False), "regions": RegionOptions(mode="off")}
    before.model_size = (320, 320)
    after = pipeline(**unsaid)
    results = watched([before] * 50 + [after] * 9)
    assert [[region.xyxy for region in result.look.regions] for result in results[50:]] == [[(0, 0, 640, 480)]] * 9
    assert after.model_size == (320, 320), "of the file of the model that serves now"


def test_two_take_over_between_two_frames() -> None:
    """What began ends with the rule, and nobody leaves whose label was left out."""
    before, between = pipeline(rules=[OUT, STAY]), pipeline(rules=[OUT, STAY])
    assert [event.rule for result in watched([before] * 30) for event in result.events] == ["stay", "stay"]
    between.take_over(before)
    assert before.end() == []
    after = pipeline(rules=[OUT], labels=("car",))
    after.take_over(between)
    assert [event.phase for event in between.end()] == ["end", "end"]
    told = watched([after] * 30)
    assert [event for result in told for event in result.events] == []
    assert {count for result in told for count in result.occupancy.values()} <= {0}


def test_score_that_was_commanded_stays_unless_the_configuration_says_another() -> None:
    before, after = pipeline(), pipeline(tracker=TrackerOptions(memory_s=3.0))
    before.score = 0.3
    after.take_over(before)
    assert after.score == 0.3
    for told, score in (({"score": 0.6}, 0.6), ({"score": 0.6, "tracker": TrackerOptions(start_score=0.7)}, 0.7)):
        before, after = after, pipeline(**told)
        after.take_over(before)
        assert after.score == score
