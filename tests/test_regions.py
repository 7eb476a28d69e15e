"""The planner shows the model what matters, large enough and within its budget, and joins what it saw."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerun.motion import Motion
from edgerun.regions import Region, RegionOptions, RegionPlanner
from edgerun.regions.crops import Canvas, Interests, choose
from edgerun.tracking import Tracker
from edgerun.types import F32, Detections, Stamp, Tracks
from tests.shared_media import needs_shared

MODEL = (300, 300)
FRAME = (1280, 720)
SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "eval" / "regions.py"


def stamp(at: float, frame: tuple[int, int] = FRAME) -> Stamp:
    return Stamp("yard", round(at * 1000), at, 1.7e9 + at, *frame)


def boxes_of(*rows: Sequence[float]) -> F32:
    return np.array(rows, np.float32).reshape(-1, 4)


def found(*rows: Sequence[float], score: float = 0.9, class_id: int = 0) -> Detections:
    xyxy = boxes_of(*rows)
    return Detections(xyxy, np.full(len(xyxy), score, np.float32), np.full(len(xyxy), class_id, np.int32))


def tracks_of(*rows: Sequence[float], seen: bool = True) -> Tracks:
    boxes = found(*rows)
    ids = np.arange(1, len(boxes) + 1, dtype=np.int64)
    return Tracks(boxes.xyxy, boxes.score, boxes.class_id, ids, np.full(len(boxes), seen))


def moved(*rows: Sequence[float]) -> Motion:
    return Motion(boxes_of(*rows), moving=len(rows) > 0)


STILL = moved()


@dataclass
class World:
    """A camera over a yard, with a detector that sees what a region shows whole and large enough."""

    frame: tuple[int, int] = FRAME
    model: tuple[int, int] = MODEL
    options: RegionOptions = field(default_factory=RegionOptions)
    fps: float = 10.0
    smallest: float = 0.12
    """Part of the model's input that an object's longer side must take up to be seen."""

    def __post_init__(self) -> None:
        self.planner = RegionPlanner(self.options, self.model)
        self.tracker = Tracker(self.fps)
        self.tracks = Tracks.empty()
        self.regions: list[Region] = []
        self.detections = Detections.empty()

    def see(self, region: Region, objects: F32) -> Detections:
        x1, y1, x2, y2 = region.xyxy
        clipped = np.clip(objects, [x1, y1, x1, y1], [x2, y2, x2, y2])
        sides = clipped[:, 2:] - clipped[:, :2]
        part = (sides / (x2 - x1, y2 - y1)).max(axis=1)
        shown = np.prod(sides, axis=1) >= 0.4 * np.prod(objects[:, 2:] - objects[:, :2], axis=1)
        return found(*clipped[shown & (part >= self.smallest)])

    def step(self, at: float, objects: F32, motion: Motion | None) -> None:
        now = stamp(at, self.frame)
        self.regions = self.planner.plan(motion, self.tracks, now)
        self.detections = self.planner.merge([(self.see(region, objects), region) for region in self.regions], now)
        self.tracks = self.tracker.update(self.detections, now) if self.regions else self.tracker.hold(now)
        self.planner.learn(self.tracks, now)

    def holds(self, box: F32) -> bool:
        """Whether a track stands where the box is."""
        centre = (box[:2] + box[2:]) / 2
        return bool(np.any(np.all((self.tracks.xyxy[:, :2] < centre) & (centre < self.tracks.xyxy[:, 2:]), axis=1)))


def area(region: Region) -> int:
    x1, y1, x2, y2 = region.xyxy
    return (x2 - x1) * (y2 - y1)


WHOLE = (0, 0, *FRAME)


def test_small_objects_are_followed_in_small_crops() -> None:
    """A walker whom the whole frame would not show: found by his motion, then followed in crops of his size."""
    world = World()
    for number in range(60):
        at = number / 10
        walker = boxes_of([200 + 40 * at, 300, 225 + 40 * at, 360])
        world.step(at, walker, moved(walker[0]) if at > 1 else Motion(boxes_of(), False, settling=True))
        if at > 2.5:
            assert world.holds(walker[0])
            assert len(world.regions) >= 1
            assert min(area(region) for region in world.regions) <= 330 * 330


def test_large_objects_need_only_the_whole_frame() -> None:
    """Somebody close to the camera: one inference per frame."""
    world = World()
    spent = []
    for number in range(60):
        at = number / 10
        person = boxes_of([400 + 20 * at, 100, 640 + 20 * at, 700])
        world.step(at, person, moved(person[0]))
        if at > 3:
            assert world.holds(person[0])
            spent.append(len(world.regions))
    assert np.mean(spent) <= 1.3


def test_off_is_the_whole_frame_when_something_moves() -> None:
    world = World(options=RegionOptions(mode="off", sweep_s=4))
    looked = []
    for number in range(100):
        motion = moved([10, 10, 60, 60]) if 20 <= number < 30 else STILL
        world.step(number / 10, boxes_of(), motion)
        looked += [number] * len(world.regions)
        assert all(region == Region(WHOLE, "frame") for region in world.regions)
    assert set(range(20, 30)) <= set(looked)
    assert looked[0] == 0
    assert len(looked) == 12  # the first, ten that moved, and one that was due


def test_on_prefers_crops_to_the_whole_frame() -> None:
    planner = RegionPlanner(RegionOptions(mode="on", sweep_s=1000), MODEL)
    box = [300, 200, 420, 400]
    planner.plan(STILL, Tracks.empty(), stamp(0))
    reasons = {region.reason for at in (10, 11, 12) for region in planner.plan(moved(box), tracks_of(box), stamp(at))}
    assert "track" in reasons


def test_a_still_scene_is_looked_at_all_over_now_and_then() -> None:
    """Nothing moves: few inferences, and yet every part of the picture gets its turn."""
    options = RegionOptions(sweep_s=5)
    world = World(options=options)
    last = np.full((FRAME[1] // 8, FRAME[0] // 8), -1.0)
    spent = 0
    for number in range(400):
        world.step(number / 10, boxes_of(), STILL)
        spent += len(world.regions)
        for region in world.regions:
            if region.reason == "sweep":
                x1, y1, x2, y2 = (edge // 8 for edge in region.xyxy)
                last[y1:y2, x1:x2] = number / 10
        if number > 120:
            assert number / 10 - last.min() <= 2.5 * options.sweep_s
    assert spent <= 400 * 0.6


def test_a_parked_car_is_checked_and_not_forgotten() -> None:
    """It stands still for a minute: it keeps its id, is looked at every two seconds or so, and not in every frame."""
    world = World()
    looked = []
    for number in range(800):
        at = number / 10
        car = boxes_of([300 + 40 * min(at, 10), 300, 400 + 40 * min(at, 10), 360])
        world.step(at, car, moved(car[0]) if at < 10 else STILL)
        if at > 5:
            assert world.tracks.track_id.tolist() == [1], at
        if at > 20:
            looked += [at] if any(region.xyxy[0] < 700 and region.xyxy[2] > 800 for region in world.regions) else []
    assert np.diff(looked).max() <= 2.5
    assert len(looked) <= 60  # of 600 frames


@pytest.mark.parametrize("step", range(20))
def test_the_oldest_frame_may_be_merged_while_another_is_planned(step: int) -> None:
    """In another thread, at whatever step of keeping the frame for its own merge."""
    planner = RegionPlanner(RegionOptions(), MODEL)
    cars = tracks_of([700, 300, 800, 360])
    oldest, steps = 0, 0

    def merge_meanwhile(frame: FrameType, event: str, argument: object) -> None:
        nonlocal steps
        if frame.f_code.co_name == "_hold" and event.startswith("c_"):
            steps += 1
            if steps == step:
                planner.merge([], stamp(oldest / 10))

    for number in range(200):
        oldest, steps = number - 16, 0
        sys.setprofile(merge_meanwhile if oldest >= 100 else None)
        try:
            planner.plan(STILL, cars, stamp(number / 10))
        finally:
            sys.setprofile(None)


@pytest.mark.parametrize("mode", ["auto", "off"])
def test_a_parked_car_that_is_gone_is_noticed(mode: str) -> None:
    """It vanishes in a frame that nobody saw: the check finds the place empty and the track ends. Then it is sought for
    a while, and not for ever: an empty yard costs next to nothing again."""
    world, looks = World(options=RegionOptions(mode=mode)), []  # type: ignore[arg-type]  # one of the modes
    for number in range(600):
        at = number / 10
        car = boxes_of([600, 300, 800, 400]) if at < 40 else boxes_of()
        world.step(at, car, moved([550, 280, 820, 420]) if at < 5 else STILL)
        looks += [at] * (at > 55 and any(part.xyxy[0] < 700 < part.xyxy[2] for part in world.regions))
        if 10 < at < 40:
            assert len(world.tracks) == 1
    assert len(world.tracks) == 0
    assert len(looks) <= 4


@pytest.mark.parametrize("mode", ["auto", "off"])
@pytest.mark.parametrize("stood_s", [2, 34])
def test_a_parked_car_that_is_missed_twice_is_soon_found_again(mode: str, stood_s: float) -> None:
    """The detector sees nothing in two looks, one after the other, and nothing in the picture moves."""
    world = World(options=RegionOptions(mode=mode))  # type: ignore[arg-type]  # one of the modes
    car, missed, gone = boxes_of([600, 300, 800, 400]), 0, []
    for number in range(600):
        at = number / 10
        blind = at >= stood_s and missed < 2
        world.step(at, boxes_of() if blind else car, moved(car[0]) if at < 2 else STILL)
        missed += blind and len(world.regions) > 0
        gone += [at] if at > 1 and not len(world.tracks) else []
    assert missed == 2
    assert len(gone) <= 10
    assert world.tracks.track_id.tolist() == [1]


@pytest.mark.parametrize("motion", [None, Motion(boxes_of(), moving=False, settling=True)])
@pytest.mark.parametrize("x", [200, 293, 296, 302, 305, 308, 400])
def test_who_stands_still_is_shown_whole_when_due_wherever_other_crops_end(motion: Motion | None, x: int) -> None:
    """Where motion is not known every part is looked at often, in crops that may cut somebody."""
    world = World(frame=(640, 360), fps=5.0)
    shown = [5.0]
    for number in range(200):
        at = number / 5
        world.step(at, boxes_of([x, 80, x + 40, 180]), motion)
        if at > 5 and any(region.xyxy[0] < x and x + 40 < region.xyxy[2] for region in world.regions):
            shown.append(at)
    assert np.diff([*shown, 40.0]).max() < 3
    assert world.tracks.track_id.tolist() == [1]


@pytest.mark.parametrize("goes_at", [20.0, 20.5, 21.0, 21.5])
def test_who_stood_and_walks_on_is_the_same_where_motion_is_not_known(goes_at: float) -> None:
    """There are far more parts than can be looked at in half a second, and most of them are empty."""
    world = World()
    for number in range(240):
        x = 674 + 32 * max(0, number / 10 - goes_at)
        world.step(number / 10, boxes_of([x, 80, x + 20, 130], [200, 400, 220, 450], [1000, 600, 1020, 650]), None)
    assert sorted(world.tracks.track_id.tolist()) == [1, 2, 3]
    assert world.holds(np.array([x, 80, x + 20, 130], np.float32))


@pytest.mark.parametrize("y", range(240, 420, 20))
def test_who_comes_where_crops_always_end_is_soon_found_where_motion_is_not_known(y: int) -> None:
    """The crops that look over a large picture cut whoever stands between two rows of them."""
    world = World()
    there, comes = [1150, 20, 1210, 130], [340, y, 400, y + 110]
    for number in range(160):
        world.step(number / 10, boxes_of(there, comes) if number >= 133 else boxes_of(there), None)
    assert world.holds(np.array(comes, np.float32))


def test_two_near_one_another_are_not_looked_at_in_one_crop_over_and_over() -> None:
    """A crop around both shows neither as well as it could: what is left goes to each."""
    boxes = boxes_of([426, 73, 482, 138], [287, 212, 342, 278]).astype(np.float64)
    interests = Interests(boxes, np.full(2, 2 / 3), np.full(2, 2.1))
    sides = [crop.xyxy[2] - crop.xyxy[0] for crop in choose(interests, Canvas(FRAME, MODEL, 2 / 3), 3)]
    assert sides == [280, 200, 200]


def test_all_of_a_large_motion_is_looked_at_where_things_are_small() -> None:
    """A group, say: one crop that showed all of it would show each of them too small."""
    planner = RegionPlanner(RegionOptions(mode="on", per_frame=16, per_second=100, sweep_s=1000), MODEL)
    group, someone = [200, 60, 900, 660], tracks_of([600, 300, 620, 360])
    planner.plan(STILL, someone, stamp(0))
    planner.learn(someone, stamp(0))
    regions = [region for region in planner.plan(moved(group), Tracks.empty(), stamp(1)) if region.reason == "motion"]
    assert max(area(region) for region in regions) <= 330 * 330
    x, y = np.meshgrid(np.linspace(210, 890, 50), np.linspace(70, 650, 50))
    seen = [(x > x1) & (x < x2) & (y > y1) & (y < y2) for x1, y1, x2, y2 in (region.xyxy for region in regions)]
    assert np.logical_or.reduce(seen).all()


def test_a_new_arrival_comes_before_those_known() -> None:
    """With one inference per frame, new motion is looked at before the ten objects that are followed."""
    planner = RegionPlanner(RegionOptions(per_frame=1, sweep_s=1000), MODEL)
    known = tracks_of(*([40 + 60 * n, 40, 60 + 60 * n, 90] for n in range(3)))
    for number in range(30):
        planner.plan(STILL, known, stamp(number / 10))
    regions = planner.plan(moved([1100, 600, 1130, 680]), known, stamp(3.1))
    assert [region.reason for region in regions] == ["motion"]


def test_everyone_gets_a_turn_when_the_budget_is_short() -> None:
    """Ten walkers all over the yard and one inference per frame: nobody waits longer than a few seconds."""
    planner = RegionPlanner(RegionOptions(mode="on", per_frame=1), MODEL)
    rows = [[100 + 250 * (n % 5), 100 + 450 * (n // 5), 130 + 250 * (n % 5), 170 + 450 * (n // 5)] for n in range(10)]
    people, seen_at = boxes_of(*rows), np.zeros(10)
    for number in range(200):
        at = number / 10
        for region in planner.plan(moved(*rows), tracks_of(*rows), stamp(at)):
            x1, y1, x2, y2 = region.xyxy
            shown = np.all((people[:, :2] >= (x1, y1)) & (people[:, 2:] <= (x2, y2)), axis=1)
            seen_at[shown & (area(region) < 0.9 * FRAME[0] * FRAME[1])] = at
        if at > 8:
            assert np.max(at - seen_at) <= 5


def test_noise_that_never_turns_out_to_be_anything_does_not_starve_tracks() -> None:
    """Five bushes sway for ever; the one walker is still looked at in every frame."""
    planner = RegionPlanner(RegionOptions(sweep_s=1000), MODEL)
    bushes = [[40 + 240 * n, 20, 90 + 240 * n, 70] for n in range(5)]
    for number in range(50):
        at = number / 10
        walker = [300 + 30 * at, 560, 330 + 30 * at, 640]
        regions = planner.plan(moved(*bushes, walker), tracks_of(walker), stamp(at))
        if number > 10:
            assert any(
                region.xyxy[0] <= walker[0]
                and region.xyxy[1] <= walker[1]
                and region.xyxy[2] >= walker[2]
                and region.xyxy[3] >= walker[3]
                for region in regions
            )


def test_a_calm_false_detection_costs_little() -> None:
    """A statue that scores too little for a track is not looked at in every frame of a still scene."""
    planner = RegionPlanner(RegionOptions(), MODEL)
    spent = 0
    for number in range(300):
        regions = planner.plan(STILL, Tracks.empty(), stamp(number / 10))
        statue = [(found([600, 300, 640, 400], score=0.4), region) for region in regions]
        planner.merge(statue, stamp(number / 10))
        spent += len(regions) if number > 100 else 0
    assert spent <= 200 * 0.8


def test_settling_light_does_not_blind_the_camera() -> None:
    """While the gate cannot tell motion, the frame is looked at all the same."""
    planner = RegionPlanner(RegionOptions(), MODEL)
    settling = Motion(boxes_of(), False, settling=True)
    for number in range(100):
        planner.plan(STILL, Tracks.empty(), stamp(number / 10))
    assert sum(len(planner.plan(settling, Tracks.empty(), stamp(10 + number / 10))) for number in range(10)) >= 5


def test_settling_light_blinds_no_camera_that_is_looked_at_whole() -> None:
    planner = RegionPlanner(RegionOptions(mode="off"), MODEL)
    planner.plan(moved(), Tracks.empty(), stamp(0))
    settling = Motion(boxes_of(), False, settling=True)
    assert all(planner.plan(settling, Tracks.empty(), stamp(number / 10)) for number in range(1, 10))


box_st = st.tuples(*[st.floats(-0.2, 1.2)] * 4).map(
    lambda b: [min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]) + 0.001, max(b[1], b[3]) + 0.001]
)


@settings(max_examples=40)
@given(
    frame=st.tuples(st.integers(2, 2000), st.integers(2, 1200)),
    model=st.sampled_from([(300, 300), (640, 640), (320, 192), (96, 128)]),
    mode=st.sampled_from(["off", "on", "auto"]),
    per_frame=st.integers(1, 6),
    per_second=st.sampled_from([0.5, 2.0, 7.0, 30.0]),
    fps=st.sampled_from([2.0, 5.0, 10.0, 30.0]),
    scenes=st.lists(
        st.tuples(*[st.lists(box_st, max_size=5)] * 2, st.sampled_from(["gate", "none", "light"])),
        min_size=1, max_size=12,
    ),
)  # fmt: skip
def test_crops_lie_in_the_frame_and_the_budget_holds(
    frame: tuple[int, int],
    model: tuple[int, int],
    mode: str,
    per_frame: int,
    per_second: float,
    fps: float,
    scenes: list[tuple[list[list[float]], list[list[float]], str]],
) -> None:
    """Whatever moves wherever: crops are inside, begin at even pixels and fit the model, there are not too many, and no
    two are the same."""
    options = RegionOptions(mode=mode, per_frame=per_frame, per_second=per_second)  # type: ignore[arg-type]  # sampled
    planner = RegionPlanner(options, model)
    spent: list[float] = []
    for number, (motion_rows, track_rows, gate) in enumerate(scenes):
        at = number / fps
        scale = np.tile(frame, 2)
        motion = None if gate == "none" else Motion(boxes_of(*motion_rows) * scale, bool(motion_rows), gate == "light")
        tracks = tracks_of(*(boxes_of(*track_rows) * scale).tolist())
        regions = planner.plan(motion, tracks, stamp(at, frame))
        assert len(regions) <= per_frame
        assert len({region.xyxy for region in regions}) == len(regions)
        spent += [at] * len(regions)
        assert sum(moment > at - 1 + 1e-5 for moment in spent) <= max(per_second, 1)
        for region in regions:
            x1, y1, x2, y2 = region.xyxy
            assert 0 <= x1 < x2 <= frame[0]
            assert 0 <= y1 < y2 <= frame[1]
            assert x1 % 2 == y1 % 2 == 0
            assert (region.reason == "frame") == (region.xyxy == (0, 0, *frame))
            if region.reason != "frame":
                crop_fits(region, frame, model)
        merged = planner.merge([(found([x1, y1, x2, y2]), region) for region in regions], stamp(at, frame))
        assert np.all(np.isfinite(merged.xyxy))
        planner.learn(tracks, stamp(at, frame))


def crop_fits(region: Region, frame: tuple[int, int], model: tuple[int, int]) -> None:
    """The model's aspect to the pixel, unless the frame is too low or too narrow for it."""
    x1, y1, x2, y2 = region.xyxy
    scale = max((x2 - x1) / model[0], (y2 - y1) / model[1])
    for side, size, most in ((x2 - x1, model[0], frame[0]), (y2 - y1, model[1], frame[1])):
        assert side == most or abs(side - scale * size) <= 2.01 + scale
    assert scale >= 0.66 or (x2 - x1, y2 - y1) == frame or x2 - x1 == frame[0] or y2 - y1 == frame[1]


