"""The queue itself, used by the one thread that opened it.

An alert is safe once its commit returned (write-ahead log, ``synchronous=FULL``). Delivered ones are deleted in
batches, because that wears an SD card least; the newest row of a camera never, because the next ``seq`` is told
from it. Where that cannot be, as the file cannot be read or was damaged, or a run before could not write there what it
gave out, ``seq`` leaps to the seconds since 1970.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Collection, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, cast

from edgerun.errors import SinkError
from edgerun.limits import Interval
from edgerun.outbox.ballast import Ballast
from edgerun.outbox.contents import Contents
from edgerun.outbox.database import GAPS, PAGE, Database, Work, insertion, is_full
from edgerun.outbox.entry import Entry
from edgerun.outbox.gaps import Gaps
from edgerun.outbox.index import Index
from edgerun.outbox.ring import Ring
from edgerun.outbox.rows import Row, checksum, ranges, unpack
from edgerun.outbox.salvage import go_on, replace, rescue, traces
from edgerun.outbox.seqs import Seqs
from edgerun.records import dataclass
from edgerun.types import GapReason

log = logging.getLogger(__name__)

_EVICT = 64
_SLACK = 16
"""Pages that a commit may need beside its rows."""
_BALLAST_S = 30.0
_LOCKED = "locked"
_HELD = "; another program holds it, or its file system has no locks, as a network share may: set another `state_dir`"
_NOT_OURS = (
    "it may not be written; is the disk mounted read-only, or did edgerun run as another user, such as root? "
    "`chown -R` gives the folder back to this one"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxOptions:
    """How alerts are kept until they are delivered."""

    max_mb: Annotated[int, Interval(ge=1, le=4096)] = 32
    """Largest size of the outbox file in MB; beyond it the oldest alerts give way and a gap record names them.
    One MB holds about 1,900 alerts of 400 bytes."""


class Outbox:
    """The file at ``path``; ``open`` first. Methods raise SinkError when the disk fails them; ``broken`` then tells
    that only ``open`` again can help."""

    def __init__(self, path: Path, options: OutboxOptions) -> None:
        self._path = path
        self.options = options
        """Looked at whenever the file is opened."""
        self._ballast = Ballast(path.with_name(path.name + ".ballast"))
        self._database: Database | None = None
        self._ring: Ring | None = None
        self._place: tuple[int, int] | None = None
        """Of the file that is open: which it was that lay at the path."""
        self._stranded: list[Entry] = []
        """What waited in one that was deleted or replaced, until it is in the one that lies there now."""
        self._index = Index()
        self.seqs = Seqs(path.with_name(path.name + ".ahead"), path)
        self.gaps = Gaps()
        self.gave_way: set[int] = set()
        """Rows that were deleted for others' sake. Who holds entries of them forgets those, and clears this."""
        self._unwritten: list[tuple[str, int, GapReason]] = []
        """Of the gap record, what the file does not know yet."""
        self.broken = False
        self._ballast_due = 0.0
        self.quarantined = 0

    @property
    def _log_path(self) -> Path:
        """SQLite's own name for it."""
        return self._path.with_name(self._path.name + "-wal")

    @property
    def is_open(self) -> bool:
        return self._database is not None

    def open(self) -> list[Entry]:
        """What still waits, in the order of acceptance. A damaged file is set aside and what is whole in it taken
        over; that takes seconds at the most, whatever the file holds. What waits in one that lies there no more is
        taken into the one that does."""
        if self._database is not None and self._place != _place_of(self._path):
            self._stranded += self._bodies()
        self.close()
        self._index = Index()
        self.gave_way = set()
        self.broken = False
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            written = [self._path.parent, *filter(Path.is_file, [self._path])]
            if not all(os.access(path, os.W_OK) for path in written):
                raise PermissionError(_NOT_OURS)
            entries = self._load_or_salvage()
            self.seqs.trust_file()
            self._catch_up()
            entries += self._brought_over({(entry.camera, entry.seq) for entry in entries})
        except (OSError, sqlite3.Error, SinkError, ValueError, TypeError) as error:
            self.close()  # also a file that could be read: in one just made anew the rows have other numbers
            self._ballast.release()
            self.seqs.go_ahead()
            if isinstance(error, SinkError):
                raise
            held = _HELD if _LOCKED in str(error) else ""
            raise SinkError(f"the outbox {self._path} cannot be opened: {error}{held}") from error
        self._ballast.restore()
        self._ring = Ring(self._path.with_name(self._path.name + ".ring"))  # it may have gone with the file
        noted = self._ring.noted()
        for entry in entries:
            if (entry.row, entry.checksum) in noted:
                self.settle(entry)
        return [entry for entry in entries if entry.row in self._index.waiting]

    def _bodies(self) -> list[Entry]:
        """What waits, in memory, as far as it can still be read."""
        rows = []
        with contextlib.suppress(SinkError):  # its disk may be gone with it
            rows = [row for number in self._index.waiting if (row := self._row(number)) is not None and row.body]
        return [Entry(row.camera, row.seq, row.body, offered=True) for row in rows]

    def _brought_over(self, known: Collection[tuple[str, int]]) -> list[Entry]:
        """Of what is stranded, all but the ``known``, now in the file. Raises SinkError."""
        stranded = [entry for entry in self._stranded if (entry.camera, entry.seq) not in known]
        for first in range(0, len(stranded), _EVICT):
            self.add(stranded[first : first + _EVICT])
        self._stranded = []
        return stranded

    def _load_or_salvage(self) -> list[Entry]:
        wal = self._log_path
        try:
            go_on(self._path)
            # SQLite would throw the log away if it found an empty file beside it.
            if wal.exists() and (not self._path.is_file() or self._path.stat().st_size == 0):
                raise ValueError("the file is gone, its log is not")
            return self._load()
        except (sqlite3.Error, ValueError, TypeError) as error:
            if isinstance(error, sqlite3.OperationalError) and (_LOCKED in str(error) or is_full(error)):
                raise
            damage = error
        self.close()
        replace(self._path, rescue(filter(Path.is_file, [self._path, wal])))
        self.quarantined += 1
        log.error("the outbox %s was damaged (%s): a new one was made of what was whole in it", self._path, damage)
        return self._load()

    def _load(self) -> list[Entry]:
        """Open, read every row. Raises sqlite3.Error, ValueError or TypeError when anything is not as it was left."""
        self.close()
        log_before = traces(self._log_path)
        database = self._database = Database(self._path, self.options.max_mb * (1 << 20) // PAGE)
        self._place = _place_of(self._path)
        contents = Contents(database, log_before)
        self._index = contents.index
        self.gaps = Gaps(database.read(GAPS))
        for camera, seq, reason in self._unwritten:
            self.gaps.add(camera, [seq], reason, time.time())
        if contents.behind or contents.lost:
            self._take_over(contents.behind, contents.lost)
        return contents.waiting

    def _take_over(self, behind: Sequence[Row], lost: Collection[tuple[str, int]]) -> None:
        """Write what lay behind a damaged place in the log once more, and name what was lost there."""
        log.error(
            "the log of the outbox %s is damaged or cut off: %d rows behind that place were taken over, %d are lost",
            self._path,
            len(behind),
            len(lost),
        )
        for camera, seq in lost:
            self.seqs.gave(camera, seq)
            self._lose(Entry(camera, seq), "damaged")
        if not self._write([insertion(behind)], durable=True) or not self._mark():
            self.seqs.go_ahead()  # those without a row are named when they are to be sent

    def _catch_up(self) -> None:
        """Keep in the file what was given out while it could not be written. Where it has no room now, later."""
        index = self._index
        ahead = self.seqs.beyond(index.last_seq)
        keepers = [Row(index.next_id + n, *one, (), b"") for n, one in enumerate(ahead.items())]
        if keepers and not self._write([insertion(keepers)], durable=True):
            self.seqs.go_ahead()
            return
        for keeper in keepers:
            index.put(keeper)
        index.found_delivered(keeper.id for keeper in keepers)
        self.seqs.are_known()

    def add(self, entries: Sequence[Entry], busy: Collection[int] = ()) -> None:
        """Commit alerts that are only in memory: they are accepted when this returns. Others may have to give way, also
        where it raises; those whose rows are in ``busy`` are spared."""
        index = self._index
        new = [
            Row(index.next_id + n, entry.camera, entry.seq, ranges(index.unmarked) if n == 0 else (), entry.body)
            for n, entry in enumerate(entries)
        ]
        work = insertion(new)
        while not self._write([work], durable=True):
            if not self._make_room(busy, new) and not self._ballast.release():
                self.seqs.go_ahead()
                raise SinkError(f"the outbox {self._path} has no room: the disk is full")
        index.unmarked.clear()
        for entry, row, (_, packed) in zip(entries, new, work[1], strict=True):
            entry.row, entry.body, entry.checksum = row.id, b"", checksum(cast(bytes, packed))
            index.put(row)

    def _make_room(self, busy: Collection[int], new: Sequence[Row]) -> bool:
        """In a file at its cap, delete what is delivered, else what waits longest. False where that is no help."""
        if self._room() > 2 * sum(1 + len(row.body) // PAGE for row in new) + _SLACK:
            return False  # not the cap stood against it, but the disk
        index = self._index
        spared = {*busy, *index.newest.values()}
        delivered = [number for number in index.delivered if number not in spared]
        if delivered:
            return self._delete(delivered)
        victims = [number for number in islice(index.waiting, len(spared) + _EVICT) if number not in spared][:_EVICT]
        gaps = self.gaps.copy()
        for number in victims:
            row = self._row(number)
            if row is not None:
                gaps.add(row.camera, [row.seq], "evicted", time.time())
        if not victims or not self._delete(victims, gaps):
            return False
        self.gave_way.update(victims)
        log.warning("the outbox is at its cap: the %d oldest alerts gave way", len(victims))
        return True

    def _room(self) -> int:
        try:
            return self._opened().room()
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def body(self, entry: Entry) -> bytes | None:
        """An alert's body; None when it was given up, or its row is gone or not as it was written, which the gap
        record then tells."""
        if not entry.row:
            return entry.body or None
        row = self._row(entry.row)
        if row is None and entry.row in self._index.waiting and not self.broken:
            log.error("alert %d of %s is damaged in the outbox", entry.seq, entry.camera)
            self._lose(entry, "damaged")
            self._index.settle(entry.row)
            # In its place: the file must go on to know of its seq, and no row may come to have its id.
            keeper = Row(entry.row, entry.camera, entry.seq, (), b"")
            self._mark([insertion([keeper])])
        return row.body if row else None

    def _row(self, number: int) -> Row | None:
        try:
            for (blob,) in self._opened().read("SELECT row FROM alerts WHERE id=?", number):
                return unpack(cast(bytes, blob))
        except ValueError:
            pass
        except sqlite3.Error as error:
            raise self._failed(error) from error
        return None

    def settle(self, entry: Entry) -> None:
        """An alert was delivered. From the next commit on no power cut can undo that; ``note`` it against kills."""
        self._index.settle(entry.row)

    def note(self, entry: Entry) -> None:
        """An alert was acknowledged this moment. From any thread, one at a time; ``settle`` follows."""
        if self._ring is not None and entry.row:
            self._ring.note(entry.row, entry.checksum)

    def tick(self) -> None:
        """Housekeeping, about once a second."""
        if self._place != _place_of(self._path):  # SQLite goes on writing where nobody will find it
            raise self._failed("it was deleted or replaced while it was in use")
        if self.seqs.are_ahead:
            self._catch_up()
        if old := self._index.outlived():
            self._delete(old)
        if self._unwritten:
            self._mark()
        if time.monotonic() > self._ballast_due:
            self._ballast_due = time.monotonic() + _BALLAST_S
            self._ballast.restore()

    def last_bodies(self) -> dict[str, bytes]:
        """The newest alert of each camera, delivered or not."""
        rows = [self._row(number) for number in self._index.newest.values()]
        return {row.camera: row.body for row in rows if row is not None and row.body}

    def give_up(self, entry: Entry) -> None:
        """An alert that never came to the file will not be delivered; the gap record is written once it can be."""
        self._lose(entry, "evicted")

    def _lose(self, entry: Entry, reason: GapReason) -> None:
        self.gaps.add(entry.camera, [entry.seq], reason, time.time())
        self._unwritten.append((entry.camera, entry.seq, reason))

    def history(self, camera: str, since_seq: int) -> list[Entry]:
        """Delivered alerts that are still here, oldest first; of all cameras when ``camera`` is empty."""
        rows = [row for number in sorted(self._index.delivered) if (row := self._row(number)) is not None and row.body]
        return [
            Entry(row.camera, row.seq, row=row.id, offered=True)
            for row in rows
            if row.seq >= since_seq and camera in ("", row.camera)
        ]

    def close(self) -> None:
        """Write what is still to be marked, and let go of the file."""
        if self._database is None:
            return
        try:
            if self._index.unmarked or self._unwritten:
                self._mark()
        except SinkError as error:
            log.warning("%s", error)
        finally:
            self._database.close()
            self._database = None

    def _delete(self, numbers: Sequence[int], gaps: Gaps | None = None) -> bool:
        """Delete rows. False when there was no room even for that."""
        work = ("DELETE FROM alerts WHERE id BETWEEN ? AND ?", ranges(numbers))
        if not self._mark([work], set(numbers), gaps):
            return False
        self._index.drop(numbers)
        return True

    def _mark(self, work: Sequence[Work] = (), without: Collection[int] = (), gaps: Gaps | None = None) -> bool:
        """Do the work, write all marks anew, as the rows that carried them may be gone by it, and the gap record where
        it has changed: ``gaps`` from then on. False when there was no room."""
        told = (gaps or self.gaps).work() if gaps or self._unwritten else []
        if not self._write([*work, insertion([self._index.marks(without)]), *told], durable=False):
            return False
        self._index.unmarked.clear()
        self._unwritten.clear()
        self.gaps = gaps or self.gaps
        return True

    def _write(self, work: Sequence[Work], *, durable: bool) -> bool:
        """False when there is no room. Raises SinkError for any other failure."""
        try:
            self._opened().write(work, durable=durable)
        except sqlite3.Error as error:
            if is_full(error):
                return False
            raise self._failed(error) from error
        return True

    def _opened(self) -> Database:
        if self._database is None:
            raise SinkError(f"the outbox {self._path} is not open")
        return self._database

    def _failed(self, error: sqlite3.Error | str) -> SinkError:
        self.broken = True
        self.seqs.go_ahead()
        return SinkError(f"the outbox {self._path} failed: {error}")


def _place_of(path: Path) -> tuple[int, int] | None:
    """Which file lies there; None: there is none, or it cannot be told."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
