"""A damaged outbox: find what is still whole in it, and set it aside for a new file."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import field
from pathlib import Path
from typing import Any, get_args

from edgerun.outbox.database import GAPS, PAGE, Database, insertion, sync_folder
from edgerun.outbox.gaps import Gaps
from edgerun.outbox.rows import ANY, MARKS_ID, Row, Settled, Trace, scan, unpack
from edgerun.outbox.seqs import above_all
from edgerun.records import dataclass
from edgerun.topics import NAME
from edgerun.types import GapReason

log = logging.getLogger(__name__)

_KEPT = 2
_LIMIT_S = 8.0
"""A full outbox of 32 MB takes a tenth of it on a quick machine, and nobody takes the delivery for stuck so soon."""
_PIECE = 1 << 20
_OVERLAP = 2 * PAGE
"""More than any row takes that lies in one place."""
_SECTOR = 4096
"""What the kernel reads at the least, and so what is given up for one bad place."""
_UNCAPPED = (1 << 32) - 2
"""What is found may be more than the file may hold; what is too much gives way to the next alert."""


@dataclass(frozen=True, slots=True)
class Salvage:
    """What a damaged file gave. ``waiting`` rows were not delivered, as far as the file tells; ``last_seq`` is the
    highest seq seen of each camera, ``lost`` the seqs that were begun and are not whole, ``gaps`` the rows of the gap
    record."""

    waiting: list[Row] = field(default_factory=list)
    last_seq: dict[str, int] = field(default_factory=dict)
    lost: dict[str, set[int]] = field(default_factory=dict)
    gaps: list[tuple[Any, ...]] = field(default_factory=list)


def replace(path: Path, salvage: Salvage) -> None:
    """Set the damaged file aside for one that holds what was saved; not before that is whole, as the disk may fail now.
    Newer alerts may have been lost without a trace, so all cameras go on above whatever seq they had. Raises OSError or
    sqlite3.Error."""
    draft = path.with_name(f"{path.name}.draft")
    wal = draft.with_name(f"{draft.name}-wal")
    for left in (draft, wal):
        left.unlink(missing_ok=True)
    last = above_all(path, salvage.last_seq.values())
    first = MARKS_ID + 1
    saved = [Row(first + n, row.camera, row.seq, (), row.body) for n, row in enumerate(salvage.waiting, 1)]
    gaps = Gaps(salvage.gaps)
    for camera, lost in salvage.lost.items():
        gaps.add(camera, lost, "damaged", time.time())
    with contextlib.closing(Database(draft, _UNCAPPED)) as database:
        database.write([insertion([Row(first, ANY, last, (), b""), *saved]), *gaps.work()])
    if wal.exists():
        raise OSError(errno.ENOSPC, "there was no room for all of the new file")
    draft.rename(_fresh(path))
    go_on(path)


def go_on(path: Path) -> None:
    """Do what is left of ``replace`` where that was cut short: a fresh file is there until all is done."""
    if _fresh(path).is_file():
        _set_aside(path, time.time())
        _fresh(path).rename(path)
        sync_folder(path.parent)


def _fresh(path: Path) -> Path:
    return path.with_name(f"{path.name}.fresh")


def _set_aside(path: Path, wall: float) -> None:
    """Rename the file and its log to ``*.corrupt-<time>``, delete all but the two newest such."""
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(wall)) + f".{int(wall * 1e6) % 1_000_000:06d}"
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    for suffix in ("", "-wal"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    for suffix in ("-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    older = sorted(found for found in path.parent.glob(f"{path.name}.corrupt-*") if not found.name.endswith("-wal"))
    for name in older[:-_KEPT]:
        for file in (name, name.with_name(name.name + "-wal")):
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                file.unlink()


def rescue(files: Iterable[Path]) -> Salvage:
    """All rows found anywhere in the files, less those known as delivered. Takes a few seconds at the most."""
    files = list(files)
    until = time.monotonic() + _LIMIT_S
    settled = Settled()
    whole: dict[int, Row] = {}
    broken: dict[int, Trace] = {}
    for trace in _traces(files, until):
        if trace.row is None:
            broken[trace.id] = trace
            continue
        settled.add(trace.row)
        if trace.id != MARKS_ID:
            whole[trace.id] = trace.row
    if time.monotonic() > until:
        log.error("there was no time to look through all of the damaged outbox: some of what waited there is lost")
    long = broken.keys() - whole.keys() - {MARKS_ID}
    whole.update(_through_sqlite(files, long, until))
    done = settled.among(whole.keys() | broken.keys())
    found = Salvage([whole[number] for number in sorted(whole.keys() - done) if whole[number].body])
    begun = [(row.camera, row.seq) for row in whole.values()] + [(broken[n].camera, broken[n].seq) for n in long]
    for camera, seq in begun:
        found.last_seq[camera] = max(seq, found.last_seq.get(camera, 0))
    for number in long - done - whole.keys():
        found.lost.setdefault(broken[number].camera, set()).add(broken[number].seq)
    found.gaps.extend(_gaps_through_sqlite(files))
    return found


def traces(log_file: Path) -> list[Trace]:
    """All rows in SQLite's log, old versions included; none where there is no log."""
    return list(_traces(filter(Path.is_file, [log_file]), time.monotonic() + _LIMIT_S))


