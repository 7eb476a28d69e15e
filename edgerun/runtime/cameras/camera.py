"""One camera of the daemon: its capture, a lane to the engine, and what becomes of each frame."""

from __future__ import annotations

import logging
import time
import zlib
from collections import deque
from collections.abc import Callable
from functools import partial

from edgerun.images import luma
from edgerun.messages import CameraState
from edgerun.pipeline import Pipeline
from edgerun.runtime.cameras.camera_report import CameraReport, CameraTerms
from edgerun.runtime.cameras.capture import Capture
from edgerun.runtime.cameras.outlet import Outlet
from edgerun.runtime.inference.dispatch import Dispatcher
from edgerun.runtime.inference.jobs import Job, Lane
from edgerun.runtime.meters import FrameMeter
from edgerun.since import Since
from edgerun.stages import Source
from edgerun.types import Frame

log = logging.getLogger(__name__)

_FPS_WINDOW_S = 10.0
_FROZEN_GRID = 32
_NOT_OPENED = "not opened yet"


class Camera:
    """Captures until closed. ``build_source(fps)`` makes a fresh source for every attempt."""

    def __init__(
        self,
        name: str,
        build_source: Callable[[float], Source],
        pipeline: Pipeline,
        outlet: Outlet,
        dispatcher: Dispatcher,
        terms_for: Callable[[float], CameraTerms],
        *,
        fps: float,
        lossless: bool,
    ) -> None:
        self.name = name
        self.outlet = outlet
        self.inferred = 0
        """Frames that went through the engine and the whole pipeline."""
        self.wants_snapshot = False
        self.paused = False
        """It stays connected; its frames are not looked at."""
        self._half_fps = False
        self.lossless = lossless
        self.meter: FrameMeter | None = None
        """Told how long each frame takes; None: nobody wants to know."""
        self.tap: Callable[[Frame], None] | None = None
        """Called with each frame that is looked at, on the capture's thread."""
        self._capture = Capture(name, build_source, fps, self._take, partial(self._enter, "offline"))
        self._pipeline = pipeline
        self._following: Pipeline | None = None
        self._dispatcher = dispatcher
        self._terms_for, self._terms = terms_for, terms_for(fps)
        self._asked_fps = fps
        self._lane = Lane(name, self._terms.weight, self._finish, lossless=lossless)
        self._failed = self._spared = 0
        self._trouble = ""
        self._finished: deque[float] = deque()
        self._late = (time.monotonic(), 0, 0.0)
        self._state: CameraState = "offline"
        self._reason = _NOT_OPENED
        self._since = Since()
        self._last_change = time.monotonic()
        self._fingerprint = 0

    @property
    def counts(self) -> frozenset[tuple[str, str]]:
        """The (zone, label) pairs that are counted."""
        return frozenset(self.outlet.counts)

    @property
    def looks(self) -> int:
        """Frames that went the whole way, with or without an inference."""
        return self._lane.served

    @property
    def captured(self) -> int:
        """Frames that its source gave."""
        return self._capture.frames

    def start(self) -> None:
        self._dispatcher.add(self._lane)
        self._capture.start()

    def close(self) -> None:
        """End soon; ``join`` waits for it."""
        self._capture.close()
        self._dispatcher.remove(self._lane)

    def join(self, timeout_s: float) -> None:
        self._capture.join(timeout_s)

    def end(self) -> None:
        """After ``join``: what has begun ends, and is told."""
        with self._lane.finishing:
            self.outlet.tell(self._pipeline.end())

    def take_over(self, before: Camera) -> None:
        """Before the start: go on from one that was closed, but for what was commanded of it."""
        before.paused = True  # a source that hung may still come with a frame
        score = self._pipeline.score
        with before._lane.finishing:
            self._pipeline.take_over(before._pipeline)
            self.outlet.tell(before._pipeline.end())
        self.outlet.count(before.outlet.counts)
        self._pipeline.score = score
        self._pace()

    def go_on_through(self, outlet: Outlet) -> None:
        """Tell what comes from now on, and the counts as they are, another way."""

        def change() -> None:
            outlet.count(self.outlet.counts)
            self.outlet = outlet

        self._dispatcher.between(self._lane, change)

    def look_by(self, pipeline: Pipeline) -> None:
        """Go on with another one, for which no frame of before is on its way: from one of the next frames on."""
        self._following = pipeline

    def tune(self, terms_for: Callable[[float], CameraTerms]) -> None:
        """Go by other terms from now on."""
        self._terms_for, self._terms = terms_for, terms_for(self._asked_fps)
        self._lane.weight = self._terms.weight

    def set_score(self, score: float) -> None:
        """Begin tracks with, and tell of, what has at least this score."""
        self._pipeline.score = score

    def set_fps(self, fps: float) -> None:
        """Open the source again for another number of frames a second."""
        self._asked_fps = fps
        self.tune(self._terms_for)
        self._pace()
        self._capture.reopen(fps)

    def halve_fps(self, half: bool) -> None:
        """Pass over every second frame, to let an accelerator cool down, or over none any more."""
        if half != self._half_fps:
            self._half_fps = half
            self._pace()

    def _pace(self) -> None:
        """Tell how often it is looked now: tracks must last from one look to the next."""
        self._pipeline.fps = self._asked_fps / (2 if self._half_fps else 1)

    def report(self) -> CameraReport:
        """How it is now; also where a silence is noticed."""
        now = time.monotonic()
        stuck = not self._capture.unstick(self._terms.stuck_s)
        resumed = self._state == "paused" and not self.paused  # and no frame since
        if (resumed or self._state in ("ok", "frozen")) and now - self._capture.frame_at > self._terms.stalled_s:
            self._enter("stalled", f"no frame for {self._terms.stalled_s:g} s")
        dropped = {"late": self._lane.dropped, "engine": self._failed, "heat": self._spared}
        return CameraReport(
            self._state,
            self._since.wall,
            self._reason or self._trouble,
            self._fps(now),
            self._asked_fps,
            self._late_fps(now),
            dropped,
            self._pipeline.score,
            self.paused,
            max(0, self._capture.opened - 1),
            self._capture.replaced,
            stuck,
        )

    def _fps(self, now: float) -> float:
        """Of the last window, which holds some frames of a slow camera, too; the first only tells where it begins."""
        finished, interval_s = self._finished, 1 / self._asked_fps
        while len(finished) > 1 and now - finished[1] > max(_FPS_WINDOW_S, 4 * interval_s):
            finished.popleft()
        if len(finished) < 2:
            return 0.0
        return (len(finished) - 1) / max(1.0, finished[-1] - finished[0], now - finished[0] - interval_s)

    def _late_fps(self, now: float) -> float:
        """Over the last window that ended."""
        at, dropped, rate = self._late
        if now - at > _FPS_WINDOW_S:
            rate = (self._lane.dropped - dropped) / (now - at)
            self._late = (now, self._lane.dropped, rate)
        return rate

    def _take(self, frame: Frame) -> None:
        if self.paused:
            self._enter("paused", "paused by command")
            return
        if self._is_frozen(frame):
            self._enter("frozen", f"the same picture for {self._terms.frozen_s:g} s")
        else:
            self._enter("ok", "")
        if self._following is not None and not self._change_over(self._following):
            self._lane.dropped += 1
            return
        if self._half_fps and self.captured % 2:
            self._spared += 1
            return
        if (tap := self.tap) is not None:
            tap(frame)
        look = self._pipeline.look(frame)
        if self.meter is not None:
            self.meter.looked.observe(time.monotonic() - frame.stamp.captured)
        self._dispatcher.offer(self._lane, look)

    def _change_over(self, pipeline: Pipeline) -> bool:
        """Whether it could be done; what only the one before would have told of ends."""
        if not self._dispatcher.makes_way(self._lane):
            return False
        pipeline.take_over(self._pipeline)
        self.outlet.tell(self._pipeline.end())
        self._pipeline, self._following = pipeline, None
        self._pace()
        return True

    def _is_frozen(self, frame: Frame) -> bool:
        """True when a coarse grid of the luma has not changed by one bit for long: no sensor is that quiet."""
        if not self._terms.frozen_s:
            return False
        plane = luma(frame)
        rows, columns = (max(1, n // _FROZEN_GRID) for n in plane.shape)
        fingerprint = zlib.crc32(plane[::rows, ::columns].tobytes())
        if fingerprint != self._fingerprint:
            self._fingerprint = fingerprint
            self._last_change = self._capture.frame_at
        return self._capture.frame_at - self._last_change > self._terms.frozen_s

    def _enter(self, state: CameraState, reason: str) -> None:
        if (state, reason) == (self._state, self._reason):
            return
        if state != self._state or self._reason == _NOT_OPENED:
            self._since = Since()
            level = logging.INFO if state in ("ok", "paused") else logging.WARNING
            log.log(level, "camera %s is %s%s", self.name, state, f": {reason}" if reason else "")
        self._state, self._reason = state, reason

    def _finish(self, job: Job) -> None:
        if job.reason:
            self._failed += 1
            if job.reason != self._trouble:
                self._trouble = job.reason
                log.warning("camera %s: its frames are not looked at: %s", self.name, job.reason)
            return
        self._trouble = ""
        if job.look.regions:
            self._pipeline.model_size = job.model_size
        self._finished.append(time.monotonic())
        if not self._capture.closed:
            inferred = time.monotonic()
            self.outlet(self._pipeline.finish(job.look, job.parts), job, self._pipeline.score)
            if self.meter is not None:
                captured = job.look.frame.stamp.captured
                self.meter.finished(captured, inferred, job.inference_s if job.look.regions else None)
            if self.wants_snapshot:
                self.wants_snapshot = False
                self.outlet.picture(job.look.frame)
        self.inferred += bool(job.look.regions)
