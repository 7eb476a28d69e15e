"""What is known of the rows without reading them: which wait, which were delivered, which is a camera's newest."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from edgerun.outbox.rows import MARKS_ID, Row, ranges

HISTORY = 200
"""Delivered alerts that are kept so that they can be asked for again."""
_BATCH = 200


class Index:
    """Of the file that is open. ``unmarked`` rows were delivered, and the file does not say so yet."""

    def __init__(self) -> None:
        self.waiting: dict[int, None] = {}
        self.delivered: dict[int, None] = {}
        self.newest: dict[str, int] = {}
        self.last_seq: dict[str, int] = {}
        """Of the newest row of each camera."""
        self.unmarked: list[int] = []
        self.next_id = MARKS_ID + 1

    def put(self, row: Row) -> None:
        """A row that waits; rows come by rising id."""
        self.next_id = max(self.next_id, row.id + 1)
        self.waiting[row.id] = None
        if row.seq >= self.last_seq.get(row.camera, 0):
            self.newest[row.camera] = row.id
            self.last_seq[row.camera] = row.seq

    def found_delivered(self, numbers: Iterable[int]) -> None:
        """What the file itself marks so."""
        for number in sorted(numbers):
            del self.waiting[number]
            self.delivered[number] = None

    def settle(self, number: int) -> None:
        if self.waiting.pop(number, 0) is None:
            self.delivered[number] = None
            self.unmarked.append(number)

    def drop(self, numbers: Iterable[int]) -> None:
        """These were deleted."""
        for number in numbers:
            self.waiting.pop(number, None)
            self.delivered.pop(number, None)

    def outlived(self) -> list[int]:
        """Delivered rows that are due to be deleted: a batch beyond the history, never a camera's newest."""
        if len(self.delivered) < HISTORY + _BATCH:
            return []
        newest = set(self.newest.values())
        return [number for number in sorted(self.delivered)[:-HISTORY] if number not in newest]

    def marks(self, without: Collection[int] = ()) -> Row:
        """The row that tells what is settled, once the rows ``without`` are gone."""
        floor = next((number for number in self.waiting if number not in without), self.next_id)
        return Row(MARKS_ID, "-", floor, ranges(number for number in self.delivered if number > floor), b"")
