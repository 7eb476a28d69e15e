"""How long frames and alerts take, counted into buckets. A measurement costs well under a microsecond and takes no
lock: each histogram has one writer at a time."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence

# fmt: off
BOUNDS_S = (
    0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.065, 0.08, 0.1, 0.13, 0.16, 0.2, 0.25, 0.32, 0.4, 0.5, 0.65,
    0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0,
)
# fmt: on
"""Upper bounds of the buckets; one more takes what is beyond."""
QUANTILES = (0.5, 0.95, 0.99)
_MARK_EVERY_S = 60.0
_MARKS = 5
_LONGEST_S = 3600.0
_UNDER_WAY = 4096


class Histogram:
    """Counts by bucket, and the sum of all that was observed."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.total += seconds


class FrameMeter:
    """One camera's frames: seconds from capture until looked at, inferred, published; and the engine's own."""

    STAGES = ("looked", "inferred", "published")

    def __init__(self) -> None:
        self.looked = Histogram()
        self.inferred = Histogram()
        self.published = Histogram()
        self.inference = Histogram()

    def finished(self, captured: float, inferred: float, inference_s: float | None) -> None:
        """A frame was published just now. Monotonic seconds; ``inference_s`` None: nothing had moved."""
        self.published.observe(time.monotonic() - captured)
        if inference_s is not None:
            self.inferred.observe(inferred - captured)
            self.inference.observe(inference_s)


class AlertMeter:
    """Seconds from capture until an alert was accepted, and until the broker acknowledged it. One thread calls it."""

    STAGES = ("accepted", "acknowledged")

    def __init__(self) -> None:
        self.accepted = Histogram()
        self.acknowledged = Histogram()
        self._captured: OrderedDict[tuple[str, int], float] = OrderedDict()

    def taken(self, camera: str, seq: int, captured: float) -> None:
        """``captured`` in monotonic seconds; a clip's own clock is not measured."""
        if 0 <= time.monotonic() - captured < _LONGEST_S:
            self._captured[camera, seq] = captured
            if len(self._captured) > _UNDER_WAY:
                self._captured.popitem(last=False)

    def was_accepted(self, camera: str, seq: int) -> None:
        captured = self._captured.get((camera, seq))
        if captured is not None:
            self.accepted.observe(time.monotonic() - captured)

    def was_acknowledged(self, camera: str, seq: int) -> None:
        captured = self._captured.pop((camera, seq), None)
        if captured is not None:
            self.acknowledged.observe(time.monotonic() - captured)


class Meters:
    """All that is measured, by camera, for as long as the daemon runs."""

    def __init__(self) -> None:
        self.cameras: dict[str, FrameMeter] = {}
        self.alerts = AlertMeter()
        self._marks: dict[str, deque[tuple[float, list[int]]]] = {}

    def camera(self, name: str) -> FrameMeter:
        return self.cameras.setdefault(name, FrameMeter())

    def summary(self) -> dict[str, dict[str, float]]:
        """Milliseconds by stage, over all cameras and the last five minutes or so: p50, p95, p99. A stage that nothing
        reached is left out."""
        frames = list(self.cameras.values())
        stages = {stage: [getattr(meter, stage) for meter in frames] for stage in (*FrameMeter.STAGES, "inference")}
        stages |= {stage: [getattr(self.alerts, stage)] for stage in AlertMeter.STAGES}
        now = time.monotonic()
        recent = {stage: self._recent(stage, histograms, now) for stage, histograms in stages.items()}
        return {
            stage: {f"p{q * 100:.0f}": round(quantile(counts, q) * 1000, 1) for q in QUANTILES}
            for stage, counts in recent.items()
            if any(counts)
        }

    def _recent(self, stage: str, histograms: Iterable[Histogram], now: float) -> list[int]:
        """What came in since the oldest mark."""
        counts = [sum(column) for column in zip(*(one.counts for one in histograms), strict=True)]
        if not counts:
            return []
        marks = self._marks.setdefault(stage, deque([(now, [0] * len(counts))], maxlen=_MARKS))
        oldest = marks[0][1]
        if now - marks[-1][0] > _MARK_EVERY_S:
            marks.append((now, counts))
        return [new - old for new, old in zip(counts, oldest, strict=True)]


def quantile(counts: Sequence[int], q: float) -> float:
    """Seconds below which a share ``q`` of what was counted lies, spread evenly within a bucket."""
    left = q * sum(counts)
    for index, count in enumerate(counts):
        if count and left <= count:
            low = BOUNDS_S[index - 1] if index else 0.0
            high = BOUNDS_S[index] if index < len(BOUNDS_S) else BOUNDS_S[-1]
            return low + (high - low) * left / count
        left -= count
    return 0.0
