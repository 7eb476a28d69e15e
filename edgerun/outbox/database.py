"""The SQLite file below the outbox: how it is opened, checked and written."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from edgerun.outbox.rows import Row, pack

PAGE = 1024
"""Bytes a page: a commit of one alert writes few of them, so small ones wear an SD card least."""
_CHECK_S = 1.5
_CHECKPOINT_PAGES = 1000
_FULL = "full"
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS alerts (id INTEGER PRIMARY KEY, row BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS gaps (camera TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, "
    "count INTEGER NOT NULL, reason TEXT NOT NULL, wall REAL NOT NULL)",
)

GAPS = "SELECT camera, first, last, count, reason, wall FROM gaps ORDER BY rowid"

Work: TypeAlias = tuple[str, Sequence[tuple[object, ...]]]
"""A statement and the rows to run it with."""


class Database:
    """One connection that holds the file for itself. Methods raise sqlite3.Error and leave nothing half done."""

    def __init__(self, path: Path, max_pages: int) -> None:
        self._max_pages = max_pages
        fresh = not path.exists()
        if fresh:
            path.touch(0o600)  # SQLite gives its log the mode of the file
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=1.0, cached_statements=16)
        try:
            self._set_up(max_pages)
            self._check()
        except (sqlite3.Error, ValueError):
            self.close()
            raise
        if fresh:
            sync_folder(path.parent)

    def _set_up(self, max_pages: int) -> None:
        # Exclusive locking before the first read keeps the log's index in memory: no -shm file that a full disk
        # could turn into SIGBUS, and a second daemon on the same file is refused.
        for pragma in (
            "locking_mode=EXCLUSIVE",
            f"page_size={PAGE}",
            "journal_mode=WAL",
            "synchronous=FULL",
            f"wal_autocheckpoint={_CHECKPOINT_PAGES}",
            f"max_page_count={max_pages}",
            "cache_size=-512",
            "temp_store=MEMORY",
        ):
            self._connection.execute(f"PRAGMA {pragma}").fetchall()
        self.write([(statement, [()]) for statement in _SCHEMA])

    def _check(self) -> None:
        """SQLite's own check, as far as it comes within its time. Raises ValueError with what it found."""
        until = time.monotonic() + _CHECK_S
        self._connection.set_progress_handler(lambda: time.monotonic() > until, 10_000)
        try:
            verdict = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.OperationalError as error:
            if "interrupted" not in str(error):
                raise
            verdict = "ok"
        finally:
            self._connection.set_progress_handler(None, 0)
        if verdict != "ok":
            raise ValueError(str(verdict))

    def read(self, statement: str, *values: object) -> Iterator[tuple[object, ...]]:
        yield from self._connection.execute(statement, values)

    def write(self, work: Iterable[Work], *, durable: bool = True) -> None:
        """One transaction. Durable: on the medium when this returns; else it survives a kill, not a power cut."""
        connection = self._connection
        connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement, values in work:
                connection.executemany(statement, values)
            connection.execute("COMMIT")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    @property
    def mark(self) -> int:
        """A number that the file bears, 0 as long as none was set: where it lies (see ``place``)."""
        found: int = self._connection.execute("PRAGMA user_version").fetchone()[0]
        return found

    @mark.setter
    def mark(self, number: int) -> None:
        """Into the file itself and not its log alone, which may be left behind."""
        self._connection.execute(f"PRAGMA user_version={number}")
        self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def room(self) -> int:
        """Pages that the file may still take, counting those in it that are free."""
        pages: int = self._connection.execute("PRAGMA page_count").fetchone()[0]
        free: int = self._connection.execute("PRAGMA freelist_count").fetchone()[0]
        return self._max_pages - pages + free

    def close(self) -> None:
        self._connection.close()


def is_full(error: sqlite3.Error) -> bool:
    """Whether SQLite had no room, in the file or on the disk. Python 3.10 tells it only in words."""
    return _FULL in str(error)


def sync_folder(folder: Path) -> None:
    """See to it that what was renamed or made there stays so where the power fails."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def insertion(new: Sequence[Row]) -> Work:
    return "INSERT OR REPLACE INTO alerts VALUES (?,?)", [(row.id, pack(row)) for row in new]
