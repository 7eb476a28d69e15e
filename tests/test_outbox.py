"""The durable queue: what it accepted is there again, whatever was done to the process, the file or the disk."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import random
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerun.errors import SinkError
from edgerun.outbox import Entry, Outbox, OutboxOptions
from edgerun.outbox.database import Database, Work
from edgerun.outbox.gaps import Gaps
from edgerun.outbox.place import Place
from edgerun.outbox.rows import Row, pack, ranges, scan, unpack
from edgerun.runtime.delivery.episodes import Episodes
from edgerun.runtime.delivery.ledger import Ledger
from edgerun.types import Event, Stamp, TrackedObject

NAMES = st.from_regex(r"[a-z0-9_-]{1,32}", fullmatch=True)
IDS = st.integers(0, 10**15 - 1)
ROWS = st.builds(
    Row, IDS, NAMES, IDS, st.lists(st.integers(0, 10**6), max_size=20).map(ranges), st.binary(max_size=600)
)


def body(camera: str, seq: int, size: int = 400) -> bytes:
    return b'{"camera":"%s","seq":%d,"x":"%s"' % (camera.encode(), seq, b"x" * size)


def opened(path: Path, max_mb: int = 32) -> tuple[Outbox, list[Entry]]:
    outbox = Outbox(path, OutboxOptions(max_mb=max_mb))
    return outbox, outbox.open()


def accept(outbox: Outbox, camera: str, size: int = 400) -> Entry:
    seq = outbox.seqs.next(camera)
    entry = Entry(camera, seq, body(camera, seq, size))
    outbox.add([entry])
    return entry


def damage(path: Path) -> None:
    """The beginning of the file, by which SQLite knows one of its own."""
    path.write_bytes(b"?" * 20 + path.read_bytes()[20:])


def damaged_outbox(path: Path) -> tuple[Outbox, list[Entry]]:
    """One with thirty alerts that wait, closed and damaged."""
    outbox, _ = opened(path)
    entries = [accept(outbox, "porch") for _ in range(30)]
    outbox.close()
    damage(path)
    return outbox, entries


def names(entries: list[Entry]) -> list[tuple[str, int]]:
    return [(entry.camera, entry.seq) for entry in entries]


@given(ROWS)
def test_a_row_comes_back_as_it_was(row: Row) -> None:
    assert unpack(pack(row)) == row


@given(ROWS, st.data())
def test_a_changed_row_is_noticed(row: Row, data: st.DataObject) -> None:
    """Any one bit."""
    blob = bytearray(pack(row))
    at = data.draw(st.integers(0, len(blob) * 8 - 1))
    blob[at // 8] ^= 1 << at % 8
    with pytest.raises(ValueError, match="checksum"):
        unpack(bytes(blob))


@settings(max_examples=30)
@given(st.lists(ROWS, max_size=8), st.binary(max_size=50))
def test_rows_are_found_in_any_heap(rows: list[Row], dirt: bytes) -> None:
    """However little is known of where they lie."""
    dirt = dirt.replace(b"\x1e", b"")
    rows = [row for row in rows if b"\x1e" not in row.body]
    heap = dirt + dirt.join(pack(row) for row in rows) + dirt
    assert [trace.row for trace in scan(heap)] == rows


def test_what_was_not_delivered_waits_again(tmp_path: Path) -> None:
    outbox, waiting = opened(tmp_path / "outbox.db")
    assert waiting == []
    first = [accept(outbox, camera) for camera in ("porch", "yard", "porch")]
    outbox.settle(first[0])
    outbox.close()
    outbox, waiting = opened(tmp_path / "outbox.db")
    assert names(waiting) == [("yard", 1), ("porch", 2)]
    assert [outbox.body(entry) for entry in waiting] == [body("yard", 1), body("porch", 2)]
    assert all(entry.offered for entry in waiting)
    assert accept(outbox, "porch").seq == 3


def test_seq_goes_on_when_all_was_delivered(tmp_path: Path) -> None:
    """However long ago a camera's last alert was, and however many of another's were deleted since."""
    outbox, _ = opened(tmp_path / "outbox.db")
    outbox.settle(accept(outbox, "quiet"))
    for _ in range(1000):
        outbox.settle(accept(outbox, "busy"))
        outbox.tick()
    outbox.close()
    outbox, waiting = opened(tmp_path / "outbox.db")
    assert waiting == []
    assert (outbox.seqs.next("quiet"), outbox.seqs.next("busy")) == (2, 1001)
    assert len(outbox.history("", 0)) < 500


def test_delivered_alerts_can_be_asked_for_again(tmp_path: Path) -> None:
    outbox, _ = opened(tmp_path / "outbox.db")
    for _ in range(10):
        outbox.settle(accept(outbox, "porch"))
        outbox.settle(accept(outbox, "yard"))
    assert names(outbox.history("porch", 8)) == [("porch", 8), ("porch", 9), ("porch", 10)]
    assert len(outbox.history("", 8)) == 6
    outbox.close()
    outbox, _ = opened(tmp_path / "outbox.db")
    assert names(outbox.history("porch", 8)) == [("porch", 8), ("porch", 9), ("porch", 10)]


def test_what_was_acknowledged_before_a_kill_does_not_wait_again(tmp_path: Path) -> None:
    """The newest hundreds, though no commit came after; and only while it is the same file."""
    folder = tmp_path / "killed"
    outbox, _ = opened(folder / "outbox.db")
    entries = [Entry("porch", outbox.seqs.next("porch"), body("porch", 0)) for _ in range(600)]
    outbox.add(entries)
    for entry in entries[:-10]:
        outbox.note(entry)
    shutil.copytree(folder, tmp_path / "copy")
    outbox.close()
    outbox, waiting = opened(tmp_path / "copy" / "outbox.db")
    assert [entry.seq for entry in waiting] == [*range(1, 590 - 512 + 1), *range(591, 601)]
    outbox.close()
    (tmp_path / "copy" / "outbox.db").unlink()
    outbox, _ = opened(tmp_path / "copy" / "outbox.db")
    entry = accept(outbox, "porch")
    outbox.close()
    assert names(opened(tmp_path / "copy" / "outbox.db")[1]) == names([entry])


def test_newest_deliveries_in_a_bad_sector_are_no_reason_not_to_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    outbox, _ = opened(tmp_path / "outbox.db")
    entry = accept(outbox, "porch")
    outbox.close()

    def worn(handle: int, length: int, at: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pread", worn)
    outbox, waiting = opened(tmp_path / "outbox.db")
    assert names(waiting) == names([entry])
    assert "outbox.db.ring cannot be used" in caplog.text
    outbox.note(waiting[0])
    outbox.settle(waiting[0])


def test_nobody_else_may_read_the_alerts(tmp_path: Path) -> None:
    outbox, _ = opened(tmp_path / "outbox.db")
    outbox.note(accept(outbox, "porch"))
    files = list(tmp_path.iterdir())
    assert {"outbox.db", "outbox.db-wal"} <= {file.name for file in files}
    assert [file.name for file in files if file.stat().st_mode & 0o077] == []


BURST = """
import sys
from pathlib import Path
from edgerun.outbox import Entry, Outbox, OutboxOptions
outbox = Outbox(Path(sys.argv[1]), OutboxOptions())
for entry in outbox.open():
    outbox.settle(entry)