LEFT, RIGHT = Region((100, 100, 400, 400), "track"), Region((300, 100, 600, 400), "track")


def merged(*parts: tuple[Detections, Region]) -> Detections:
    planner = RegionPlanner(RegionOptions(), MODEL)
    planner.plan(None, Tracks.empty(), stamp(0))
    return planner.merge(parts, stamp(0))


def test_what_two_crops_see_is_one_object() -> None:
    out = merged((found([320, 150, 370, 260]), LEFT), (found([322, 152, 371, 262], score=0.8), RIGHT))
    assert len(out) == 1
    assert out.score[0] == pytest.approx(0.9)


def test_different_classes_at_one_place_are_both_kept() -> None:
    out = merged((found([320, 150, 370, 260]), LEFT), (found([322, 152, 371, 262], class_id=1), RIGHT))
    assert sorted(out.class_id.tolist()) == [0, 1]


def test_a_box_cut_by_a_crop_is_demoted() -> None:
    """It ends at the crop's border, so it is a part of something."""
    out = merged((found([360, 150, 400, 260]), LEFT))
    assert out.score[0] == pytest.approx(0.9 * 0.3)


def test_who_stands_whole_beside_a_box_that_is_cut_is_not_demoted() -> None:
    out = merged((found([360, 150, 400, 260], [200, 150, 240, 260]), LEFT))
    assert out.xyxy.tolist() == [[200, 150, 240, 260], [360, 150, 400, 260]]
    assert out.score.tolist() == pytest.approx([0.9, 0.9 * 0.3])


