"""What a process lets go of, and what it keeps."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgerun.types import Array
from edgerun.worker import child
from edgerun.worker.forking import Errand
from edgerun.worker.wire import SLOT, Load, Slots
from tests.fakes import FakeEngine, FakeEngineOptions

_PROGRAM = """
import ctypes, mmap, sys, threading
from pathlib import Path
from edgerun.worker.pages import let_go_of_files

place = Path(sys.argv[1])
size = 8 << 20

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE >> 20

def mapped(**how):
    with place.open("rb") as file:
        return mmap.mmap(file.fileno(), size, **how)

ours = mapped(access=mmap.ACCESS_COPY)  # private, and may be changed
ours[size // 2] = 7
ours[size // 2 + mmap.PAGESIZE] = 8
libc = ctypes.CDLL(None, use_errno=True)
start = ctypes.addressof(ctypes.c_char.from_buffer(ours))
assert libc.mprotect(ctypes.c_void_p(start), ctypes.c_size_t(size), mmap.PROT_READ) == 0  # as the loader's relocations
theirs = mapped(prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE)
assert sum(theirs[::mmap.PAGESIZE]) == size // mmap.PAGESIZE

full = resident_mb()
waiting, done = threading.Event(), threading.Event()
if sys.argv[2] == "threads":
    other = threading.Thread(target=lambda: (waiting.set(), done.wait()))
    other.start()
    waiting.wait()
let_go_of_files()
print(full - resident_mb())
done.set()
assert (ours[0], ours[size // 2], ours[size // 2 + mmap.PAGESIZE]) == (1, 7, 8)
assert sum(theirs[::mmap.PAGESIZE]) == size // mmap.PAGESIZE
import decimal, sqlite3  # libraries can still be loaded
"""


def test_a_kernel_that_does_not_tell_is_no_hindrance() -> None:
    hidden = "import edgerun.worker.pages as p; p.Path = lambda name: p.os.open(name + 'x', 0); p.let_go_of_files()"
    subprocess.run([sys.executable, "-c", hidden], check=True, timeout=60)


def let_go_mb(folder: Path, *how: str) -> int:
    """How much smaller a process became that had read 8 MB of a file."""
    (folder / "file").write_bytes(b"\1" * (8 << 20))
    program = [sys.executable, "-c", _PROGRAM, str(folder / "file"), *how]
    return int(subprocess.run(program, check=True, capture_output=True, text=True, timeout=60).stdout)


def test_what_was_only_read_is_let_go_and_comes_back_and_what_was_changed_stays(tmp_path: Path) -> None:
    assert let_go_mb(tmp_path, "alone") >= 8


def test_beside_other_threads_nothing_is_touched(tmp_path: Path) -> None:
    assert let_go_mb(tmp_path, "threads") <= 0  # the other thread may have needed some


@pytest.mark.parametrize(("pause_s", "after"), [(0.01, 6), (0.1, 0)])
def test_a_stream_that_never_pauses_waits_for_it_once(
    pause_s: float, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After five seconds of it; otherwise in the first pause, ahead of all requests here."""
    now = [100.0]
    happened: list[str] = []

    class Engine(FakeEngine):
        def infer(self, tensors: Sequence[Array]) -> Sequence[Array]:
            now[0] += 1.0
            happened.append("inference")
            return super().infer(tensors)

    def select(requests: list[int], _: object, __: object, timeout_s: float) -> tuple[list[int], ...]:
        return ([] if pause_s > timeout_s else requests), [], []

    monkeypatch.setattr(child, "time", SimpleNamespace(monotonic=lambda: now[0], perf_counter_ns=lambda: 0))
    monkeypatch.setattr(child, "select", SimpleNamespace(select=select))
    monkeypatch.setattr(child, "let_go_of_files", lambda: happened.append("let go"))
    engine = Engine(FakeEngineOptions(), Path("fake.model"))
    requests, asked = os.pipe()
    answers, replies = os.pipe()
    memory = os.memfd_create("fake")
    Slots(memory, engine.io, 1, create=True)
    os.write(asked, SLOT.pack(0) * 10)
    os.close(asked)
    child._serve(engine, Load(Engine, None, Path(), 1), Errand(b"", memory, requests, replies, -1))
    for descriptor in (requests, answers, replies, memory):
        os.close(descriptor)
    assert happened == ["inference"] * after + ["let go"] + ["inference"] * (10 - after)