while True:
    entry = Entry("porch", outbox.seqs.next("porch"), b"x" * 400)
    outbox.add([entry])
    print(entry.seq, flush=True)
    if entry.seq % 3:
        outbox.settle(entry)
        outbox.tick()
"""


def test_a_kill_loses_nothing_that_was_accepted(tmp_path: Path) -> None:
    """SIGKILL in a burst, five times: every seq that was printed after its commit is known again."""
    path = tmp_path / "outbox.db"
    chance = random.Random(5)
    last = 0
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", BURST, str(path)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            accepted = [int(process.stdout.readline()) for _ in range(chance.randrange(20, 200))]
            process.send_signal(signal.SIGKILL)
            accepted += [int(line) for line in process.stdout]
        assert accepted == list(range(last + 1, accepted[-1] + 1))
        last = accepted[-1]
        copy = shutil.copytree(tmp_path, tmp_path.parent / f"copy-{last}")
        outbox, waiting = opened(copy / "outbox.db")
        assert {seq for seq in accepted if seq % 3 == 0} <= {entry.seq for entry in waiting}
        assert len([entry for entry in waiting if entry.seq % 3]) <= 2
        last = outbox.seqs.last["porch"]


def named(outbox: Outbox) -> set[tuple[str, int]]:
    """All that the gap record names."""
    return {
        (camera, seq)
        for camera in outbox.gaps.cameras()
        for gap in outbox.gaps.of(camera)
        for seq in range(gap.first, gap.last + 1)
    }


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[str, int]], set[tuple[str, int]]]:
    """An outbox as a kill leaves it: its folder, what it accepted in order, and what of that was delivered."""
    chance = random.Random(11)
    folder = tmp_path_factory.mktemp("crashed")
    outbox, _ = opened(folder / "outbox.db")
    accepted: list[tuple[str, int]] = []
    waiting: list[Entry] = []
    delivered: set[tuple[str, int]] = set()
    for n in range(900):
        entry = accept(outbox, chance.choice(["porch", "yard"]), chance.choice([300, 400, 500, 2500]))
        accepted.append((entry.camera, entry.seq))
        waiting.append(entry)
        while len(waiting) > 60:
            outbox.settle(waiting[0])
            delivered.add((waiting[0].camera, waiting.pop(0).seq))
        if n % 20 == 0:
            outbox.tick()
    copy = tmp_path_factory.mktemp("copy") / "outbox"
    shutil.copytree(folder, copy)
    outbox.close()
    return copy, accepted, delivered


@pytest.mark.parametrize("seed", range(16))
def test_a_torn_log_keeps_what_lies_before_the_tear(
    crashed: tuple[Path, list[tuple[str, int]], set[tuple[str, int]]], tmp_path: Path, seed: int
) -> None:
    folder, accepted, delivered = crashed
    chance = random.Random(seed)
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    log = tmp_path / "outbox.db-wal"
    size = log.stat().st_size
    at = chance.randrange(size)
    if seed % 2:
        os.truncate(log, at)
    else:
        with log.open("r+b") as file:
            file.seek(at)
            file.write(chance.randbytes(size - at))
    outbox, waiting = opened(tmp_path / "outbox.db")
    assert outbox.quarantined == 0
    found = set(names(waiting))
    kept = accepted[: max((accepted.index(name) for name in found), default=-1) + 1]
    assert {name for name in kept if name not in delivered} <= found
    assert all(outbox.body(entry) for entry in waiting)


@pytest.mark.parametrize("seed", range(16))
def test_a_damaged_place_in_the_log_is_not_its_end(
    crashed: tuple[Path, list[tuple[str, int]], set[tuple[str, int]]],
    tmp_path: Path,
    seed: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SQLite takes it for that, and writes there: what was accepted after it would be gone, and its seqs given again.
    Only rows longer than a page cannot be put together any more; they are named."""
    folder, accepted, delivered = crashed
    chance = random.Random(seed)
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(Place, "knows", lambda *_: True)  # as if all had been left here
    log = tmp_path / "outbox.db-wal"
    with log.open("r+b") as file:
        file.seek(chance.randrange(log.stat().st_size // 2) if seed else 0)
        file.write(chance.randbytes(1))
    outbox, waiting = opened(tmp_path / "outbox.db")
    assert outbox.quarantined == 0
    assert names(waiting) == [name for name in accepted if name in set(names(waiting))]
    assert all(outbox.body(entry) for entry in waiting)
    lost = named(outbox)
    assert lost <= set(accepted) - set(names(waiting))
    assert set(accepted) - delivered <= set(names(waiting)) | lost
    assert len(lost) < len(accepted) / 10
    highest = dict(sorted(accepted))
    assert outbox.seqs.next("porch") == highest["porch"] + 1
    assert outbox.seqs.next("yard") == highest["yard"] + 1
    outbox.tick()
    outbox.close()
    outbox, again = opened(tmp_path / "outbox.db")
    assert names(again) == names(waiting)
    assert named(outbox) == lost


def _flip(file: Path, chance: random.Random) -> None:
    image = bytearray(file.read_bytes())
    for _ in range(20):
        image[chance.randrange(len(image))] ^= 0xFF
    file.write_bytes(image)


def _random_page(file: Path, chance: random.Random) -> None:
    image = file.read_bytes()
    at = chance.randrange(len(image) // 1024) * 1024
    file.write_bytes(image[:at] + chance.randbytes(1024) + image[at + 1024 :])


def _random_head(file: Path, chance: random.Random) -> None:
    file.write_bytes(chance.randbytes(100) + file.read_bytes()[100:])


def _short(file: Path, chance: random.Random) -> None:
    os.truncate(file, chance.randrange(file.stat().st_size))


def _text(file: Path, chance: random.Random) -> None:
    file.write_text("this is no database\n" * chance.randrange(100))


def _folder(file: Path, chance: random.Random) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("damage", [_flip, _random_page, _random_head, _short, _text, _folder])
def test_a_damaged_file_never_stops_the_start(
    crashed: tuple[Path, list[tuple[str, int]], set[tuple[str, int]]],
    tmp_path: Path,
    damage: Callable[[Path, random.Random], None],
    seed: int,
) -> None:
    """It is set aside, what is whole is taken over, what is known to be missing is in the gap record, and new alerts
    are accepted with seqs above all that were, also after the next start."""
    folder, accepted, _ = crashed
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "outbox.db"
    chance = random.Random(seed)
    if seed == 0:  # with an empty log, so that all hangs on the file
        opened(path)[0].close()
    damage(path, chance)
    outbox, waiting = opened(path)
    if outbox.quarantined:
        assert list(tmp_path.glob("outbox.db.corrupt-*"))
    for entry in waiting:
        assert (entry.camera, entry.seq) in accepted
        assert outbox.body(entry)
    assert named(outbox) <= set(accepted) - set(names(waiting))
    highest = dict(sorted(accepted))
    first, second = accept(outbox, "porch"), accept(outbox, "porch")
    assert second.seq == first.seq + 1 > highest["porch"] + 1
    outbox.close()
    outbox, waiting = opened(path)
    assert {("porch", first.seq), ("porch", second.seq)} <= set(names(waiting))
    assert outbox.seqs.next("porch") == second.seq + 1
    assert outbox.seqs.next("yard") > highest["yard"]


@pytest.mark.parametrize("damaged", ["head", "row"])
def test_what_a_damaged_file_still_tells_is_taken_over(tmp_path: Path, damaged: str) -> None:
    """What waited waits again in its order, what was delivered does not, what cannot be found is named, and seq goes on
    above all that were, however far they are ahead of the clock."""
    path = tmp_path / "outbox.db"
    outbox, _ = opened(path)
    entries = [accept(outbox, "porch") for _ in range(10)]
    entries.append(accept(outbox, "yard", 2500))  # longer than a page: only SQLite can put it together
    outbox.give_up(Entry("gate", 7))
    far = Entry("porch", 10**12, body("porch", 10**12))
    outbox.add([far])
    for entry in (*entries[:5], far):
        outbox.settle(entry)
    outbox.close()
    image = bytearray(path.read_bytes())
    at = 0 if damaged == "head" else image.index(body("porch", 8))
    image[at : at + 20] = b"?" * 20
    path.write_bytes(image)
    missing = ("yard", 1) if damaged == "head" else ("porch", 8)
    outbox, waiting = opened(path)
    assert outbox.quarantined == 1
    assert names(waiting) == [name for name in names(entries[5:]) if name != missing]
    assert all(outbox.body(entry) for entry in waiting)
    before = [] if damaged == "head" else [("gate", 7, 7, 1, "evicted")]  # which only SQLite can find
    assert told(outbox) == [*before, (*missing, missing[1], 1, "damaged")]
    assert accept(outbox, "porch").seq > 10**12


@pytest.mark.parametrize("empty", [False, True])
def test_a_log_whose_file_is_gone_or_empty_is_not_thrown_away(tmp_path: Path, empty: bool) -> None:
    """SQLite would do that; what was accepted last stands there alone."""
    outbox, _ = opened(tmp_path / "killed" / "outbox.db")
    known = [accept(outbox, "porch") for _ in range(3)]
    shutil.copytree(tmp_path / "killed", tmp_path / "after")
    path = tmp_path / "after" / "outbox.db"
    path.unlink()
    if empty:
        path.touch()
    outbox, waiting = opened(path)
    assert outbox.quarantined == 1
    assert names(waiting) == names(known)
    assert accept(outbox, "porch").seq > known[-1].seq


def test_a_want_of_descriptors_is_no_damage(tmp_path: Path) -> None:
    outbox, _ = opened(tmp_path / "outbox.db")
    entry = accept(outbox, "porch")
    outbox.close()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    outbox = Outbox(tmp_path / "outbox.db", OutboxOptions())
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        with pytest.raises(SinkError):
            outbox.open()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert names(outbox.open()) == names([entry])
    assert outbox.quarantined == 0
    assert outbox.seqs.next("porch") == 2


def test_a_damaged_file_that_takes_too_long_to_look_through_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "outbox.db"
    outbox, _ = opened(path)
    accept(outbox, "porch")
    outbox.close()
    for limit_s, times in ((8.0, 0), (-1.0, 1)):
        damage(path)
        monkeypatch.setattr("edgerun.outbox.salvage._LIMIT_S", limit_s)
        outbox, waiting = opened(path)
        outbox.close()
        assert len(waiting) == 1 - times
        assert caplog.text.count("some of what waited there is lost") == times


def test_what_a_worn_card_does_not_give_any_more_costs_no_other_alert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One bad sector amid a damaged file of several pieces: all rows before and behind it are taken over once."""
    path = tmp_path / "outbox.db"
    outbox, _ = opened(path)
    outbox.add([Entry("porch", seq, body("porch", seq)) for seq in range(1, 6001)])
    outbox.close()
    image = path.read_bytes()
    assert len(image) > 2 << 20
    damage(path)
    bad = range((1 << 20) - 4096, 1 << 20)
    pread = os.pread

    def worn(handle: int, length: int, at: int) -> bytes:
        if at in bad:
            raise OSError(errno.EIO, "Input/output error")
        return pread(handle, min(length, bad.start - at) if at < bad.start else length, at)

    monkeypatch.setattr(os, "pread", worn)
    outbox, waiting = opened(path)
    assert outbox.quarantined == 1
    assert "4096 bytes of the damaged outbox cannot be read" in caplog.text
    seqs = [entry.seq for entry in waiting]
    lost = [seq for seq in range(1, 6001) if image.index(b'"seq":%d,' % seq) in bad]
    assert 6 <= len(lost) <= 12
    assert set(range(1, 6001)) - set(seqs) <= {lost[0] - 1, *lost}  # one may begin before it and end in it
    assert not set(seqs) & set(lost)
    assert seqs == sorted(set(seqs))
    assert accept(outbox, "porch").seq > 6000


@pytest.mark.parametrize("sound", [0, 1])
def test_a_card_that_spoils_the_new_file_too_is_told_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sound: int
) -> None:
    """While it is made, or when it is read after that."""
    path = tmp_path / "outbox.db"
    outbox, entries = damaged_outbox(path)
    calls = itertools.count()
    check = Database._check

    def spoilt(self: Database) -> None:
        if next(calls) >= sound:
            raise ValueError("a page is not as it was written")
        check(self)

    with monkeypatch.context() as patch:
        patch.setattr(Database, "_check", spoilt)
        with pytest.raises(SinkError, match="cannot be opened: a page is not as it was written"):
            outbox.open()
    assert names(outbox.open()) == names(entries)


@pytest.mark.parametrize("fails", [None, 1, 2, 3])
def test_what_a_damaged_file_holds_is_not_lost_where_the_disk_fails_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: int | None
) -> None:
    """Nothing can be written, or just one of the files' names cannot be changed: the next try finds all of it once."""
    path = tmp_path / "outbox.db"
    _, entries = damaged_outbox(path)
    outbox = Outbox(path, OutboxOptions())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    calls = itertools.count(1)
    rename = Path.rename

    def may_fail(old: Path, new: Path) -> Path:
        if next(calls) == fails:
            raise OSError("the disk fails")
        return rename(old, new)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", may_fail)
        if fails is None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        try:
            with pytest.raises(SinkError, match="cannot be opened"):
                outbox.open()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    outbox = Outbox(path, OutboxOptions())
    assert names(outbox.open()) == names(entries)
    assert outbox.seqs.next("porch") > 30
    outbox.close()
    assert names(opened(path)[1]) == names(entries)


@pytest.mark.parametrize("accepts", [True, False])
def test_seq_rises_while_the_file_cannot_be_read(tmp_path: Path, accepts: bool) -> None:
    """Above all that the file holds; also once it can be read again, by whoever opens it next, and though none of the
    alerts that had those numbers came to be stored. A camera that had none goes on as if nothing had been."""
    path = tmp_path / "store" / "outbox.db"
    outbox, _ = opened(path)
    known = [accept(outbox, camera) for camera in ("porch", "porch", "yard")]
    outbox.close()
    path.parent.rename(tmp_path / "elsewhere")
    path.parent.write_text("a file where the folder should be")
    outbox = Outbox(path, OutboxOptions())
    with pytest.raises(SinkError):
        outbox.open()
    seqs = [2, outbox.seqs.next("porch"), outbox.seqs.next("porch")]
    path.parent.unlink()
    (tmp_path / "elsewhere").rename(path.parent)
    assert names(outbox.open()) == names(known)
    if accepts:
        outbox.add([Entry("porch", seqs[-1], body("porch", seqs[-1]))])
    outbox.close()
    outbox, _ = opened(path)
    for _ in range(1000):
        outbox.settle(accept(outbox, "busy"))
        outbox.tick()
    outbox.close()
    outbox, waiting = opened(path)
    assert names(waiting) == names(known) + ([("porch", seqs[-1])] if accepts else [])
    assert all(outbox.body(entry) for entry in waiting)
    seqs += [accept(outbox, "porch").seq, accept(outbox, "porch").seq]
    assert seqs == sorted(set(seqs))
    assert seqs[-1] - seqs[1] == 3
    assert outbox.seqs.next("yard") == 2


@pytest.mark.parametrize("readable", [True, False])
def test_seq_rises_where_the_clock_is_not_set_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, readable: bool
) -> None:
    """A power cut damages the card, and the device has no battery to know the time by when it is back: it is a minute
    past the beginning of 1970."""
    path = tmp_path / "outbox.db"
    outbox, _ = opened(path)
    known = [accept(outbox, "porch").seq for _ in range(70)]
    outbox.close()
    path.write_bytes(b"?" * path.stat().st_size)
    monkeypatch.setattr("time.time", lambda: 60.0)
    monkeypatch.setattr(os, "access", lambda *_: readable)
    written = path.stat().st_mtime
    outbox = Outbox(path, OutboxOptions())
    if readable:
        outbox.open()
    else:
        with pytest.raises(SinkError):
            outbox.open()
    assert max(*known, int(written)) < outbox.seqs.next("porch")


def test_only_two_damaged_files_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    for _ in range(4):
        path.write_bytes(b"no database at all" * 100)
        outbox, _ = opened(path)
        outbox.close()
    assert len([file for file in tmp_path.glob("*.corrupt-*") if not file.name.endswith("-wal")]) == 2


def test_a_full_outbox_gives_up_the_oldest_and_names_them(tmp_path: Path) -> None:
    """The gap record and what still waits are together exactly what was accepted, also after a restart."""
    outbox, _ = opened(tmp_path / "outbox.db", max_mb=1)
    entries = [accept(outbox, ("porch", "yard")[n % 3 == 0]) for n in range(3000)]
    outbox.close()
    outbox, waiting = opened(tmp_path / "outbox.db", max_mb=1)
    left = set(names(waiting))
    gone = {
        (camera, seq)
        for camera in outbox.gaps.cameras()
        for gap in outbox.gaps.of(camera)
        for seq in range(gap.first, gap.last + 1)
    }
    assert left | gone == set(names(entries))
    assert not left & gone
    assert outbox.gaps.evicted == len(gone) > 0
    assert names(waiting) == names(entries)[-len(waiting) :]
    assert (tmp_path / "outbox.db").stat().st_size <= 1 << 20


def test_what_gives_way_all_the_time_is_said_once_in_a_while(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A broker may be away for days, and each alert that comes then costs an old one."""
    outbox, _ = opened(tmp_path / "outbox.db", max_mb=1)
    for _ in range(10):
        outbox.add([Entry("porch", outbox.seqs.next("porch"), body("porch", 0)) for _ in range(700)])
        outbox.tick()
    said = [record.getMessage() for record in caplog.records if "gave way" in record.getMessage()]
    assert len(said) == 1
    assert 0 < int(re.findall(r"\d+", said[0])[0]) < outbox.gaps.evicted


def test_a_second_daemon_on_the_same_file_is_refused(tmp_path: Path) -> None:
    outbox, _ = opened(tmp_path / "outbox.db")
    with pytest.raises(SinkError, match="locked"):
        opened(tmp_path / "outbox.db")
    accept(outbox, "porch")
    assert outbox.quarantined == 0


FULL_DISK = """
import json, os, sys
from pathlib import Path
from edgerun.errors import SinkError
from edgerun.outbox import Entry, Outbox, OutboxOptions
folder = Path(sys.argv[1])
outbox = Outbox(folder / "outbox.db", OutboxOptions())
outbox.open()
def accept():
    entry = Entry("porch", outbox.seqs.next("porch"), b"x" * 400)
    try:
        outbox.add([entry])
    except SinkError:
        outbox.seqs.last["porch"] -= 1
        return 0
    return 1
assert sum(accept() for _ in range(50)) == 50
filler = os.open(folder / "filler", os.O_WRONLY | os.O_CREAT)
try:
    while True:
        os.write(filler, bytes(4096))
except OSError:
    pass
full = 0
while accept():
    full += 1
refused = [accept() for _ in range(20)]
os.close(filler)
os.unlink(folder / "filler")
assert sum(accept() for _ in range(50)) == 50
outbox.close()
outbox = Outbox(folder / "outbox.db", OutboxOptions())
print(json.dumps([len(outbox.open()), full, sum(refused), outbox.quarantined]))
"""


def test_a_full_disk_is_survived(tmp_path: Path) -> None:
    """The ballast gives room for hundreds of alerts more; then they are refused in words, and when there is room again
    all goes on. What was accepted is there after all that."""
    script = f"mount -t tmpfs -o size=12m tmpfs {tmp_path} && exec {sys.executable} -c '{FULL_DISK}' {tmp_path}"
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False)
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"a disk of our own cannot be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    waiting, while_full, refused, quarantined = json.loads(done.stdout)
    assert while_full > 300
    assert refused < 20
    assert waiting == 50 + while_full + refused + 50
    assert quarantined == 0


def test_alerts_wear_the_card_little(tmp_path: Path) -> None:
    """At most 4 KB written per alert of 400 bytes, delivery and deletion included."""
    outbox, _ = opened(tmp_path / "outbox.db")
    accept(outbox, "porch")

    def written() -> int:
        lines = Path("/proc/self/io").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("wchar"))

    before = written()
    for _ in range(2000):
        seq = outbox.seqs.next("porch")
        entry = Entry("porch", seq, b"x" * 400)
        outbox.add([entry])
        outbox.settle(entry)
        outbox.tick()
    assert (written() - before) / 2000 <= 4096


def test_what_was_accepted_or_given_out_is_on_the_card_before_anybody_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut costs no accepted alert and brings no seq again: SQLite's word for that is FULL. Marks of delivery
    may be lost by one, which spares the card."""
    connect = sqlite3.connect
    said: list[str] = []

    def listening(*args: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **options)
        connection.set_trace_callback(said.append)
        return connection

    def kinds() -> list[str]:
        """How the commits since the last call were made."""
        found, kind = [], ""
        for statement in said:
            kind = statement.partition("synchronous=")[2] or kind
            found += [kind] if statement == "COMMIT" else []
        said.clear()
        return found

    monkeypatch.setattr(sqlite3, "connect", listening)
    outbox, _ = opened(tmp_path / "outbox.db")
    assert "PRAGMA journal_mode=WAL" in said
    kinds()
    outbox.settle(accept(outbox, "porch"))
    assert kinds() == ["FULL"]
    outbox.seqs.next("porch")
    outbox.seqs.go_ahead()  # it was delivered from memory alone
    outbox.tick()
    assert kinds() == ["FULL"]
    outbox.close()
    assert kinds() == ["NORMAL"]


def no_stat(path: Path) -> bool:
    raise OSError(errno.EIO, "I/O error", str(path))


@pytest.mark.parametrize(("fails", "words"), [("access", "read-only"), ("stat", "I/O"), ("", "I/O")])
def test_what_waits_on_a_disk_that_takes_nothing_can_still_be_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str, words: str
) -> None:
    """Else it would hold up all alerts that come after it, for as long as the disk stays so."""
    outbox, _ = opened(tmp_path / "outbox.db")
    first, second = accept(outbox, "porch"), accept(outbox, "porch")
    with monkeypatch.context() as patch:
        refuse(patch, "disk I/O error", lambda statement: True)
        if fails == "access":
            patch.setattr(os, "access", lambda *_: False)
        elif fails == "stat":
            patch.setattr(Path, "exists", no_stat)
        with pytest.raises(SinkError):
            accept(outbox, "porch")
        for _ in range(2):
            with pytest.raises(SinkError, match=words):
                outbox.open()
            assert outbox.body(first) == body("porch", 1)
        outbox.settle(first)
    assert names(outbox.open()) == names([second])


@pytest.mark.parametrize("damaged", [False, True])
def test_no_number_comes_again_where_the_disk_fails_over_and_over(tmp_path: Path, damaged: bool) -> None:
    """A run that goes on from the clock, at more than an alert a second, is ahead of it when the next one starts."""
    given: list[int] = []
    for run in range(3):
        path = tmp_path / str(run) / "outbox.db"
        outbox, _ = opened(path)
        given += [accept(outbox, "porch").seq for _ in range(10)]
        outbox.seqs.go_ahead()
        given += [outbox.seqs.next("porch") for _ in range(10)]  # delivered from memory alone
        after = shutil.copytree(path.parent, tmp_path / str(run + 1)) / "outbox.db"  # as a kill leaves it
        if damaged:
            after.write_bytes(b"?" * 100 + after.read_bytes()[100:])
    assert given == sorted(set(given))


@pytest.mark.parametrize("how", ["as it was", "over what is there", "what differs", "without its log", "said"])
def test_a_copy_that_is_brought_back_gives_no_number_again(tmp_path: Path, how: str) -> None:
    """It does not know of what was delivered since; but once it is at home it is trusted, as any other is."""
    path = tmp_path / "state" / "outbox.db"
    outbox, _ = opened(path)
    given = [accept(outbox, "porch").seq for _ in range(3)]
    copy = shutil.copytree(path.parent, tmp_path / "copy")
    given += [accept(outbox, "porch").seq for _ in range(3)]
    outbox.close()
    if how == "without its log":
        (copy / "outbox.db-wal").unlink()
    if how == "said":
        path.with_name("outbox.db.place").unlink()
    elif how == "what differs":
        (copy / "outbox.db").replace(path)
    else:
        if how != "over what is there":
            shutil.rmtree(path.parent)
        shutil.copytree(copy, path.parent, dirs_exist_ok=True)
    for _ in range(2):
        outbox, _ = opened(path)
        given += [accept(outbox, "porch").seq for _ in range(3)]
        outbox.close()
    assert given == sorted(set(given))
    assert given[-6:] == list(range(given[-6], given[-6] + 6))


def test_an_outbox_from_before_there_were_marks_goes_on_as_it_was(tmp_path: Path) -> None:
    """It bears none, and nothing tells of its place; an older version leaves the mark as it is."""
    path = tmp_path / "outbox.db"
    outbox, _ = opened(path)
    given = [accept(outbox, "porch").seq for _ in range(3)]
    outbox.close()
    with contextlib.closing(sqlite3.connect(path)) as older:
        older.execute("PRAGMA user_version=0")
    path.with_name("outbox.db.place").unlink()
    for _ in range(2):
        outbox, _ = opened(path)
        given.append(accept(outbox, "porch").seq)
        outbox.close()
    assert given == [1, 2, 3, 4, 5]


def test_a_batch_larger_than_the_room_left_evicts(tmp_path: Path) -> None:
    """It is the cap that stands against it, though the file is not as large as it may be; the disk is not full."""
    outbox, _ = opened(tmp_path / "outbox.db", max_mb=1)
    for _ in range(4):
        entries = [Entry("porch", outbox.seqs.next("porch"), body("porch", 0)) for _ in range(700)]
        outbox.add(entries)
    assert outbox.gaps.evicted > 0
    (gap,) = outbox.gaps.of("porch")
    outbox.close()
    _, waiting = opened(tmp_path / "outbox.db", max_mb=1)
    assert [entry.seq for entry in waiting] == list(range(gap.last + 1, 2801))


def test_many_gaps_are_put_together_without_mixing_their_reasons() -> None:
    """However evictions and damage take turns, as many are told of each as there were, and no more ranges than some
    dozens; what was told as evicted never becomes fewer."""
    gaps = Gaps()
    for n in range(100):
        gaps.add("porch", [10 * n], "evicted", 0.0)
        assert gaps.evicted == n + 1
        gaps.add("porch", [10 * n + 1, 10 * n + 4], "damaged", 0.0)
        assert gaps.evicted == n + 1
    found = gaps.of("porch")
    assert sum(gap.count for gap in found if gap.reason == "damaged") == 200
    assert len(found) < 50
    for reason, seqs in (("evicted", [10 * n for n in range(100)]), ("damaged", [10 * n + 1 for n in range(100)])):
        ranges_of = [(gap.first, gap.last) for gap in found if gap.reason == reason]
        assert all(any(first <= seq <= last for first, last in ranges_of) for seq in seqs)


@given(st.lists(st.integers(1, 100), unique=True))
def test_gap_record_names_every_seq_in_whatever_order_they_come(seqs: list[int]) -> None:
    gaps = Gaps()
    for seq in seqs:
        gaps.add("porch", [seq], "evicted", 0.0)
    named = {seq for gap in gaps.of("porch") for seq in range(gap.first, gap.last + 1)}
    assert named >= set(seqs) and gaps.evicted == len(seqs)
    if len(seqs) <= 32:
        assert named == set(seqs)


def test_what_was_given_up_is_not_sent(tmp_path: Path) -> None:
    """An alert that never came to the file and had to give way in memory has no text any more."""
    outbox, _ = opened(tmp_path / "outbox.db")
    outbox.settle(accept(outbox, "porch"))
    outbox.close()  # writes the row of marks, which has the id that stands for no row
    outbox, _ = opened(tmp_path / "outbox.db")
    entry = Entry("porch", outbox.seqs.next("porch"), b"{")
    assert outbox.body(entry) == b"{"
    entry.body = b""
    outbox.give_up(entry)
    assert outbox.body(entry) is None


def refuse(monkeypatch: pytest.MonkeyPatch, words: str, which: Callable[[str], object]) -> None:
    """The disk fails with these words at every write whose first statement is of that kind."""
    write = Database.write

    def fails(self: Database, work: Sequence[Work], *, durable: bool = True) -> None:
        if which(work[0][0]):
            raise sqlite3.OperationalError(words)
        write(self, work, durable=durable)

    monkeypatch.setattr(Database, "write", fails)


def test_no_alert_is_taken_for_another_where_the_disk_fails_once_a_file_was_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows have other numbers there, which nobody knows until the outbox is open."""
    path = tmp_path / "outbox.db"
    outbox, _ = opened(path)
    entries = [accept(outbox, "porch") for _ in range(10)]
    for entry in entries[:5]:
        outbox.settle(entry)
    outbox.close()
    outbox.seqs.next("porch")  # so that there is something to write into the new file
    damage(path)
    calls = itertools.count(1)
    with monkeypatch.context() as patch:
        refuse(patch, "disk I/O error", lambda statement: statement.startswith("INSERT") and next(calls) == 2)
        with pytest.raises(SinkError, match="disk I/O error"):
            outbox.open()
    assert outbox.quarantined == 1
    with pytest.raises(SinkError, match="not open"):
        outbox.body(entries[5])
    waiting = outbox.open()
    assert names(waiting) == names(entries[5:])
    assert [outbox.body(entry) for entry in waiting] == [body("porch", entry.seq) for entry in entries[5:]]


def told(outbox: Outbox) -> list[tuple[str, int, int, int, str]]:
    found = [(name, gap) for name in outbox.gaps.cameras() for gap in outbox.gaps.of(name)]
    return [(name, gap.first, gap.last, gap.count, gap.reason) for name, gap in found]


@pytest.mark.parametrize("words", ["database or disk is full", "disk I/O error"])
def test_what_did_not_give_way_is_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    """At the cap the disk fails as well, so that nothing can be deleted: however often that is tried."""
    outbox, _ = opened(tmp_path / "outbox.db", max_mb=1)
    while not outbox.gaps.evicted:
        accept(outbox, "porch", 20_000)
    before = told(outbox)
    refuse(monkeypatch, words, lambda statement: statement.startswith("DELETE"))
    with pytest.raises(SinkError):
        while True:
            accept(outbox, "porch", 20_000)
    assert told(outbox) == before


def test_what_gave_way_for_others_is_told_though_these_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the cap the disk is full as well: there was room to delete, but none to insert."""
    outbox = Outbox(tmp_path / "outbox.db", OutboxOptions(max_mb=1))
    ledger = Ledger(outbox, "pi", Episodes(tmp_path / "open"))
    assert ledger.open(0.0) == []
    crowd = (TrackedObject(1, "person", 0.9, (1.0, 2.0, 30.0, 40.0)),) * 200
    event = Event("enter", "visitor", "instant", 0, Stamp("porch", 1, 1.0, 1.7e9, 100, 100), objects=crowd)
    refuse(monkeypatch, "database or disk is full", lambda statement: outbox.gave_way)
    gone: set[int] = set()
    while not gone:
        ledger.take(event)
        _, gone, cameras = ledger.commit([], 0.0)
    assert ledger.unsaved
    assert cameras == ["porch"]
    assert len(gone) == outbox.gaps.evicted == ledger.evicted


def test_no_older_alert_is_told_as_the_newest_where_that_never_came_to_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reload opens the file again, which knows of neither what waits in memory nor what was delivered from there."""
    ledger = Ledger(Outbox(tmp_path / "outbox.db", OutboxOptions()), "pi", Episodes(tmp_path / "open"))

    def taken() -> list[Entry]:
        for camera in ("porch", "yard"):
            ledger.take(Event("enter", "visitor", "instant", 0, Stamp(camera, 1, 1.0, 1.7e9, 100, 100)))
        return ledger.commit([], 10.0)[0]

    assert ledger.open(0.0) == []
    taken()
    refuse(monkeypatch, "database or disk is full", lambda statement: statement.startswith("INSERT"))
    ledger.settle(taken()[0])
    assert ledger.open(20.0) is not None
    assert {camera: json.loads(body + b"}")["seq"] for camera, body in ledger.last_bodies().items()} == {"yard": 2}


def test_no_row_comes_to_be_where_one_was_delivered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be taken for delivered at the next start. The newest rows need not be those with the highest seqs, and
    they were deleted for an alert that could not be written then."""
    path = tmp_path / "outbox.db"
    outbox, _ = opened(path, max_mb=1)
    outbox.add([Entry("porch", 1000, body("porch", 1000))])
    for _ in range(40):
        late = Entry("porch", 1, body("porch", 1, 20_000))
        outbox.add([late])
        outbox.settle(late)
    with monkeypatch.context() as patch:
        refuse(patch, "disk I/O error", lambda statement: "INSERT" in statement and not outbox.index.delivered)
        with pytest.raises(SinkError):
            outbox.add([Entry("porch", seq, body("porch", seq, 20_000)) for seq in range(1001, 1021)])
    outbox.open()
    accept(outbox, "porch")
    outbox.close()
    assert names(opened(path)[1]) == [("porch", 1000), ("porch", 1001)]


def test_what_is_stored_though_the_disk_said_that_it_failed_is_not_stored_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the log was written, and then could not be synced: every try would bring the same alerts once more."""
    ledger = Ledger(Outbox(tmp_path / "outbox.db", OutboxOptions()), "pi", Episodes(tmp_path / "open"))
    assert ledger.open(0.0) == []
    for n in range(3):
        ledger.take(Event("enter", "visitor", "instant", 0, Stamp("porch", n, 1.0, 1.7e9, 100, 100)))
    with monkeypatch.context() as patch:
        write = Database.write

        def fails_late(self: Database, work: Sequence[Work], *, durable: bool = True) -> None:
            write(self, work, durable=durable)
            raise sqlite3.OperationalError("disk I/O error")

        patch.setattr(Database, "write", fails_late)
        assert len(ledger.commit([], 1.0)[0]) == ledger.unsaved == 3
    waiting = ledger.open(2.0)
    assert waiting is not None
    assert names(waiting) == [("porch", 1), ("porch", 2), ("porch", 3)]
    assert (ledger.unsaved, ledger.accepted) == (0, 3)


def test_what_cannot_be_read_is_told_in_words_and_not_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = Outbox(tmp_path / "outbox.db", OutboxOptions())
    ledger = Ledger(outbox, "pi", Episodes(tmp_path / "open"))
    assert ledger.open(0.0) == []
    outbox.settle(accept(outbox, "porch"))
    assert len(ledger.history("", 0)) == 1

    def fails(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(Database, "read", fails)
    assert ledger.history("", 0) == []
    assert "disk I/O error" in ledger.trouble


def test_what_was_given_up_in_memory_stays_named(tmp_path: Path) -> None:
    """Though the file is opened anew, as after a failure of the disk, and at the next start."""
    outbox, _ = opened(tmp_path / "outbox.db")
    accept(outbox, "porch")
    for seq in (outbox.seqs.next("porch"), outbox.seqs.next("porch")):
        outbox.give_up(Entry("porch", seq))
    for _ in range(2):
        outbox.broken = True
        outbox.open()
        assert told(outbox) == [("porch", 2, 3, 2, "evicted")]
        outbox.tick()
    shutil.copytree(tmp_path, tmp_path / "killed")
    assert told(opened(tmp_path / "killed" / "outbox.db")[0]) == [("porch", 2, 3, 2, "evicted")]


def test_an_alert_that_is_found_damaged_is_named_and_its_number_not_given_again(tmp_path: Path) -> None:
    """Nor its place in the file, though it was the newest: what came there would be taken for delivered."""
    path = tmp_path / "outbox.db"
    outbox, _ = opened(path)
    outbox.settle(accept(outbox, "porch"))
    entry = accept(outbox, "porch")
    outbox._opened().write([("UPDATE alerts SET row=? WHERE id=?", [(b"?", entry.row)])])
    outbox.broken = True
    assert (outbox.body(entry), told(outbox)) == (None, [])  # the disk fails: who knows what it gives
    outbox.broken = False
    assert outbox.body(entry) is None
    assert outbox.gaps.are_news
    outbox.close()
    outbox, waiting = opened(path)
    assert (waiting, outbox.quarantined) == ([], 0)
    assert told(outbox) == [("porch", 2, 2, 1, "damaged")]
    assert accept(outbox, "porch").seq == 3
    accept(outbox, "yard")
    outbox.close()
    assert names(opened(path)[1]) == [("porch", 3), ("yard", 1)]


def test_a_file_that_another_program_holds_is_told_so(tmp_path: Path) -> None:
    """SQLite has the same words for a network share without locks, where no waiting helps."""
    path = tmp_path / "outbox.db"
    outbox, _ = opened(path)
    accept(outbox, "porch")
    with pytest.raises(SinkError, match=r"database is locked; another program .* no locks.* set another `state_dir`"):
        Outbox(path, OutboxOptions()).open()
    outbox.close()
    assert names(opened(path)[1]) == [("porch", 1)]


def test_files_of_another_user_are_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the daemon was tried out by root before the service's user had its turn."""
    outbox, _ = opened(tmp_path / "outbox.db")
    outbox.close()
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path / "outbox.db")
    with pytest.raises(SinkError, match=r"may not be written; .* such as root\? `chown -R`"):
        outbox.open()


def _delete_all(file: Path) -> None:
    shutil.rmtree(file.parent)


def _restore_a_copy(file: Path) -> None:
    """Of when less had been accepted, as from a backup."""
    file.parent.rename(file.parent.with_name("moved"))
    other, _ = opened(file)
    for _ in range(2):
        accept(other, "porch")
    other.close()


@pytest.mark.parametrize("lose", [_delete_all, Path.unlink, _restore_a_copy])
def test_a_file_that_is_taken_away_in_use_is_missed_and_costs_no_alert(
    tmp_path: Path, lose: Callable[[Path], None]
) -> None:
    """SQLite goes on writing to it, and the next start would find nothing of that."""
    path = tmp_path / "state" / "outbox.db"
    outbox, _ = opened(path)
    entries = [accept(outbox, camera) for camera in ("porch", "porch", "yard", "porch") * 30]
    for entry in entries[3:7]:
        outbox.settle(entry)
    outbox.tick()
    lose(path)
    late = accept(outbox, "yard")
    wanted = sorted(names([*entries[:3], *entries[7:], late]))
    with pytest.raises(SinkError, match="was deleted or replaced while it was in use"):
        outbox.tick()
    assert outbox.broken
    waiting = outbox.open()
    assert sorted(names(waiting)) == wanted
    assert all(outbox.body(entry) == body(entry.camera, entry.seq) for entry in waiting)
    outbox.tick()
    outbox.settle(waiting.pop())
    outbox.close()
    outbox, again = opened(path)
    assert names(again) == names(waiting)
    assert accept(outbox, "yard").seq > late.seq


def test_what_a_lost_file_held_waits_in_memory_until_there_can_be_another(tmp_path: Path) -> None:
    path = tmp_path / "state" / "outbox.db"
    outbox, _ = opened(path)
    entries = [accept(outbox, "porch") for _ in range(3)]
    shutil.rmtree(path.parent)
    path.parent.write_text("in its way")
    for _ in range(2):
        with pytest.raises(SinkError, match="cannot be opened"):
            outbox.open()
    path.parent.unlink()
    assert names(outbox.open()) == names(entries)
