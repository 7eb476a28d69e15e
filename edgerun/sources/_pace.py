"""Which frames to take, and when they were taken."""

from __future__ import annotations

import threading
import time


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


class ClipClock:
    """Stamps what was recorded: now, at its own pace, or with the clip's own times.

    Paced, ``stamp`` waits until the frame's time has come and gives the present; a reader that falls behind by more
    than a second is not hurried. Unpaced, it gives the clip's time and ``recorded_at_s`` (Unix) plus that, so that
    every run is the same.
    """

    def __init__(self, pace: bool, recorded_at_s: float, closed: threading.Event) -> None:
        self._pace = pace
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
        if (early := self._start + time_s - now) > 0:
            self._closed.wait(early)
        return time.monotonic(), time.time()
