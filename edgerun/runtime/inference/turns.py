"""Whose turn it is: from the frames that cameras offer to the regions that the engine is asked for, one by one.

A camera waits with one frame at most: newest wins. Cameras are served by stride scheduling, so that in overload every
rate falls in proportion to what was asked (C. Waldspurger, W. Weihl: Stride Scheduling, MIT/LCS/TM-528).
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable

from edgerun.regions import Budget
from edgerun.runtime.inference.jobs import Ask, Job, Lane

_BURST_S = 0.5
"""The inferences of so many seconds may come at once, or two; those of one frame always may."""
_OF_LATE_S = 2.0


class Turns:
    """The lanes of one dispatcher, whose lock is held in all that is called here.

    ``depth`` frames of a lane may be under way at once. ``per_second`` is the most inferences of all lanes together,
    but for lossless ones; 0: no limit.
    """

    def __init__(self, depth: int, per_second: float) -> None:
        self.depth = depth
        self._lanes: list[Lane] = []
        self._again: deque[Ask] = deque()
        """What an engine that went away has not answered: first in turn."""
        self._clock = 0.0
        burst = max(1, min(int(per_second), max(2, int(per_second * _BURST_S))))
        self._budget = Budget(burst, per_second) if per_second else None
        self._refused_at = -math.inf

    @property
    def limited(self) -> bool:
        """The limit of inferences a second made frames wait of late."""
        return time.monotonic() - self._refused_at < _OF_LATE_S

    def add(self, lane: Lane) -> None:
        self._lanes.append(lane)

    def remove(self, lane: Lane) -> None:
        lane.waiting = None
        self._lanes.remove(lane)
        self._again = deque(ask for ask in self._again if ask.job.lane is not lane)

    def has_place(self, lane: Lane) -> bool:
        """Whether a lossless lane may offer a frame; one that was removed always may."""
        return lane not in self._lanes or not (lane.waiting or len(lane.in_order) >= self.depth)

    def offer(self, job: Job) -> None:
        """Take a frame in place of the one that waits. One without regions goes before what waits for the engine."""
        lane = job.lane
        if lane.waiting is not None:
            lane.dropped += 1
        if job.look.regions:
            if lane.waiting is None:
                lane.pass_ = max(lane.pass_, self._clock)
            lane.waiting = job
            lane.asked, lane.asked_at = len(job.look.regions), time.monotonic()
        elif lane.waiting is None:
            lane.in_order.append(job)

    def again(self, asks: Iterable[Ask]) -> None:
        """Let these come first."""
        self._again.extend(asks)

    def pass_over(self, lane: Lane) -> None:
        """Forget the frame that waits."""
        lane.dropped += lane.waiting is not None
        lane.waiting = None

    def in_line(self) -> int:
        """How many regions could be asked for now."""
        begun = sum(len(lane.sending.look.regions) - lane.sending.sent for lane in self._lanes if lane.sending)
        return len(self._again) + begun + sum(len(job.look.regions) for job in self._ready())

    @property
    def idle(self) -> bool:
        """There is nothing to be asked for."""
        for lane in self._lanes:  # in a loop, which takes a third of the time of any()
            if lane.waiting or lane.sending:
                return False
        return not self._again

    def take(self) -> Ask | None:
        """What has to be asked again, or the next region of the frame begun, or else of the lane that is furthest
        behind."""
        if self._again:
            return self._again.popleft()
        job = next((lane.sending for lane in self._lanes if lane.sending), None) or self._begun()
        if job is None:
            return None
        region = job.look.regions[job.sent]
        job.sent += 1
        job.lane.sending = job if job.sent < len(job.look.regions) else None
        return Ask(job, region)

    def _begun(self) -> Job | None:
        job = self._job_in_turn()
        if job is not None:
            lane = job.lane
            lane.waiting = None
            lane.in_order.append(job)
            self._clock = lane.pass_
            lane.pass_ += len(job.look.regions) / lane.weight
        return job

    def _job_in_turn(self) -> Job | None:
        """Of the lane furthest behind. What the limit of inferences holds up waits for the next frame of any camera, or
        gives way to a newer one of its own."""
        ready = self._ready()
        first = min(ready, key=lambda job: job.lane.pass_, default=None)
        if self._budget is None or first is None or first.lane.lossless:
            return first
        now = time.monotonic()
        if self._budget.takes(len(first.look.regions), now, leave=self._due(first.lane, now)):
            return first
        self._refused_at = now
        return next((job for job in ready if job.lane.lossless), None)

    def _due(self, lane: Lane, now: float) -> int:
        """How many regions the lanes further behind will ask for in a moment. Their last frame was taken as it came; if
        what the limit allows went to whoever waits just then, all would get the same, whatever their weights."""
        behind = (one for one in self._lanes if one.pass_ < lane.pass_ and not one.lossless)
        return sum(one.asked for one in behind if now - one.asked_at < _BURST_S)

    def _ready(self) -> list[Job]:
        """The frames that can be begun."""
        return [lane.waiting for lane in self._lanes if lane.waiting and len(lane.in_order) < self.depth]
