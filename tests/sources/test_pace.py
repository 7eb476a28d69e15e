"""Which frames are taken, and what times they get."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerun.sources._pace import ClipClock, Limiter, LiveClock, Thinning


def taken(times: list[float], fps: float) -> list[float]:
    limiter = Limiter(fps)
    return [t for t in times if limiter.due(t)]


@pytest.mark.parametrize(
    ("rate", "fps", "picked"),
    [
        (10, 0, [0, 1, 2, 3, 4, 5]),
        (10, 10, [0, 1, 2, 3, 4, 5]),
        (10, 25, [0, 1, 2, 3, 4, 5]),
        (10, 5, [0, 2, 4, 6, 8, 10]),
        (10, 2.5, [0, 4, 8, 12, 16, 20]),
        (12.5, 5, [0, 2, 5, 7, 10, 12]),
        (30, 1, [0, 30, 60, 90, 120, 150]),
    ],
)
def test_the_frames_nearest_to_the_beat_are_taken(rate: float, fps: float, picked: list[int]) -> None:
    assert taken([n / rate for n in range(200)], fps)[:6] == [n / rate for n in picked]


@given(
    st.lists(st.floats(0.02, 0.09), min_size=100, max_size=300),
    st.floats(1.0, 8.0),
)
def test_the_rate_is_kept_however_unsteady_the_camera_is(steps: list[float], fps: float) -> None:
    """Over any stretch, and without two frames in a hurry."""
    times, now = [], 0.0
    for step in steps:
        times.append(now)
        now += step
    chosen = taken(times, fps)
    assert abs(len(chosen) - times[-1] * fps) <= 2
    assert all(b - a > 0.3 / fps for a, b in itertools.pairwise(chosen))


def test_after_a_silence_there_is_no_burst() -> None:
    times = [n / 25 for n in range(50)] + [9 + n / 25 for n in range(50)]
    chosen = taken(times, 5)
    assert len([t for t in chosen if t >= 9]) <= 11


def test_a_clock_that_jumps_back_does_not_stop_the_camera() -> None:
    times = [100 + n / 10 for n in range(20)] + [n / 10 for n in range(20)]
    assert len(taken(times, 5)) in (20, 21)


@pytest.mark.parametrize(
    ("told", "is_true"),
    [
        (lambda s: s, True),
        (lambda s: 1e6 + s * 1.5, True),
        (lambda s: s - s % 1.0, True),  # a second's pictures at once
        (lambda s: 7.0, False),
        (lambda s: s / 9000, False),
        (lambda s: s * 100, False),
        (lambda s: -s, False),
        (lambda s: s if s < 60 else s - 50_000, False),
    ],
)
def test_a_live_stream_is_timed_by_our_clock_where_its_own_is_no_good(
    told: Callable[[float], float], is_true: bool
) -> None:
    """Ten pictures a second for a hundred seconds: at the end their times are their own, or when they came."""
    clock = LiveClock()
    times = [clock.time_of(told(n / 10), 500.0 + n / 10) for n in range(1000)]
    assert times[700:] == [told(n / 10) if is_true else 500.0 + n / 10 for n in range(700, 1000)]


def test_unpaced_times_are_the_clips_own() -> None:
    clock = ClipClock(pace=False, recorded_at_s=1e9, closed=threading.Event())
    assert [clock.stamp(t) for t in (0.0, 0.5, 60.0)] == [(0.0, 1e9), (0.5, 1e9 + 0.5), (60.0, 1e9 + 60)]


def test_paced_times_are_the_present_and_keep_the_clips_distances() -> None:
    clock = ClipClock(pace=True, recorded_at_s=0.0, closed=threading.Event())
    first, second = clock.stamp(5.0), clock.stamp(5.05)
    assert second[0] - first[0] >= 0.049


def test_closing_ends_the_wait() -> None:
    closed = threading.Event()
    clock = ClipClock(pace=True, recorded_at_s=0.0, closed=closed)
    clock.stamp(0.0)
    closed.set()
    clock.stamp(3600.0)


def test_a_gap_is_cut_to_the_longest_wait() -> None:
    """However much of it is waited for before its picture is decoded."""
    waited: list[float] = []

    class NoTime(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waited.append(timeout or 0.0)
            return False

    clock = ClipClock(True, 0.0, NoTime(), longest_s=30.0)
    clock.stamp(0.0)
    clock.wait_for(3600.0)
    clock.stamp(3600.1)
    assert waited == pytest.approx([30.0, 30.0], abs=0.5)


class Decoder:
    """Notes which pictures it was asked to leave out."""

    skip_frame = "DEFAULT"


def thinned(times: list[float], fps: float) -> list[str]:
    """What the decoder is asked for after each picture that came out of it."""
    decoder: Any = Decoder()
    thinning, asked = Thinning(decoder, 1 / fps), []
    for time_s in times:
        thinning.saw(time_s)
        asked.append(decoder.skip_frame)
    return asked


def test_pictures_are_left_out_undecoded_where_many_more_come_than_are_taken() -> None:
    asked = thinned([n / 25 for n in range(100)], fps=5)
    assert asked[:15] == ["DEFAULT"] * 15
    assert asked[16:] == ["NONREF"] * 84


def test_no_picture_is_left_out_that_the_beat_needs() -> None:
    """Neither of a slow stream, nor of one whose pictures came far apart once while it was looked at."""
    assert set(thinned([n / 10 for n in range(100)], fps=5)) == {"DEFAULT"}
    assert set(thinned([n / 25 + (n > 7) * 0.1 for n in range(100)], fps=5)) == {"DEFAULT"}


def test_what_leaves_out_too_many_is_not_tried_again() -> None:
    slow = [1 + n * 0.12 for n in range(10)]
    again = [3 + n / 25 for n in range(100)]
    asked = thinned([n / 25 for n in range(25)] + slow + again, fps=5)
    assert asked[24] == "NONREF"
    assert set(asked[26:]) == {"DEFAULT"}