def _traces(files: Iterable[Path], until: float) -> Iterator[Trace]:
    for file in files:
        for piece in _pieces(file, until):
            for trace in scan(piece):
                if time.monotonic() > until:
                    return
                yield trace


def _pieces(file: Path, until: float) -> Iterator[bytes]:
    """The file's content, each piece with the end of the one before it. What a worn card does not give any more is
    zeros; it is read rather than mapped, as in a mapped file a bad sector ends the process."""
    with file.open("rb", buffering=0) as handle:
        size = os.fstat(handle.fileno()).st_size
        bad, piece = 0, b""
        for start in range(0, size, _PIECE):
            fresh, missing = _read(handle.fileno(), start, min(start + _PIECE, size), until)
            bad += missing
            piece = piece[-_OVERLAP:] + fresh
            yield piece
    if bad:
        log.error("%d bytes of the damaged outbox cannot be read from %s", bad, file)


def _read(handle: int, start: int, end: int, until: float) -> tuple[bytes, int]:
    """Bytes of a file, and how many of them are zeros as they cannot be read."""
    parts, bad = [], 0
    while start < end and time.monotonic() <= until:
        try:
            part = os.pread(handle, end - start, start)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            part = bytes(min(_SECTOR - start % _SECTOR, end - start))
            bad += len(part)
        if not part:
            break
        parts.append(part)
        start += len(part)
    return b"".join(parts), bad


def _through_sqlite(files: list[Path], ids: Iterable[int], until: float) -> dict[int, Row]:
    """Rows longer than a page, which only SQLite can put together, as far as it still finds them. It may not write: it
    would clear the log away."""
    found: dict[int, Row] = {}
    if not files:
        return found
    with contextlib.suppress(sqlite3.Error), contextlib.closing(_readable(files[0])) as damaged:
        for number in sorted(ids):
            if time.monotonic() > until:
                break
            with contextlib.suppress(sqlite3.Error, ValueError, TypeError):
                for (blob,) in damaged.execute("SELECT row FROM alerts WHERE id=?", (number,)):
                    found[number] = unpack(blob)
    return found


def _gaps_through_sqlite(files: list[Path]) -> list[tuple[Any, ...]]:
    """The gap record, where SQLite still finds it and it tells what it should."""
    kinds = str, int, int, int, str, float
    with contextlib.suppress(sqlite3.Error, IndexError), contextlib.closing(_readable(files[0])) as damaged:
        return [
            row
            for row in damaged.execute(GAPS)
            if all(map(isinstance, row, kinds)) and re.fullmatch(NAME, row[0]) and row[4] in get_args(GapReason)
        ]
    return []


def _readable(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)
