"""The queue itself, used by the one thread that opened it.

An alert is safe once its commit returned (write-ahead log, ``synchronous=FULL``). Delivered ones are deleted in
batches, because that wears an SD card least; the newest row of a camera never, because the next ``seq`` is told
from it.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import cast

from edgerun.errors import SinkError
from edgerun.outbox.ballast import Ballast
from edgerun.outbox.database import PAGE, insertion
from edgerun.outbox.entry import Entry
from edgerun.outbox.file import OutboxFile, OutboxOptions
from edgerun.outbox.ring import Ring
from edgerun.outbox.rows import Row, checksum, ranges

log = logging.getLogger(__name__)

_EVICT = 64
_SLACK = 16
"""Pages that a commit may need beside its rows."""
_BALLAST_S = 30.0
_TELL_S = 600.0
"""How often it is said that alerts gave way: a broker that is away for days costs some dozens with each that comes."""


class Outbox(OutboxFile):
    """What waits in it and what was delivered; ``open`` first, errors as there."""

    def __init__(self, path: Path, options: OutboxOptions) -> None:
        super().__init__(path, options)
        self._ballast = Ballast(path.with_name(path.name + ".ballast"))
        self._ballast_due = 0.0
        self._untold = 0
        """How many gave way since that was said."""
        self._tell_due = 0.0
        self._ring: Ring | None = None
        self._stranded: list[Entry] = []
        """What waited in a file that was deleted or replaced, until it is in the one that lies there now."""
        self.gave_way: set[int] = set()
        """Rows that were deleted for others' sake. Who holds entries of them forgets those, and clears this."""

    def open(self) -> list[Entry]:
        """As the file's. What waits in one that lies there no more is taken into the one that does. One that is open
        and cannot be written now stays so, while what waits there can be read: no other might open."""
        if self._can_be_read:
            self.probe()
        if self.has_gone:
            self._stranded += self._bodies()
        self.gave_way = set()
        try:
            entries = super().open()
            entries += self._brought_over({(entry.camera, entry.seq) for entry in entries})
        except SinkError:
            self.close()  # also a file that could be read: in one just made anew the rows have other numbers
            self._ballast.release()
            raise
        self._ballast.restore()
        self._ring = Ring(self.path.with_name(self.path.name + ".ring"))  # it may have gone with the file
        noted = self._ring.noted()
        for entry in entries:
            if (entry.row, entry.checksum) in noted:
                self.settle(entry)
        return [entry for entry in entries if entry.row in self.index.waiting]

    @property
    def _can_be_read(self) -> bool:
        """Whether something waits in the file that lies there, and it can still give that."""
        first = next(iter(self.index.waiting), None)
        with contextlib.suppress(SinkError):
            return first is not None and not self.has_gone and self.row(first) is not None
        return False

    def _bodies(self) -> list[Entry]:
        """What waits, in memory, as far as it can still be read."""
        rows: list[Row] = []
        with contextlib.suppress(SinkError):  # its disk may be gone with it; what was read before stays
            rows.extend(self._alerts(self.index.waiting))
        return [Entry(row.camera, row.seq, row.body, offered=True) for row in rows]

    def _brought_over(self, known: Collection[tuple[str, int]]) -> list[Entry]:
        """Of what is stranded, all but the ``known``, now in the file. Raises SinkError."""
        stranded = [entry for entry in self._stranded if (entry.camera, entry.seq) not in known]
        for first in range(0, len(stranded), _EVICT):
            self.add(stranded[first : first + _EVICT])
        self._stranded = []
        return stranded

    def add(self, entries: Sequence[Entry], busy: Collection[int] = ()) -> None:
        """Commit alerts that are only in memory: they are accepted when this returns. Others may have to give way, also
        where it raises; those whose rows are in ``busy`` are spared."""
        index = self.index
        new = [
            Row(index.next_id + n, entry.camera, entry.seq, ranges(index.unmarked) if n == 0 else (), entry.body)
            for n, entry in enumerate(entries)
        ]
        work = insertion(new)
        while not self.write([work], durable=True):
            if not self._make_room(busy, new) and not self._ballast.release():
                self.seqs.go_ahead()
                raise SinkError(f"the outbox {self.path} has no room: the disk is full")
        index.unmarked.clear()
        for entry, row, (_, packed) in zip(entries, new, work[1], strict=True):
            entry.row, entry.body, entry.checksum = row.id, b"", checksum(cast(bytes, packed))
            index.put(row)

    def _make_room(self, busy: Collection[int], new: Sequence[Row]) -> bool:
        """In a file at its cap, delete what is delivered, else what waits longest. False where that is no help."""
        if self.room() > 2 * sum(1 + len(row.body) // PAGE for row in new) + _SLACK:
            return False  # not the cap stood against it, but the disk
        index = self.index
        spared = {*busy, *index.newest.values()}
        delivered = [number for number in index.delivered if number not in spared]
        if delivered:
            return self.delete(delivered)
        victims = [number for number in islice(index.waiting, len(spared) + _EVICT) if number not in spared][:_EVICT]
        gaps = self.gaps.copy()
        for number in victims:
            row = self.row(number)
            if row is not None:
                gaps.add(row.camera, [row.seq], "evicted", time.time())
        if not victims or not self.delete(victims, gaps):
            return False
        self.gave_way.update(victims)
        self._untold += len(victims)
        return True

    def body(self, entry: Entry) -> bytes | None:
        """An alert's body; None when it was given up, or its row is gone or not as it was written, which the gap
        record then tells."""
        if not entry.row:
            return entry.body or None
        row = self.row(entry.row)
        if row is None and entry.row in self.index.waiting and not self.broken:
            log.error("alert %d of %s is damaged in the outbox", entry.seq, entry.camera)
            self.lose(entry.camera, entry.seq, "damaged")
            self.index.settle(entry.row)
            # In its place: the file must go on to know of its seq, and no row may come to have its id.
            keeper = Row(entry.row, entry.camera, entry.seq, (), b"")
            self.mark([insertion([keeper])])
        return row.body if row else None

    def settle(self, entry: Entry) -> None:
        """An alert was delivered. From the next commit on no power cut can undo that; ``note`` it against kills."""
        self.index.settle(entry.row)

    def note(self, entry: Entry) -> None:
        """An alert was acknowledged this moment. From any thread, one at a time; ``settle`` follows."""
        if self._ring is not None and entry.row:
            self._ring.note(entry.row, entry.checksum)

    def give_up(self, entry: Entry) -> None:
        """An alert that never came to the file will not be delivered."""
        self.lose(entry.camera, entry.seq, "evicted")

    def tick(self) -> None:
        """Housekeeping, about once a second."""
        super().tick()
        if time.monotonic() > self._ballast_due:
            self._ballast_due = time.monotonic() + _BALLAST_S
            self._ballast.restore()
        if self._untold and time.monotonic() > self._tell_due:
            self._tell_due = time.monotonic() + _TELL_S
            log.warning("the outbox is at its cap: the %d oldest alerts gave way", self._untold)
            self._untold = 0

    def last_bodies(self) -> dict[str, bytes]:
        """The newest alert of each camera, delivered or not; none where that never came to the file."""
        rows = [self.row(number) for number in self.index.newest.values()]
        newest = self.seqs.last
        return {row.camera: row.body for row in rows if row and row.body and row.seq >= newest.get(row.camera, 0)}

    def history(self, camera: str, since_seq: int) -> list[Entry]:
        """Delivered alerts that are still here, oldest first; of all cameras when ``camera`` is empty."""
        return [
            Entry(row.camera, row.seq, row=row.id, offered=True)
            for row in self._alerts(sorted(self.index.delivered))
            if row.seq >= since_seq and camera in ("", row.camera)
        ]

    def _alerts(self, numbers: Iterable[int]) -> Iterator[Row]:
        """Of these rows those that can be read and hold an alert."""
        for number in numbers:
            row = self.row(number)
            if row is not None and row.body:
                yield row