def test_a_box_cut_by_the_frame_is_not() -> None:
    """Somebody who enters is only visible in part, and that is no fault of the crop."""
    out = merged((found([0, 150, 40, 260]), Region((0, 100, 300, 400), "track")))
    assert out.score[0] == pytest.approx(0.9)
    assert merged((found([0, 0, *FRAME]), Region(WHOLE, "frame"))).score[0] == pytest.approx(0.9)


def test_the_part_goes_where_the_whole_is_seen() -> None:
    """The left crop cuts a person whom the right one shows whole: only the whole one is left, although IoU is small."""
    out = merged((found([360, 150, 400, 260], score=0.99), LEFT), (found([360, 150, 470, 290], score=0.5), RIGHT))
    assert out.xyxy.tolist() == [[360, 150, 470, 290]]


def test_a_child_before_an_adult_is_not_a_part() -> None:
    """A box within another is kept as long as no crop cuts it, whatever else is cut."""
    rows = [200, 150, 300, 350], [230, 250, 270, 348]
    assert len(merged((found(*rows), LEFT))) == 2
    assert len(merged((found(*rows, [360, 150, 400, 260]), LEFT))) == 3


def test_a_driver_cut_by_a_crop_is_no_part_of_the_car() -> None:
    out = merged((found([360, 150, 400, 260]), LEFT), (found([340, 140, 560, 300], class_id=1), RIGHT))
    assert sorted(out.class_id.tolist()) == [0, 1]


