"""The outbox as it lies on the disk: opened, healed or made anew, read, and written in commits.

Where it cannot be read or was damaged, or a run before could not write there what it gave out, ``seq`` leaps (see
``seqs``).
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, cast

from edgerun.errors import SinkError
from edgerun.limits import Interval
from edgerun.outbox.contents import Contents
from edgerun.outbox.database import GAPS, PAGE, Database, Work, insertion, is_full
from edgerun.outbox.entry import Entry
from edgerun.outbox.gaps import Gaps
from edgerun.outbox.index import Index
from edgerun.outbox.place import Place
from edgerun.outbox.rows import ANY, Row, ranges, unpack
from edgerun.outbox.salvage import go_on, replace, rescue, traces
from edgerun.outbox.seqs import Seqs
from edgerun.records import dataclass
from edgerun.types import GapReason

log = logging.getLogger(__name__)

_LOCKED = "locked"
_HELD = "; another program holds it, or its file system has no locks, as a network share may: set another `state_dir`"
_NOT_OURS = (
    "it may not be written; is the disk mounted read-only, is the folder none of `ReadWritePaths=` in the unit, or did "
    "edgerun run as another user, such as root? `chown -R` gives the folder back to this one"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxOptions:
    """How alerts are kept until they are delivered."""

    max_mb: Annotated[int, Interval(ge=1, le=4096)] = 32
    """Largest size of the outbox file in MB; beyond it the oldest alerts give way and a gap record names them.
    One MB holds about 1,900 alerts of 400 bytes."""


class OutboxFile:
    """The file at ``path``; ``open`` first. Methods raise SinkError when the disk fails them; ``broken`` then tells
    that only ``open`` again can help. Those that give a bool say False where there is no room."""

    def __init__(self, path: Path, options: OutboxOptions) -> None:
        self.path = path
        self.options = options
        """Looked at whenever the file is opened."""
        self.index = Index()
        self.seqs = Seqs(path.with_name(path.name + ".ahead"), path)
        self.gaps = Gaps()
        self._home = Place(path)
        self.broken = False
        self.quarantined = 0
        """How often it was damaged, and a new one made of what was whole in it."""
        self._database: Database | None = None
        self._place: tuple[int, int] | None = None
        """Of what is open: which file it was that lay at the path."""
        self._unwritten: list[tuple[str, int, GapReason]] = []
        """Of the gap record, what the file does not know yet."""

    @property
    def is_open(self) -> bool:
        return self._database is not None

    @property
    def has_gone(self) -> bool:
        """Whether another file lies there than the one that is open, or none: SQLite goes on writing where nobody will
        find it."""
        return self.is_open and self._place != _place_of(self.path)

    def probe(self) -> None:
        """Raises SinkError where the disk takes nothing now, in what is open. Damage is no matter of the disk's."""
        try:
            self._check_access()
            self._opened().write([insertion([self.index.marks()])], durable=True)
        except (OSError, sqlite3.OperationalError) as error:
            if isinstance(error, OSError) or not is_full(error):
                raise SinkError(f"the outbox {self.path} cannot be written: {error}") from error
        except sqlite3.DatabaseError:
            pass

    def _check_access(self) -> None:
        if not all(os.access(path, os.W_OK) for path in (self.path.parent, self.path) if path.exists()):
            raise PermissionError(_NOT_OURS)

    def open(self) -> list[Entry]:
        """What still waits, in the order of acceptance. A damaged file is set aside and what is whole in it taken
        over; that takes seconds at the most, whatever the file holds."""
        self.close()
        self.index = Index()
        self.broken = False
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._check_access()
            entries = self._load_or_salvage()
            self._trust()
            self._catch_up()
            self._settle_here()
        except (OSError, sqlite3.Error, SinkError, ValueError, TypeError) as error:
            self.close()
            self.seqs.go_ahead()
            if isinstance(error, SinkError):
                raise
            held = _HELD if _LOCKED in str(error) else ""
            raise SinkError(f"the outbox {self.path} cannot be opened: {error}{held}") from error
        return entries

    def close(self) -> None:
        """Write what is still to be marked, and let go of the file."""
        if self._database is None:
            return
        try:
            if self.index.unmarked or self._unwritten:
                self.mark()
        except SinkError as error:
            log.warning("%s", error)
        finally:
            self._database.close()
            self._database = None

    def tick(self) -> None:
        """Housekeeping, about once a second."""
        if self.has_gone:
            raise self._failed("it was deleted or replaced while it was in use")
        if self.seqs.are_ahead:
            self._catch_up()
        if old := self.index.outlived():
            self.delete(old)
        if self._unwritten:
            self.mark()

    def room(self) -> int:
        """How many pages it may still grow by."""
        try:
            return self._opened().room()
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def row(self, number: int) -> Row | None:
        """None: it is gone, or not as it was written."""
        try:
            for (blob,) in self._opened().read("SELECT row FROM alerts WHERE id=?", number):
                return unpack(cast(bytes, blob))
        except ValueError:
            pass
        except sqlite3.Error as error:
            raise self._failed(error) from error
        return None

    def write(self, work: Sequence[Work], *, durable: bool) -> bool:
        """In one commit; a ``durable`` one outlives a power cut once this returns."""
        try:
            self._opened().write(work, durable=durable)
        except sqlite3.Error as error:
            if is_full(error):
                return False
            raise self._failed(error) from error
        return True

    def mark(self, work: Sequence[Work] = (), without: Collection[int] = (), gaps: Gaps | None = None) -> bool:
        """Do the work, write all marks anew, as the rows that carried them may be gone by it, and the gap record where
        it has changed: ``gaps`` from then on."""
        told = (gaps or self.gaps).work() if gaps or self._unwritten else []
        if not self.write([*work, insertion([self.index.marks(without)]), *told], durable=False):
            return False
        self.index.unmarked.clear()
        self._unwritten.clear()
        self.gaps = gaps or self.gaps
        return True

    def delete(self, numbers: Sequence[int], gaps: Gaps | None = None) -> bool:
        """Delete rows; ``gaps`` as in ``mark``."""
        work = ("DELETE FROM alerts WHERE id BETWEEN ? AND ?", ranges(numbers))
        if not self.mark([work], set(numbers), gaps):
            return False
        self.index.drop(numbers)
        return True

    def lose(self, camera: str, seq: int, reason: GapReason) -> None:
        """Name it in the gap record, which is written once it can be."""
        self.gaps.add(camera, [seq], reason, time.time())
        self._unwritten.append((camera, seq, reason))

    def _load_or_salvage(self) -> list[Entry]:
        wal = self._log_path
        try:
            go_on(self.path)
            # SQLite would throw the log away if it found an empty file beside it.
            if wal.exists() and (not self.path.is_file() or self.path.stat().st_size == 0):
                raise ValueError("the file is gone, its log is not")
            return self._load()
        except (sqlite3.Error, ValueError, TypeError) as error:
            if isinstance(error, sqlite3.OperationalError) and (_LOCKED in str(error) or is_full(error)):
                raise
            damage = error
        self.close()
        replace(self.path, rescue(filter(Path.is_file, [self.path, wal])))
        self.quarantined += 1
        log.error("the outbox %s was damaged (%s): a new one was made of what was whole in it", self.path, damage)
        return self._load()

    def _load(self) -> list[Entry]:
        """Open, read every row. Raises sqlite3.Error, ValueError or TypeError when anything is not as it was left."""
        self.close()
        log_before = traces(self._log_path)
        database = self._database = Database(self.path, self.options.max_mb * (1 << 20) // PAGE)
        self._place = _place_of(self.path)
        contents = Contents(database, log_before)
        self.index = contents.index
        self.gaps = Gaps(database.read(GAPS))
        for camera, seq, reason in self._unwritten:
            self.gaps.add(camera, [seq], reason, time.time())
        if contents.behind or contents.lost:
            self._take_over(contents.behind, contents.lost)
        return contents.waiting

    @property
    def _log_path(self) -> Path:
        """SQLite's own name for it."""
        return self.path.with_name(self.path.name + "-wal")

    def _take_over(self, behind: Sequence[Row], lost: Collection[tuple[str, int]]) -> None:
        """Write what lay behind a damaged place in the log once more, and name what was lost there."""
        log.error(
            "the log of the outbox %s is damaged or cut off: %d rows behind that place were taken over, %d are lost",
            self.path,
            len(behind),
            len(lost),
        )
        for camera, seq in lost:
            self.seqs.gave(camera, seq)
            self.lose(camera, seq, "damaged")
        if not self.write([insertion(behind)], durable=True) or not self.mark():
            self.seqs.go_ahead()  # those without a row are named when they are to be sent

    def _trust(self) -> None:
        """What it tells of the last seqs, unless it is a copy; what was made of a damaged one has leapt already."""
        last = self.index.last_seq
        mark = self._opened().mark
        is_copy = not self._home.knows(mark) and (mark > 0 or ANY not in last)
        if is_copy:
            log.warning(
                "the outbox %s is not as it was left here: it is a copy, or was made anew. As alerts may have been "
                "delivered that it does not know, `seq` leaps",
                self.path,
            )
        self.seqs.trust_file(last.values(), is_copy=is_copy)

    def _settle_here(self) -> None:
        """From now on any other place is that of a copy. Where the disk is full, at the next start."""
        if self.seqs.are_ahead:
            return
        with contextlib.suppress(OSError, sqlite3.OperationalError):
            mark = self._home.take()
            if mark != self._opened().mark:
                self._opened().mark = mark

    def _catch_up(self) -> None:
        """Keep in the file what was given out while it could not be written. Where it has no room now, later."""
        index = self.index
        ahead = self.seqs.beyond(index.last_seq)
        keepers = [Row(index.next_id + n, *one, (), b"") for n, one in enumerate(ahead.items())]
        if keepers and not self.write([insertion(keepers)], durable=True):
            self.seqs.go_ahead()
            return
        for keeper in keepers:
            index.put(keeper)
        index.found_delivered(keeper.id for keeper in keepers)
        self.seqs.are_known()

    def _opened(self) -> Database:
        if self._database is None:
            raise SinkError(f"the outbox {self.path} is not open")
        return self._database

    def _failed(self, error: sqlite3.Error | str) -> SinkError:
        self.broken = True
        self.seqs.go_ahead()
        return SinkError(f"the outbox {self.path} failed: {error}")


def _place_of(path: Path) -> tuple[int, int] | None:
    """Which file lies there; None: there is none, or it cannot be told."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
