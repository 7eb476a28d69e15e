"""Which alerts will never be delivered: exact ranges of ``seq`` per camera."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Any

from edgerun.outbox.database import Work
from edgerun.outbox.rows import ranges
from edgerun.types import Gap, GapReason

_KEPT = 32


class Gaps:
    """The gap record, from the rows of its table."""

    def __init__(self, stored: Iterable[tuple[Any, ...]] = ()) -> None:
        self._found: dict[str, list[Gap]] = {}
        self.are_news = False
        """Some were added; who tells of them clears this."""
        for camera, *fields in stored:
            self._found.setdefault(camera, []).append(Gap(*fields))

    @property
    def evicted(self) -> int:
        """Alerts given up for want of room, ever."""
        return sum(gap.count for found in self._found.values() for gap in found if gap.reason == "evicted")

    def cameras(self) -> list[str]:
        return list(self._found)

    def of(self, camera: str) -> list[Gap]:
        """One camera's ranges, oldest first. Beyond some dozens the oldest of one reason are put together; counts stay
        exact."""
        return list(self._found.get(camera, ()))

    def add(self, camera: str, seqs: Iterable[int], reason: GapReason, wall: float) -> None:
        self.are_news = True
        found = self._found.setdefault(camera, [])
        for first, last in ranges(seqs):
            if found and found[-1].reason == reason and found[-1].last + 1 == first:
                first, count = found[-1].first, found[-1].count + last - first + 1
                found.pop()
            else:
                count = last - first + 1
            found.append(Gap(first, last, count, reason, wall))
        while len(found) > _KEPT:
            _join_oldest(found)

    def copy(self) -> Gaps:
        copied = Gaps()
        copied._found = {camera: list(found) for camera, found in self._found.items()}
        return copied

    def work(self) -> list[Work]:
        """What writes the whole record."""
        rows = [
            (camera, gap.first, gap.last, gap.count, gap.reason, gap.wall)
            for camera, found in self._found.items()
            for gap in found
        ]
        return [("DELETE FROM gaps", [()]), ("INSERT INTO gaps VALUES (?,?,?,?,?,?)", rows)]


def _join_oldest(found: list[Gap]) -> None:
    """As there are two reasons, two of any three ranges have the same one."""
    old, young = next(pair for pair in combinations(found[:3], 2) if pair[0].reason == pair[1].reason)
    found.remove(young)
    first, last = min(old.first, young.first), max(old.last, young.last)
    found[found.index(old)] = Gap(first, last, old.count + young.count, young.reason, young.wall)
