"""One camera: what it is called, how it is opened again, and what is told of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from edgerun.errors import SourceError
from edgerun.pipeline import Look
from edgerun.runtime.cameras.camera import Camera
from edgerun.runtime.cameras.camera_report import CameraTerms
from edgerun.runtime.inference.jobs import Job
from edgerun.types import Frame
from tests.daemon_process import wait_for
from tests.test_dispatch import frame
from tests.test_upkeep import Taker, looked_after

NEVER = CameraTerms(stalled_s=100, frozen_s=0)


class Script:
    """Sources that give some frames each and then end as they are told: None is the end of a clip. After the last of
    them the camera is closed."""

    def __init__(self, *ends: tuple[int, SourceError | None]) -> None:
        self._ends = list(ends)
        self.open = 0
        self.waits: list[float] = []
        """Seconds between two attempts."""
        self.reasons: list[str] = []

    def play(self, terms: CameraTerms = NEVER) -> Camera:
        porch = looked_after(lambda: self, Taker(), lambda fps: terms)
        script = self

        class NoTime(threading.Event):
            def wait(self, timeout: float | None = None) -> bool:
                script.waits.append(timeout or 0.0)
                script.reasons.append(porch.report().reason)
                assert script.open == 0, "what failed is closed before it is tried again"
                if not script._ends:
                    self.set()
                return self.is_set()

        porch._capture._closed = NoTime()
        porch.start()
        porch.join(5)
        return porch

    def frames(self) -> Iterator[Frame]:
        self.open = 1
        count, end = self._ends.pop(0)
        yield from (frame("porch", n) for n in range(count))
        if end is not None:
            raise end

    def close(self) -> None:
        self.open = 0


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits without chance."""
    monkeypatch.setattr("random.uniform", lambda low, high: 1.0)


def test_a_camera_that_never_came_is_tried_less_and_less_often(steady: None) -> None:
    script = Script(*[(0, SourceError(f"no answer {n}")) for n in range(7)])
    porch = script.play()
    assert script.waits == [2, 4, 8, 16, 30, 30, 30]
    assert script.reasons == [f"no answer {n}" for n in range(7)]
    assert porch.report().reconnects == 6


def test_a_camera_that_was_there_lately_is_tried_often(steady: None) -> None:
    gone = SourceError("gone")
    script = Script((0, gone), (0, gone), (1, gone), (0, gone), (0, gone), (2, gone))
    assert script.play().captured == 3
    assert script.waits == [2, 4, 1, 2, 3, 1]


def test_a_camera_that_was_there_long_ago_is_as_one_that_never_came(
    steady: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = SourceError("gone")
    monkeypatch.setattr("edgerun.runtime.cameras.capture._HOPEFUL_S", -1.0)
    script = Script((1, gone), (0, gone), (0, gone), (0, gone))
    script.play()
    assert script.waits == [1, 2, 4, 8]


def test_what_no_retry_helps_is_tried_seldom(steady: None) -> None:
    script = Script((0, SourceError("there is no such file", retriable=False)), (0, SourceError("no answer")))
    script.play()
    assert script.waits == [30, 30]


def test_a_clip_that_is_over_is_not_begun_again() -> None:
    script = Script((3, None), (3, None))
    report = script.play().report()
    assert (report.state, report.reason, report.reconnects) == ("offline", "the source is over", 0)
    assert script.waits == [] and script.open == 0


@pytest.mark.parametrize("count", [0, 1])
def test_a_camera_that_is_away_does_not_hang(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it is until it is tried again, with a frame before or without one; nor does it only fall silent."""
    monkeypatch.setattr("edgerun.runtime.cameras.capture._BACKOFF_S", (60.0, 60.0))
    monkeypatch.setattr("edgerun.runtime.cameras.capture._HOPEFUL_BACKOFF_S", 60.0)
    script = Script((count, SourceError("gone")))
    porch = looked_after(lambda: script, Taker(), lambda fps: CameraTerms(stalled_s=0.05, frozen_s=0, stuck_s=0.05))
    porch.start()
    wait_for(lambda: porch.report().reason == "gone", 5, porch.report)
    time.sleep(0.1)
    report = porch.report()
    assert (report.state, report.reason, report.replaced, report.stuck) == ("offline", "gone", 0, False)
    porch.close()
    porch.join(5)


def taken(porch: Camera, picture: int, now: float, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """What the camera is called and why, after a frame all of this brightness at this time."""
    monkeypatch.setattr(time, "monotonic", lambda: now)
    porch._capture.frame_at = now
    image = np.full((8, 8, 3), picture, np.uint8)
    porch._take(Frame.of_bgr(image, "porch", 0, now, now))
    return porch.report().state, porch.report().reason


def test_a_picture_that_stays_the_same_to_the_bit_is_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    porch = looked_after(lambda: Script(), Taker(), lambda fps: CameraTerms(stalled_s=1e9, frozen_s=20))
    begun = time.monotonic()
    for after_s, picture, state in [
        (0, 90, "ok"),
        (20, 90, "ok"),
        (21, 90, "frozen"),
        (22, 91, "ok"),
        (42, 91, "ok"),
        (43, 91, "frozen"),
    ]:
        said = "the same picture for 20 s" if state == "frozen" else ""
        assert taken(porch, picture, begun + after_s, monkeypatch) == (state, said)


def test_a_state_has_a_beginning_that_another_reason_does_not_move() -> None:
    porch = looked_after(lambda: Script(), Taker(), lambda fps: NEVER)
    porch._enter("ok", "")
    since = porch.report().since
    porch._enter("offline", "no answer")
    lost = porch.report().since
    porch._enter("offline", "it refuses the password")
    assert since != lost == porch.report().since
    assert porch.report().reason == "it refuses the password"


def test_why_frames_are_not_looked_at_is_told_until_they_are() -> None:
    porch = looked_after(lambda: Script(), Taker(), lambda fps: NEVER)
    porch._enter("ok", "")
    porch._capture.close()
    for reason in ("the engine refused", ""):
        porch._finish(cast(Job, SimpleNamespace(reason=reason, look=Look(frame("porch", 1), ()))))
        assert porch.report().reason == reason
        assert porch.report().dropped["engine"] == 1


def test_frames_that_are_passed_over_are_an_overload_until_they_are_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    porch: Any = looked_after(lambda: Script(), Taker(), lambda fps: NEVER)
    porch._enter("ok", "")
    begun = time.monotonic()
    for after_s, dropped, words in [
        (5, 40, ""),  # not known yet
        (20, 40, "overloaded: serving 0.0 of 5 fps"),
        (25, 40, "overloaded: serving 0.0 of 5 fps"),
        (40, 41, ""),
    ]:
        monkeypatch.setattr(time, "monotonic", lambda now=begun + after_s: now)
        porch._lane.dropped = dropped
        assert porch.report().overloaded == words
    assert porch.report().dropped["late"] == 41
