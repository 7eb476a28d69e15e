"""What a process and its descendants cost, read from /proc; and holding them still while a floor is measured."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from edgerun.records import dataclass
from edgerun.runtime.health.footprint import processes

_PROC = Path("/proc")
_PAGE = os.sysconf("SC_PAGESIZE")
_PRESENT, _OF_FILE = np.uint64(1 << 63), np.uint64(1 << 61)
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU seconds, and how often a thread was woken (voluntary context switches), of all processes together."""

    cpu_s: float
    wakeups: int

    def since(self, before: Spent) -> Spent:
        return Spent(self.cpu_s - before.cpu_s, self.wakeups - before.wakeups)


def spent(root: int) -> Spent:
    """What the living threads of a process and of its descendants have spent so far."""
    cpu_s, wakeups = 0.0, 0
    for pid in processes(root):
        with contextlib.suppress(OSError):
            for task in (_PROC / str(pid) / "task").iterdir():
                cpu_s += _cpu_s(task)
                status = (task / "status").read_text()
                wakeups += int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    return Spent(cpu_s, wakeups)


def _cpu_s(task: Path) -> float:
    """In nanoseconds where the kernel tells them so, else in its ticks of mostly 10 ms."""
    try:
        return int((task / "schedstat").read_text().split()[0]) / 1e9
    except FileNotFoundError:
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * _TICK_S


def machine_busy() -> tuple[float, float]:
    """CPU seconds that the machine has worked, and that it had, since it started."""
    fields = [int(n) for n in _PROC.joinpath("stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) * _TICK_S, sum(fields) * _TICK_S


def held_mb(pids: Iterable[int]) -> float:
    """What processes hold together in MB (10^6 bytes), as if they were alone on the machine: a page of a file counts
    once, whoever else has it. The PSS would leave out what the measuring process shares with them, which is most of
    the libraries. Linux' Documentation/admin-guide/mm/pagemap.rst tells of the entries."""
    anonymous, files = 0, defaultdict[tuple[str, str], set[int]](set)
    for pid in pids:
        folder = _PROC / str(pid)
        rollup = (folder / "smaps_rollup").read_text().splitlines()
        anonymous += sum(int(line.split()[1]) * 1024 for line in rollup if line.startswith("Pss_Anon:"))
        with (folder / "pagemap").open("rb") as pages:
            for line in (folder / "maps").read_text().splitlines():
                extent, _, offset, device, inode, *_ = line.split()
                if inode == "0":
                    continue
                start, end = (int(one, 16) // _PAGE for one in extent.split("-"))
                pages.seek(start * 8)
                entries = np.frombuffer(pages.read((end - start) * 8), np.uint64)
                there = np.flatnonzero((entries & _PRESENT != 0) & (entries & _OF_FILE != 0))
                files[device, inode].update((there + int(offset, 16) // _PAGE).tolist())
    return (anonymous + sum(map(len, files.values())) * _PAGE) / 1e6


def hold(root: int) -> None:
    """Stop it and its descendants; the parent first, so that nothing looks late to it."""
    for pid in processes(root):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)


def let_go(root: int) -> None:
    for pid in reversed(processes(root)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
