"""Which of several engines serves: the next one when one fails, a better one again when its time has come.

Engines are numbers here, in their order of preference. Pure: the time is handed in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

BACKOFF_S = (0.25, 30.0)
"""Doubled with each failure in a row, when no engine is left that was not tried just now."""
SETTLED_S = 10.0
"""An engine that lived this long is started again at once."""
FIRST_RETRY_S = 2.0
"""A better engine is tried again after so long, then after twice as long, up to what the terms say."""


class Choice:
    """``detachable`` tells of each engine whether what it runs on can go away: then it is not tried again before
    another one serves. ``retry_s`` is the longest wait between two trials of a better engine; 0: none is made."""

    def __init__(self, detachable: Sequence[bool], retry_s: float) -> None:
        self.current = 0
        self.exhausted = False
        """The last one failed in a way that no retry helps, as had all before it but what can go away; all are tried
        again all the same."""
        self._detachable = tuple(detachable)
        self._order = list(range(len(detachable)))
        self._refused: set[int] = set()
        self._failures = 0
        self._longest_s = retry_s
        self._retry_s = 0.0
        self._retry_at = 0.0

    @property
    def best(self) -> int:
        return self._order[0]

    def prefer(self, order: Sequence[int]) -> None:
        """Take another order of preference; what is better now than the current one is tried soon."""
        self._order = list(order)
        self._retry_at = 0.0

    def later(self) -> int | None:
        """The next in order after the current one that was not refused."""
        after = self._order[self._order.index(self.current) + 1 :]
        return next((one for one in after if one not in self._refused), None)

    def better(self, now: float) -> int | None:
        """The one to try beside the current one, if it is time to."""
        if self.current == self._order[0] or now < self._retry_at:
            return None
        before = self._order[: self._order.index(self.current)]
        return next((one for one in before if one not in self._refused), None)

    def is_better(self, one: int) -> bool:
        return self._order.index(one) < self._order.index(self.current)

    def answered(self) -> None:
        """The current one does its work."""
        self._failures = 0

    def failed(self, *, retriable: bool, lived_s: float, now: float) -> float:
        """The current one failed after it had served for ``lived_s``: choose, and tell how long to wait in seconds."""
        self._failures = 0 if lived_s > SETTLED_S else self._failures + 1
        self._postpone(lived_s, now)
        if not retriable:
            self._refused.add(self.current)
        if retriable and self._failures <= 1 and not self._detachable[self.current]:
            return 0.0
        following = self.later()
        if following is not None:
            self.current = following
            return 0.0
        hopeless = all(one in self._refused or self._detachable[one] for one in self._order)
        self.exhausted = hopeless and not retriable
        if len(self._refused) == len(self._order):
            self._refused.clear()
        self.current = next(one for one in self._order if one not in self._refused)
        if retriable and self._failures <= 1:
            return 0.0
        return min(BACKOFF_S[1], BACKOFF_S[0] * 2.0 ** min(self._failures, 20))

    def not_back(self, one: int, *, retriable: bool, now: float) -> None:
        """A better one was tried and does not serve."""
        if not retriable:
            self._refused.add(one)
        self._postpone(0.0, now)

    def _postpone(self, lived_s: float, now: float) -> None:
        if lived_s > self._longest_s:
            self._retry_s = 0.0
        self._retry_s = min(self._longest_s, max(FIRST_RETRY_S, 2 * self._retry_s))
        self._retry_at = now + self._retry_s if self._longest_s else math.inf
