"""Where each stands still, since when, and who has moved from there."""

from __future__ import annotations

import numpy as np

from edgerun.masks import some
from edgerun.types import F32, F64, Mask
from edgerun.zones import Rows

_STIR, _STIR_S = 0.3, 0.5
"""What is off its place by this part of its size, for so many seconds, has moved: one bad box is no move, and a
detector's boxes tremble by about a tenth."""
_SETTLE_S = 2.0
"""What has been still for so long has come to rest: its place is where it is then, not where it began to slow down."""


class Rest(Rows):
    """After an update, for N rows: ``stirred`` bool (N,), moved from where it had been still."""

    def __init__(self) -> None:
        super().__init__([
            ("place", "f4", (2,)),  # the middle of the box where it is still
            ("halted", "f8"),  # its life when it came to be there
            ("rooted", "f8"),  # its life when it was last seen to be there
            ("settled", "?"),  # it has come to rest there
            ("astray", "f8"),  # since when it is off its place; inf: it is not
        ])  # fmt: skip
        self.blank["astray"] = np.inf
        self.clear()

    def clear(self) -> None:
        super().clear()
        self._astray = True  # whether any row is off its place; True where in doubt
        self.stirred = np.zeros(0, np.bool_)
        self._rested: F64 | None = None

    @property
    def rested(self) -> F64:
        """The seconds for which each was still until it was last seen at its place, f64 (N,); for who stirred in this
        frame, at the place before. On a slow camera it takes some frames until who walks by is known to move."""
        if self._rested is not None:
            return self._rested
        seconds: F64 = self.table["rooted"] - self.table["halted"]
        return seconds

    def turn(self) -> None:
        """Begin a frame: nobody has stirred."""
        self.stirred, self._rested = np.zeros(len(self.table), np.bool_), None

    def update(self, middle: F32, extent: F32, seen: Mask, life: F64, now: float) -> None:
        """Look where the boxes of the rows are now: their middles f32 (N,2) and sizes f32 (N,) in pixels, which of them
        were seen, for how many seconds so far, and what time it is in seconds."""
        t = self.table
        way = middle - t["place"]
        off = (np.hypot(way[:, 0], way[:, 1]) > _STIR * extent) & seen
        np.copyto(t["rooted"], life, where=seen & ~off)
        settling = seen & ~(off | t["settled"]) & (life - t["halted"] >= _SETTLE_S)
        if some(settling):
            t["place"][settling], t["settled"][settling] = middle[settling], True
        if not (self._astray or some(off)):
            return
        np.copyto(t["astray"], np.where(off, np.minimum(t["astray"], now), np.inf), where=seen)
        self._astray = some(off) or some(t["astray"] < np.inf)
        self.stirred = off & (now - t["astray"] >= _STIR_S)
        if some(self.stirred):
            self._rested = self.rested
            t["place"][self.stirred] = middle[self.stirred]
            t["halted"][self.stirred] = t["rooted"][self.stirred] = life[self.stirred]
            t["astray"][self.stirred] = np.inf
            t["settled"][self.stirred] = False
