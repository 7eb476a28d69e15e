"""Which internal loops do not advance any more."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

SILENCE_S = 12.0
"""Every loop turns at least once in two seconds; a loop this late is stuck, not slow."""


class Watch:
    """Compares progress counters. One late loop is enough for the watchdog to be left unfed."""

    def __init__(self, progress: Callable[[], Mapping[str, int]]) -> None:
        self._progress = progress
        self._seen: dict[str, tuple[int, float]] = {}

    def stuck(self) -> list[str]:
        """Names of the loops that have not advanced for too long."""
        now = time.monotonic()
        progress = self._progress()
        self._seen = {
            name: seen if (seen := self._seen.get(name)) and seen[0] == count else (count, now)
            for name, count in progress.items()
        }
        return [name for name, (_, at) in self._seen.items() if now - at > SILENCE_S]
