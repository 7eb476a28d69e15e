"""Which frames to decode, which to take, and when they were taken."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext

_TRIAL_FRAMES = 16
"""Frames decoded in full before some may be skipped: enough to know the stream's own rate."""
_TRIAL_S = 3.0
"""How long a live stream's clock is compared with ours, again and again; less than what counts as a stall."""
_FAR_OFF = 3.0
"""Beyond what a network's stalls and bursts do in that time, mostly; where they do it, no harm is done."""


class Limiter:
    """Picks from a stream the frames nearest to the beat of ``fps``; 0 takes all.

    Works on the stream's own times, so that it picks the same frames however late they come.
    """

    def __init__(self, fps: float) -> None:
        self.interval_s = 1 / fps if fps > 0 else 0.0
        self._next = 0.0
        self._last: float | None = None

    def due(self, time_s: float) -> bool:
        """Whether the frame of ``time_s`` is to be taken. Call it once for each frame, in order."""
        if not self.interval_s:
            return True
        step = time_s - self._last if self._last is not None else -1.0
        self._last = time_s
        if not 0 <= step <= 10 * self.interval_s:  # the first frame, or the stream's clock jumped
            self._next = time_s
        elif time_s + step / 2 < self._next:  # the next frame will be nearer
            return False
        self._next = max(self._next + self.interval_s, time_s)
        return True


class LiveClock:
    """When the pictures of a live stream were taken: as the stream says, until that runs far slower or faster than they
    come; then, when they came. Some cameras stamp all pictures alike, or count in another unit than they say."""

    def __init__(self) -> None:
        self._is_true = True
        self._since: tuple[float, float] | None = None

    def time_of(self, told_s: float, now: float) -> float:
        """Of the picture that the stream says is of ``told_s``. Call it for each, in order."""
        if not self._is_true:
            return now
        if self._since is None:
            self._since = told_s, now
        told, passed = told_s - self._since[0], now - self._since[1]
        if passed > _TRIAL_S:
            self._is_true = passed < _FAR_OFF * told < _FAR_OFF**2 * passed
            self._since = told_s, now
        return told_s if self._is_true else now


class ClipClock:
    """Stamps what was recorded: now, at its own pace, or with the clip's own times.

    Paced, ``stamp`` waits until the frame's time has come and gives the present; a reader that falls behind by more
    than a second is not hurried, and of a wait of more than ``longest_s`` the rest is left out. Unpaced, it gives the
    clip's time and ``recorded_at_s`` (Unix) plus that, so that every run is the same.
    """

    def __init__(self, pace: bool, recorded_at_s: float, closed: threading.Event, longest_s: float = math.inf) -> None:
        self._pace = pace
        self._longest_s = longest_s
        self._recorded_at_s = recorded_at_s
        self._closed = closed
        self._start: float | None = None

    def stamp(self, time_s: float) -> tuple[float, float]:
        """``captured`` and ``wall`` of the frame at ``time_s`` of the clip."""
        if not self._pace:
            return time_s, self._recorded_at_s + time_s
        now = time.monotonic()
        if self._start is None or now - self._start - time_s > 1.0:
            self._start = now - time_s
        self.wait_for(time_s)
        return time.monotonic(), time.time()

    def wait_for(self, time_s: float) -> None:
        """Where it is paced, until a time of the clip has come. Pictures are decoded half-way to their own: sooner
        that would be while the engine is at the one before, later it would make those of many cameras late."""
        if self._start is not None and (early := self._start + time_s - time.monotonic()) > 0:
            wait_s = min(early, self._longest_s)
            self._start -= early - wait_s
            self._closed.wait(wait_s)


class Thinning:
    """Lets the decoder leave out pictures that no other refers to, as long as the rest keeps the beat.

    Whether it does is seen from what comes out: with gaps of up to half an interval, the picture nearest to each
    beat is near enough. Where a gap is longer, everything is decoded from then on.
    """

    def __init__(self, codec: VideoCodecContext, interval_s: float) -> None:
        self._codec = codec
        self._interval_s = interval_s
        self._last: float | None = None
        self._seen = 0
        self._longest = 0.0

    def saw(self, time_s: float) -> None:
        """Tell of each picture that came out of the decoder."""
        if not self._interval_s or self._seen < 0:
            return
        gap = time_s - self._last if self._last is not None else 0.0
        self._last = time_s
        if not 0 <= gap <= 10 * self._interval_s:  # the clock jumped
            return
        self._seen += 1
        self._longest = max(self._longest, gap)
        if self._seen == _TRIAL_FRAMES and self._longest <= self._interval_s / 4:
            self._codec.skip_frame = "NONREF"
        elif self._seen > _TRIAL_FRAMES and gap > self._interval_s / 2:
            self._codec.skip_frame = "DEFAULT"
            self._seen = -1
