"""Since when something is as it is, also where the clock was set in the meantime.

A device without a battery starts in 1970, or where it was switched off, and jumps when the network tells it the time.
"""

from __future__ import annotations

import time

_SET_S = 2.0
"""A clock that was set by less is not worth telling anything anew."""


class Since:
    """The moment of its making. May be asked by any thread."""

    __slots__ = ("_at", "_wall")

    def __init__(self) -> None:
        self._at = _running_s()
        self._wall = time.time()

    @property
    def age_s(self) -> float:
        return _running_s() - self._at

    @property
    def wall(self) -> float:
        """Unix seconds: as the clock had it then, or would have had it, had it been right."""
        wall = time.time() - self.age_s
        if abs(wall - self._wall) > _SET_S:
            self._wall = wall
        return self._wall


def _running_s() -> float:
    """A clock that nobody sets, and that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
