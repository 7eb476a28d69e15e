"""How fast each track goes over the ground."""

from __future__ import annotations

import numpy as np

from edgerun.rules.memory import Memory
from edgerun.types import F64, Stamp
from edgerun.zones import Ground, GroundOptions, Rows

_POINTS, _EVERY_S = 12, 0.1
_WINDOW_S, _WINDOW_STEPS = 1.5, 3.3
"""The time over which speed is measured, and at least so many frames of a camera that is looked at rarely: long enough
to even out boxes that tremble."""
_LEAST_S, _LEAST_POINTS = 0.45, 3
"""What a speed must be measured over to be told at all."""


class Pace(Rows):
    """Speeds in km/h: after an update ``kmh`` f64 (N,), NaN where it is not known (yet). Of who is not seen it is that
    of when it was seen last."""

    def __init__(self, ground: GroundOptions) -> None:
        super().__init__([("t", "f8", (_POINTS,)), ("at", "f8", (_POINTS, 2)), ("next", "i8")])
        self.blank["t"] = -np.inf
        self._options, self._ground = ground, Ground(ground)
        self.kmh: F64 = np.zeros(0)

    def take_over(self, before: Pace) -> None:
        """Places on another ground tell no speed here."""
        if self._options == before._options:
            super().take_over(before)

    def update(self, memory: Memory, stamp: Stamp) -> None:
        """Take one frame: the slope of the way over time, by least squares over the last points."""
        table, box = self.table, memory.table["xyxy"]
        foot = np.stack([(box[:, 0] + box[:, 2]) / (2.0 * stamp.width), box[:, 3] / float(stamp.height)], axis=1)
        due = np.flatnonzero(memory.seen & (memory.now - self._newest() >= _EVERY_S - 1e-6))
        slot = table["next"][due] % _POINTS
        table["t"][due, slot], table["at"][due, slot] = memory.now, self._ground.meters(foot[due])
        table["next"][due] += 1
        ago = self._newest()[:, None] - table["t"]
        used = ago <= max(_WINDOW_S, _WINDOW_STEPS * memory.usual_s)
        count = used.sum(axis=1)
        t = np.where(used, -ago, 0.0)
        span = -t.min(axis=1, initial=0.0)
        t = np.where(used, t - (t.sum(axis=1) / np.maximum(count, 1))[:, None], 0.0)
        spread = np.maximum((t**2).sum(axis=1), 1e-9)
        slope = (t[..., None] * np.where(used[..., None], table["at"], 0.0)).sum(axis=1) / spread[:, None]
        known = (span >= _LEAST_S) & (count >= _LEAST_POINTS)
        self.kmh = np.where(known, 3.6 * np.hypot(slope[:, 0], slope[:, 1]), np.nan)

    def _newest(self) -> F64:
        """When each row's last point was noted; long ago where there is none."""
        newest: F64 = self.table["t"].max(axis=1, initial=-1e300)
        return newest
