"""The tracker: who is who, for how long, and at what frame rates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerun.tracking import ClassGroups, Tracker, TrackerOptions
from edgerun.types import Detections, Stamp, Tracks

SIZE = (640, 480)


def at(seconds: float) -> Stamp:
    return Stamp("test", round(seconds * 1000), seconds, 1.7e9 + seconds, *SIZE)


def boxes(xyxy: npt.ArrayLike, score: float | Sequence[float] = 0.9, class_id: int | Sequence[int] = 0) -> Detections:
    rows = np.asarray(xyxy, np.float32).reshape(-1, 4)
    n = len(rows)
    return Detections(rows, np.full(n, score, np.float32), np.full(n, class_id, np.int32))


def walker(x: float, y: float = 200.0) -> list[float]:
    return [x, y, x + 40, y + 100]


def walk(
    tracker: Tracker, frames: Sequence[Detections], fps: float = 10.0, start: float = 0.0
) -> Iterator[tuple[float, Tracks]]:
    for number, detections in enumerate(frames):
        seconds = start + number / fps
        yield seconds, tracker.update(detections, at(seconds))


def last(tracker: Tracker, frames: Sequence[Detections], fps: float = 10.0, start: float = 0.0) -> Tracks:
    return list(walk(tracker, frames, fps, start))[-1][1]


def standing(score: float = 0.9) -> Detections:
    return boxes([walker(100)], score)


class TestConfirmation:
    def test_a_sure_object_counts_within_half_a_second(self) -> None:
        times = [t for t, tracks in walk(Tracker(), [standing()] * 10) if len(tracks)]
        assert times[0] <= 0.3

    def test_one_box_alone_is_not_enough(self) -> None:
        assert len(last(Tracker(), [boxes([]), standing(0.7), boxes([])])) == 0

    @pytest.mark.parametrize(("every", "told"), [(2, True), (3, False)])
    def test_what_is_seen_now_and_then_only_is_nobody(self, every: int, told: bool) -> None:
        """At 10 frames a second a new track may be missed once, however sure each of its boxes is."""
        frames = [boxes([]) if number % every else standing() for number in range(60)]
        assert any(len(tracks) for _, tracks in walk(Tracker(), frames)) is told

    def test_what_was_doubtful_for_long_counts_as_soon_as_anything_new_once_it_is_sure(self) -> None:
        doubtful = [standing(0.6)] + [standing(0.12)] * 20
        told = [len(tracks) for _, tracks in walk(Tracker(), doubtful + [standing(0.9)] * 5)]
        assert told == [0] * len(doubtful) + [len(tracks) for _, tracks in walk(Tracker(), [standing(0.9)] * 5)]

    @pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
    def test_of_boxes_upon_one_another_the_best_is_followed_in_whatever_order_they_come(self, order: list[int]) -> None:
        frame = boxes([walker(100), walker(112), walker(124)], [0.6, 0.95, 0.7]).take(np.array(order))
        tracks = last(Tracker(), [frame] * 10)
        assert tracks.track_id.tolist() == [1]
        assert tracks.xyxy[0].tolist() == walker(112)

    def test_a_doubtful_object_needs_longer_than_a_sure_one(self) -> None:
        first = {s: next(t for t, r in walk(Tracker(), [standing(s)] * 60) if len(r)) for s in (0.6, 0.99)}
        assert first[0.6] > first[0.99]

    def test_a_new_track_tells_once_where_it_was_first_seen_and_when(self) -> None:
        frames = [boxes([walker(20)])] * 5 + [boxes([walker(20), walker(300 + 10 * i)]) for i in range(6)]
        told = [(t, r) for t, r in walk(Tracker(), frames) if r.past is not None]
        assert [r.track_id.tolist() for _, r in told] == [[1], [1, 2]]
        seconds, tracks = told[1]
        assert tracks.past is not None
        assert tracks.past.xyxy.tolist() == [walker(20), walker(300)]
        assert tracks.past.ago_s.tolist() == pytest.approx([seconds, seconds - 0.5])

    def test_weak_boxes_start_nothing_but_carry_a_track_on(self) -> None:
        weak = [standing(0.2)] * 10
        assert len(last(Tracker(), weak)) == 0
        tracker = Tracker()
        before = last(tracker, [standing()] * 10)
        after = last(tracker, weak[:5], start=1.0)
        assert after.track_id.tolist() == before.track_id.tolist() == [1]
        assert after.seen.all()

    def test_what_lives_on_the_weakest_boxes_alone_is_told_of_no_more_until_a_good_one_comes(self) -> None:
        tracker = Tracker()
        last(tracker, [standing()] * 10)
        told = [len(tracks) for _, tracks in walk(tracker, [standing(0.12)] * 30, start=1.0)]
        assert told[:5] == [1] * 5
        assert told[-1] == 0
        assert last(tracker, [standing(0.9)] * 3, start=4.0).track_id.tolist() == [1]

    def test_at_two_frames_a_second_it_takes_no_more_than_a_second(self) -> None:
        times = [t for t, tracks in walk(Tracker(2.0), [standing()] * 5, 2.0) if len(tracks)]
        assert times[0] <= 1.0


class TestCoasting:
    def test_a_missed_frame_shows_the_track_unseen_where_it_should_be(self) -> None:
        tracker = Tracker()
        last(tracker, [boxes([walker(100 + 8 * i)]) for i in range(15)])
        coasting = tracker.update(Detections.empty(), at(1.5))
        assert coasting.seen.tolist() == [False]
        assert coasting.xyxy[0, 0] == pytest.approx(100 + 8 * 15, abs=4)

    def test_a_track_comes_back_under_its_id_from_behind_something(self) -> None:
        tracker = Tracker()
        last(tracker, [boxes([walker(100 + 8 * i)]) for i in range(15)])
        hidden = last(tracker, [Detections.empty()] * 8, start=1.5)
        assert len(hidden) == 0
        back = last(tracker, [boxes([walker(100 + 8 * i)]) for i in (23, 24)], start=2.3)
        assert back.track_id.tolist() == [1]

    def test_after_its_memory_it_is_somebody_new(self) -> None:
        tracker = Tracker(options=TrackerOptions(memory_s=1.0))
        last(tracker, [standing()] * 10)
        assert last(tracker, [standing()] * 10, start=3.0).track_id.tolist() == [2]

    def test_coast_s_is_seconds_at_any_frame_rate(self) -> None:
        for fps in (5.0, 10.0, 25.0):
            tracker = Tracker(fps, TrackerOptions(coast_s=0.6, memory_s=2.0))
            last(tracker, [standing()] * 30, fps)
            gone = [t for t, r in walk(tracker, [Detections.empty()] * 60, fps, start=30 / fps) if not len(r)]
            assert gone[0] - 29 / fps == pytest.approx(0.6, abs=1 / fps + 1e-6)

    def test_who_left_the_picture_is_forgotten(self) -> None:
        tracker = Tracker(options=TrackerOptions(memory_s=5.0))
        last(tracker, [boxes([walker(500 + 10 * i)]) for i in range(12)])
        last(tracker, [Detections.empty()] * 15, start=1.2)
        again = last(tracker, [boxes([walker(590)])] * 10, start=2.7)
        assert again.track_id.tolist() == [2]


class TestWhoIsWho:
    def test_two_who_pass_each_other_keep_their_ids(self) -> None:
        """Seen as one while they overlap."""
        tracker = Tracker()
        frames = []
        for i in range(40):
            left, right = walker(100 + 8 * i), walker(420 - 8 * i)
            frames.append(boxes([left] if abs(left[0] - right[0]) < 20 else [left, right]))
        sides = [dict(zip(r.track_id.tolist(), r.xyxy[:, 0].tolist(), strict=True)) for _, r in walk(tracker, frames)]
        assert sides[8][1] < sides[8][2] or sides[8][2] < sides[8][1]
        assert sorted(sides[8], key=lambda i: sides[8][i]) == sorted(sides[-1], key=lambda i: -sides[-1][i])

    def test_someone_who_stands_keeps_the_id_as_another_walks_by(self) -> None:
        tracker = Tracker()
        frames = []
        for i in range(40):
            passer = walker(100 + 10 * i)
            frames.append(boxes([passer, walker(300)] if abs(passer[0] - 300) > 25 else [walker(300)]))
        shown = [r for _, r in walk(tracker, frames)]
        by_id = {i: [float(r.xyxy[r.track_id == i, 0][0]) for r in shown if i in r.track_id] for i in (1, 2)}
        still = min(by_id, key=lambda i: np.ptp(by_id[i]))
        assert np.ptp(by_id[still]) < 15
        assert by_id[3 - still][-1] > 450

    def test_classes_are_never_joined(self) -> None:
        tracker = Tracker()
        last(tracker, [standing()] * 10)
        other = last(tracker, [boxes([walker(100)], class_id=3)] * 10, start=1.0)
        assert other.track_id.tolist() == [2]
        assert other.class_id.tolist() == [3]

    def test_a_second_box_upon_a_tracked_object_is_no_second_object(self) -> None:
        twice = boxes([walker(100), [104.0, 205.0, 138.0, 290.0]], [0.9, 0.8])
        assert last(Tracker(), [twice] * 20).track_id.tolist() == [1]

    def test_ids_differ_between_instances_only_by_their_own_history(self) -> None:
        first, second = Tracker(), Tracker()
        last(first, [standing()] * 10)
        assert last(second, [standing()] * 10).track_id.tolist() == [1]

    def test_reset_forgets_everyone_but_uses_no_id_again(self) -> None:
        tracker = Tracker()
        last(tracker, [standing()] * 10)
        tracker.reset()
        assert last(tracker, [standing()] * 10, start=0.0).track_id.tolist() == [2]


CAR, TRUCK, PERSON = 0, 1, 2
NAMES = ("car", "truck", "person")


def called(names: Sequence[int], start: int = 0) -> list[Detections]:
    """Something that drives past, and what a detector calls it in each frame."""
    return [boxes([walker(100 + 8 * i)], class_id=name) for i, name in enumerate(names, start)]


def ids_and_classes(tracker: Tracker, frames: Sequence[Detections], fps: float = 10.0) -> list[tuple[int, int]]:
    """Of all that is told of, in the order of time; each as long as it stays the same counts once."""
    told: list[tuple[int, int]] = []
    for _, tracks in walk(tracker, frames, fps):
        for one in zip(tracks.track_id.tolist(), tracks.class_id.tolist(), strict=True):
            if one not in told[-1:]:
                told.append(one)
    return told


class TestClassGroups:
    @pytest.mark.parametrize("fps", [3.0, 10.0, 30.0])
    def test_what_is_called_a_car_and_a_truck_by_turns_is_one_thing_with_one_name(self, fps: float) -> None:
        tracker = Tracker(fps, groups=ClassGroups(None, NAMES))
        assert ids_and_classes(tracker, called([CAR, CAR, TRUCK, CAR, TRUCK] * 10), fps) == [(1, CAR)]

    def test_it_takes_the_name_that_most_boxes_have_and_keeps_its_id(self) -> None:
        tracker = Tracker(groups=ClassGroups(None, NAMES))
        assert ids_and_classes(tracker, called([CAR] * 2 + [TRUCK] * 20 + [CAR] * 8)) == [(1, CAR), (1, TRUCK)]

    def test_a_first_impression_is_put_right_soon(self) -> None:
        assert last(Tracker(groups=ClassGroups(None, NAMES)), called([CAR] + [TRUCK] * 3)).class_id.tolist() == [TRUCK]

    def test_a_name_that_was_told_stays_what_it_was(self) -> None:
        tracker = Tracker(groups=ClassGroups(None, NAMES))
        told = [tracks for _, tracks in walk(tracker, called([CAR] * 10 + [TRUCK] * 40))]
        assert [told[9].class_id.tolist(), told[-1].class_id.tolist()] == [[CAR], [TRUCK]]

    def test_both_names_at_once_for_one_thing(self) -> None:
        both = [boxes([walker(100 + 8 * i)] * 2, [0.8, 0.7], [CAR, TRUCK]) for i in range(30)]
        assert ids_and_classes(Tracker(groups=ClassGroups(None, NAMES)), both) == [(1, CAR)]

    def test_a_person_is_never_taken_for_a_vehicle(self) -> None:
        tracker = Tracker(groups=ClassGroups(None, NAMES))
        assert ids_and_classes(tracker, called([CAR] * 20 + [PERSON] * 20)) == [(1, CAR), (2, PERSON)]

    def test_groups_of_ones_own_and_none(self) -> None:
        by_turns = called([CAR, PERSON] * 15)
        assert (
            len({i for i, _ in ids_and_classes(Tracker(groups=ClassGroups([("car", "person")], NAMES)), by_turns)}) == 1
        )
        assert (
            len({i for i, _ in ids_and_classes(Tracker(groups=ClassGroups([], NAMES)), called([CAR, TRUCK] * 15))}) == 2
        )

    def test_labels_that_the_model_does_not_know(self) -> None:
        with pytest.raises(ValueError, match="does not know the label 'lorry'"):
            ClassGroups([("car", "lorry")], NAMES)
        assert not ClassGroups(None, ["person", "car"]).any

    def test_a_label_in_two_groups(self) -> None:
        with pytest.raises(ValueError, match="a label twice under alike"):
            TrackerOptions(alike=(("car", "truck"), ("truck", "bus")))

    def test_a_class_without_a_label_is_a_group_of_its_own(self) -> None:
        tracker = Tracker(groups=ClassGroups(None, NAMES))
        assert ids_and_classes(tracker, called([CAR] * 20 + [7] * 20)) == [(1, CAR), (2, 7)]


class TestHold:
    def test_held_tracks_stay_where_they_are_and_do_not_age(self) -> None:
        tracker = Tracker(options=TrackerOptions(memory_s=1.0))
        before = last(tracker, [boxes([walker(100 + 8 * i)]) for i in range(15)])
        for i in range(100):
            held = tracker.hold(at(1.5 + i / 10))
            assert held.seen.tolist() == [True]
            assert (held.xyxy == before.xyxy).all()
        after = tracker.update(boxes([walker(100 + 8 * 14)]), at(11.5))
        assert after.track_id.tolist() == [1]

    def test_what_coasts_goes_on_coasting(self) -> None:
        tracker = Tracker()
        last(tracker, [standing()] * 10)
        tracker.update(Detections.empty(), at(1.0))
        assert tracker.hold(at(1.1)).seen.tolist() == [False]

    def test_holding_before_anything_was_seen(self) -> None:
        assert len(Tracker().hold(at(0.0))) == 0


class TestTime:
    @pytest.mark.parametrize("jump", [0.0, -5.0, -1e6, math.nan])
    def test_a_clock_that_stands_or_steps_back_harms_nobody(self, jump: float) -> None:
        tracker = Tracker()
        last(tracker, [standing()] * 10)
        after = tracker.update(standing(), at(0.9) if math.isnan(jump) else at(0.9 + jump))
        assert after.track_id.tolist() == [1]
        assert np.isfinite(after.xyxy).all()

    def test_stamps_without_time_count_as_regular_frames(self) -> None:
        tracker = Tracker(10.0, TrackerOptions(memory_s=1.0))
        for _ in range(10):
            shown = tracker.update(standing(), at(0.0))
        assert shown.track_id.tolist() == [1]
        for _ in range(15):
            tracker.update(Detections.empty(), at(0.0))
        for _ in range(10):
            shown = tracker.update(standing(), at(0.0))
        assert shown.track_id.tolist() == [2]

    def test_a_long_stall_forgets(self) -> None:
        tracker = Tracker()
        last(tracker, [standing()] * 10)
        assert last(tracker, [standing()] * 10, start=1e7).track_id.tolist() == [2]

    def test_slower_than_its_memory_it_still_follows(self) -> None:
        tracker = Tracker(0.2)
        assert last(tracker, [standing()] * 8, fps=0.2).track_id.tolist() == [1]

    @pytest.mark.parametrize("fps", [0.5, 2.0, 10.0])
    def test_one_box_alone_is_nobody_however_sure(self, fps: float) -> None:
        tracker = Tracker(fps)
        for number, detections in enumerate([standing(0.99), boxes([]), boxes([])]):
            assert not len(tracker.update(detections, at(number / fps)))

    @pytest.mark.parametrize("fps", [1e-9, 1e-150, 1e-310])
    def test_hardly_ever_looking_it_still_follows(self, fps: float) -> None:
        frames = [standing()] * 8
        assert last(Tracker(fps), frames).track_id.tolist() == [1]
        tracker = Tracker(fps)
        told = [tracker.update(one, at(number * 1e160)) for number, one in enumerate(frames)]
        assert told[-1].track_id.tolist() == [1]

    @pytest.mark.parametrize("fps", [0.0, -1.0, math.inf, math.nan])
    def test_a_frame_rate_must_make_sense(self, fps: float) -> None:
        with pytest.raises(ValueError, match="fps"):
            Tracker(fps)


def test_options_that_contradict_each_other_are_told() -> None:
    with pytest.raises(ValueError, match="low_score"):
        TrackerOptions(low_score=0.7, high_score=0.6)
    with pytest.raises(ValueError, match="coast_s"):
        TrackerOptions(coast_s=3.0, memory_s=1.0)


def test_scores_beyond_one_count_as_one() -> None:
    sure, raw = Tracker(), Tracker()
    for (_, a), (_, b) in zip(walk(sure, [standing(1.0)] * 8), walk(raw, [standing(57.0)] * 8), strict=True):
        assert a.score.tolist() == b.score.tolist()
        assert a.track_id.tolist() == b.track_id.tolist()


def test_who_is_told_to_look_less_often_follows_on() -> None:
    """Once in two seconds, which is longer than a track at 10 fps is remembered."""
    tracker = Tracker(fps=10.0)
    assert last(tracker, [standing()] * 8).track_id.tolist() == [1]
    tracker.fps = 0.5
    assert last(tracker, [standing()] * 5, fps=0.5, start=2.0).track_id.tolist() == [1]


@pytest.mark.parametrize(
    "options",
    [
        TrackerOptions(confirm=12),
        TrackerOptions(start_score=0.95),
        TrackerOptions(memory_s=5),
        TrackerOptions(coast_s=1),
    ],
)
def test_who_is_told_other_options_follows_on_by_them(options: TrackerOptions) -> None:
    """And of who comes then it tells as one that had them from the beginning."""
    tuned = Tracker()
    assert last(tuned, [boxes(walker(400))] * 20).track_id.tolist() == [1]
    tuned.tune(options, 0.5, ClassGroups())
    frames = [boxes([walker(100), walker(400)])] * 30 + [boxes(walker(400))] * 6 + [boxes([walker(100), walker(400)])]
    plain = Tracker(options=options)
    news = [boxes([x for x in frame.xyxy.tolist() if x[0] < 200]) for frame in frames]
    for (_, ours), (_, theirs) in zip(walk(tuned, frames, start=2.0), walk(plain, news, start=2.0), strict=True):
        assert ours.track_id.tolist() == [1, *(theirs.track_id + 1).tolist()]


def test_an_engine_that_is_slower_than_asked_loses_nobody_for_it() -> None:
    """Of five frames per second it looks at one in two seconds; after a single gap so long all are new."""
    frames = [standing()] * 8
    assert last(Tracker(fps=5.0), frames, fps=0.5).track_id.tolist() == [1]
    tracker = Tracker(fps=5.0)
    assert last(tracker, frames, fps=5.0).track_id.tolist() == [1]
    assert last(tracker, frames, fps=5.0, start=4.0).track_id.tolist() == [2]


@pytest.mark.parametrize("fps", [0.2, 0.5, 1.0, 2.0])
def test_one_miss_makes_nobody_new_at_any_rate(fps: float) -> None:
    tracker = Tracker(fps)
    frames = [standing()] * 4 + [Detections.empty()] + [standing()] * 4
    assert last(tracker, frames, fps=fps).track_id.tolist() == [1]


def test_a_newcomer_that_a_smaller_picture_leaves_out_is_forgotten() -> None:
    """At few frames per second one good box may be evidence enough, just when there is no such place any more."""
    tracker = Tracker(fps=2.0)
    tracker.update(boxes([walker(500)], 0.99), at(0))
    assert not len(tracker.update(Detections.empty(), Stamp("test", 1, 0.5, 0.5, 320, 240)))
    assert last(tracker, [standing()] * 8, fps=2.0, start=1.0).track_id.tolist() == [1]


coordinate = st.floats(-50, 700, width=32) | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 3e38])
box = st.tuples(coordinate, coordinate, coordinate, coordinate)
likely_box = st.tuples(st.floats(0, 500), st.floats(0, 300), st.floats(5, 120), st.floats(5, 150)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
score = st.floats(0, 1, width=32) | st.sampled_from([math.nan, 0.9, 0.95])
rows = st.lists(st.tuples(likely_box | box, score, st.integers(0, 2)), max_size=8)
step = st.sampled_from([0.04, 0.1, 0.5]) | st.floats(-10, 1e9)


def detections_of(picked: list[tuple[tuple[float, ...], float, int]]) -> Detections:
    xyxy = np.array([b for b, _, _ in picked], np.float32).reshape(-1, 4)
    return Detections(
        xyxy, np.array([s for _, s, _ in picked], np.float32), np.array([c for _, _, c in picked], np.int32)
    )  # fmt: skip


def same(a: Tracks, b: Tracks) -> bool:
    return all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in ("xyxy", "score", "class_id", "track_id", "seen")
    )


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(rows, step, st.integers(0, 2**32 - 1)), max_size=12))
def test_whatever_comes_ids_are_unique_and_never_used_again(
    story: list[tuple[list[tuple[tuple[float, ...], float, int]], float, int]],
) -> None:
    """And the order of a frame's detections does not matter, nothing is NaN, and it is the same every time."""
    tracker, shuffled = Tracker(), Tracker()
    now, class_of = 0.0, dict[int, int]()
    for picked, step_s, seed in story:
        now += step_s
        detections = detections_of(picked)
        tracks = tracker.update(detections, at(now))
        order = np.random.default_rng(seed).permutation(len(picked))
        assert same(tracks, shuffled.update(detections.take(order), at(now)))
        ids = tracks.track_id.tolist()
        assert len(set(ids)) == len(ids)
        assert not ids or min(ids) >= 1
        assert np.isfinite(tracks.xyxy).all() and np.isfinite(tracks.score).all()
        assert ((tracks.score >= 0) & (tracks.score <= 1)).all()
        for track_id, class_id in zip(ids, tracks.class_id.tolist(), strict=True):
            assert class_of.setdefault(track_id, class_id) == class_id


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.sampled_from([4.0, 10.0, 25.0]), st.integers(0, 1000))
def test_walkers_apart_keep_one_id_each(n: int, fps: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    speed = random.uniform(-30, 30, n)
    tracker = Tracker(fps)
    owner: dict[int, int] = {}
    for frame in range(int(2 * fps)):
        x = 250 + speed * frame / fps + random.normal(0, 1, n)
        shown = tracker.update(boxes([[x[i], 75 * i, x[i] + 25, 75 * i + 60] for i in range(n)]), at(frame / fps))
        for y, i in zip(shown.xyxy[:, 1].tolist(), shown.track_id.tolist(), strict=True):
            assert owner.setdefault(i, round(y / 75)) == round(y / 75)
    assert len(owner) == n
