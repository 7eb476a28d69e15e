"""What the outbox file holds, read once when it is opened, with what SQLite does not see of it any more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from edgerun.outbox.database import Database
from edgerun.outbox.entry import Entry
from edgerun.outbox.index import Index
from edgerun.outbox.rows import MARKS_ID, Row, Settled, Trace, checksum, pack, unpack


class Contents:
    """Of ``database``, and of its ``log`` as it was before SQLite opened that: SQLite takes the first damaged place
    there for the log's end. ``behind`` are the rows that lay behind it, and ``lost`` the alerts of which no more than
    the beginning is found there. Raises sqlite3.Error, ValueError or TypeError when a row is not as it was left."""

    def __init__(self, database: Database, log: Iterable[Trace]) -> None:
        self.index = Index()
        self._entries: dict[int, Entry] = {}
        self._settled = Settled()
        self._keepers: set[int] = set()
        for number, blob in database.read("SELECT id, row FROM alerts ORDER BY id"):
            row = unpack(cast(bytes, blob))
            if row.id != number:
                raise ValueError("a row is not in its place")
            self._take(row, cast(bytes, blob))
        self._end_of_ids()
        traces = [trace for trace in log if trace.id >= self.index.next_id]
        behind = {trace.id: trace.row for trace in traces if trace.row is not None}
        self.behind = [behind[number] for number in sorted(behind)]
        for row in self.behind:
            self._take(row, pack(row))
        self._end_of_ids()
        torn = {trace.id: (trace.camera, trace.seq) for trace in traces if trace.id not in behind}
        self.lost = {torn[number] for number in torn.keys() - self._settled.among(torn)}
        self.index.found_delivered(self._settled.among(self._entries) | self._keepers)

    @property
    def waiting(self) -> list[Entry]:
        """What was not delivered, in the order of acceptance."""
        return [self._entries[number] for number in self.index.waiting]

    def _take(self, row: Row, packed: bytes) -> None:
        self._settled.add(row)
        if row.id == MARKS_ID:
            return
        self._entries[row.id] = Entry(row.camera, row.seq, b"", row.id, checksum(packed), offered=True)
        self.index.put(row)
        if not row.body:
            self._keepers.add(row.id)

    def _end_of_ids(self) -> None:
        """Those that had such ids may be gone."""
        self.index.next_id = max(self.index.next_id, self._settled.end)