def test_nothing_seen_is_nothing() -> None:
    assert len(merged()) == 0


@settings(max_examples=50)
@given(rows=st.lists(st.tuples(box_st, st.floats(0.1, 1), st.integers(0, 2)), max_size=12))
def test_merging_twice_changes_nothing(rows: list[tuple[list[float], float, int]]) -> None:
    """And what comes out is a subset, best first."""
    xyxy = boxes_of(*(row for row, _, _ in rows)) * np.float32(300) + np.float32(500)
    scores = np.array([score for _, score, _ in rows], np.float32)
    every = Detections(xyxy, scores, np.array([kind for _, _, kind in rows], np.int32))
    whole = Region(WHOLE, "frame")
    once = merged((every, whole))
    twice = merged((once, whole))
    assert np.array_equal(once.xyxy, twice.xyxy)
    assert np.all(np.diff(once.score) <= 0)
    assert {tuple(row) for row in once.xyxy.tolist()} <= {tuple(row) for row in xyxy.tolist()}


@needs_shared
def test_people_of_a_real_clip() -> None:
    """At 5 frames per second the bundled model finds and follows far more in at most three crops than in the whole
    frame (AP 0.58): the issue's limits with a little room for other machines' arithmetic."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--mode", "auto", "--per-frame", "3", "--fps", "5", "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    row = json.loads(done.stdout)[0]
    assert row["inferences"] <= 3
    assert row["ap"] >= 0.82
    assert row["covered"] >= 0.95
    assert row["recall"] >= 0.80
    assert row["precision"] >= 0.88
