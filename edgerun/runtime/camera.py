"""One camera of the daemon: a thread that captures, a lane to the engine, and what becomes of each frame."""

from __future__ import annotations

import logging
import random
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator

from edgerun.errors import SourceError
from edgerun.images import luma
from edgerun.messages import CameraState
from edgerun.pipeline import Pipeline
from edgerun.runtime.camera_report import CameraReport, CameraTerms
from edgerun.runtime.dispatch import Dispatcher
from edgerun.runtime.jobs import Job, Lane
from edgerun.runtime.meters import FrameMeter
from edgerun.runtime.outlet import Outlet
from edgerun.stages import Source
from edgerun.types import Frame

log = logging.getLogger(__name__)

_BACKOFF_S = (1.0, 30.0)
_HOPEFUL_S = 300.0
"""A camera that was there until lately is back soon, mostly; so long it is tried often."""
_HOPEFUL_BACKOFF_S = 3.0
_FPS_WINDOW_S = 10.0
_FROZEN_GRID = 32
_NOT_OPENED = "not opened yet"
_MOST_LEFT_BEHIND = 3
"""Threads of a camera that hang at a time; each keeps its memory, so that there must be an end to it."""


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
        weight: float,
        lossless: bool,
    ) -> None:
        self.name = name
        self.outlet = outlet
        self.progress = 0
        self.captured = 0
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
        self._build_source = build_source
        self._pipeline = pipeline
        self._dispatcher = dispatcher
        self._terms_for, self._terms = terms_for, terms_for(fps)
        self._asked_fps = fps
        self._lane = Lane(name, weight, self._finish, lossless=lossless)
        self._failed = 0
        self._trouble = ""
        self._finished: deque[float] = deque()
        self._late = (time.monotonic(), 0, 0.0)
        self._state: CameraState = "offline"
        self._reason = _NOT_OPENED
        self._since = time.time()
        self._last_frame = time.monotonic()
        self._last_change = time.monotonic()
        self._fingerprint = 0
        self._closed = threading.Event()
        self._source: Source | None = None
        self._opened = self._replaced = self._spared = 0
        self._awaiting = 0.0
        """Monotonic second since which the source owes a frame; 0: it does not."""
        self._left_behind: list[threading.Thread] = []
        self._thread = self._new_thread()

    @property
    def counts(self) -> frozenset[tuple[str, str]]:
        """The (zone, label) pairs that are counted."""
        return frozenset(self.outlet.counts)

    @property
    def looks(self) -> int:
        """Frames that went the whole way, with or without an inference."""
        return self._lane.served

    def start(self) -> None:
        self._dispatcher.add(self._lane)
        self._thread.start()

    def _new_thread(self) -> threading.Thread:
        return threading.Thread(target=self._run, name=f"camera-{self.name}", daemon=True)

    def close(self) -> None:
        """End soon; ``join`` waits for it."""
        self._closed.set()
        if self._source is not None:
            self._source.close()
        self._dispatcher.remove(self._lane)

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def end(self) -> None:
        """After ``join``: what has begun ends, and is told."""
        with self._lane.finishing:
            self.outlet.tell(self._pipeline.end())

    def set_score(self, score: float) -> None:
        """Begin tracks with, and tell of, what has at least this score."""
        self._pipeline.score = self.outlet.score = score

    def set_fps(self, fps: float) -> None:
        """Open the source again for another number of frames a second."""
        self._lane.weight *= fps / self._asked_fps if self._asked_fps else 1.0
        self._asked_fps, self._terms = fps, self._terms_for(fps)
        self._pace()
        source, self._source = self._source, None
        if source is not None:
            source.close()

    @property
    def half_fps(self) -> bool:
        """Passes over every second frame, to let an accelerator cool down."""
        return self._half_fps

    @half_fps.setter
    def half_fps(self, half: bool) -> None:
        if half != self._half_fps:
            self._half_fps = half
            self._pace()

    def _pace(self) -> None:
        """Tell how often it is looked now: tracks must last from one look to the next."""
        self._pipeline.fps = self._asked_fps / (2 if self._half_fps else 1)

    def report(self) -> CameraReport:
        """How it is now; also where a silence is noticed."""
        now = time.monotonic()
        stuck = self._is_stuck(now) and not self._replace()
        resumed = self._state == "paused" and not self.paused  # and no frame since
        if (resumed or self._state in ("ok", "frozen")) and now - self._last_frame > self._terms.stalled_s:
            self._enter("stalled", f"no frame for {self._terms.stalled_s:g} s")
        dropped = {"late": self._lane.dropped, "engine": self._failed, "heat": self._spared}
        return CameraReport(
            self._state,
            self._since,
            self._reason or self._trouble,
            self._fps(now),
            self._asked_fps,
            self._late_fps(now),
            dropped,
            self._pipeline.score,
            max(0, self._opened - 1),
            self._replaced,
            stuck,
        )

    def _is_stuck(self, now: float) -> bool:
        return bool(self._awaiting) and now - self._awaiting > self._terms.stuck_s and not self._closed.is_set()

    def _replace(self) -> bool:
        """Leave the hanging thread behind and start a new one; False when too many hang already."""
        self._left_behind = [thread for thread in self._left_behind if thread.is_alive()]
        if len(self._left_behind) >= _MOST_LEFT_BEHIND:
            return False
        log.error("camera %s hangs in its source; it is left behind and opened anew", self.name)
        self._left_behind.append(self._thread)
        self._replaced += 1
        source, self._source = self._source, None
        self._awaiting = 0.0
        self._thread = self._new_thread()
        self._thread.start()
        if source is not None:  # may wake the old one, or hang as well
            threading.Thread(target=source.close, name=f"close-{self.name}", daemon=True).start()
        return True

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

    def _run(self) -> None:
        backoff_s = _BACKOFF_S[0]
        while not self._is_over():
            before = self.captured
            source = self._source = self._build_source(self._asked_fps)
            self._opened += 1
            try:
                for frame in self._awaited(source.frames()):
                    self._frame(frame)
                    if self._closed.is_set():
                        return
                if self._is_over():
                    return
                if source is not self._source:
                    continue
                self._enter("offline", "the source is over")
                return
            except SourceError as error:
                if self._is_over():
                    return
                if source is not self._source:
                    continue
                self._enter("offline", str(error))
                backoff_s = _BACKOFF_S[0] if self.captured > before else min(backoff_s * 2, _BACKOFF_S[1])
                if not error.retriable:
                    backoff_s = _BACKOFF_S[1]
                elif self.captured and time.monotonic() - self._last_frame < _HOPEFUL_S:
                    backoff_s = min(backoff_s, _HOPEFUL_BACKOFF_S)
            finally:
                source.close()
                self._settle()
            self._closed.wait(backoff_s * random.uniform(0.75, 1.25))

    def _is_over(self) -> bool:
        """True on a thread that was left behind, and on all once closed."""
        return self._closed.is_set() or threading.current_thread() is not self._thread

    def _awaited(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """The frames, with a note of since when the next is owed; they end when this thread was left behind."""
        while True:
            self._awaiting = time.monotonic()
            frame = next(frames, None)
            if frame is None or threading.current_thread() is not self._thread:
                return
            self._awaiting = 0.0
            yield frame

    def _settle(self) -> None:
        """The source owes nothing any more."""
        if threading.current_thread() is self._thread:
            self._awaiting = 0.0

    def _frame(self, frame: Frame) -> None:
        self._last_frame = time.monotonic()
        self.captured += 1
        self.progress += 1
        if self.paused:
            self._enter("paused", "paused by command")
            return
        if self._is_frozen(frame):
            self._enter("frozen", f"the same picture for {self._terms.frozen_s:g} s")
        else:
            self._enter("ok", "")
        if self._half_fps and self.captured % 2:
            self._spared += 1
            return
        if (tap := self.tap) is not None:
            tap(frame)
        look = self._pipeline.look(frame)
        if self.meter is not None:
            self.meter.looked.observe(time.monotonic() - frame.stamp.captured)
        self._dispatcher.offer(self._lane, look)

    def _is_frozen(self, frame: Frame) -> bool:
        """True when a coarse grid of the luma has not changed by one bit for long: no sensor is that quiet."""
        if not self._terms.frozen_s:
            return False
        plane = luma(frame)
        rows, columns = (max(1, n // _FROZEN_GRID) for n in plane.shape)
        fingerprint = zlib.crc32(plane[::rows, ::columns].tobytes())
        if fingerprint != self._fingerprint:
            self._fingerprint = fingerprint
            self._last_change = self._last_frame
        return self._last_frame - self._last_change > self._terms.frozen_s

    def _enter(self, state: CameraState, reason: str) -> None:
        if (state, reason) == (self._state, self._reason):
            return
        if state != self._state or self._reason == _NOT_OPENED:
            self._since = time.time()
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
        if not self._closed.is_set():
            inferred = time.monotonic()
            self.outlet(self._pipeline.finish(job.look, job.parts), job)
            if self.meter is not None:
                captured = job.look.frame.stamp.captured
                self.meter.finished(captured, inferred, job.inference_s if job.look.regions else None)
            if self.wants_snapshot:
                self.wants_snapshot = False
                self.outlet.picture(job.look.frame)
        self.inferred += bool(job.look.regions)
