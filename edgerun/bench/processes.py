"""What a process and its descendants cost, read from /proc; and holding them still while a floor is measured."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from edgerun.records import dataclass
from edgerun.runtime.footprint import processes, pss_mb

_PROC = Path("/proc")
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


def pss_by_process(root: int) -> dict[str, float]:
    """PSS in MB by what the process is for."""
    found: dict[str, float] = {}
    for number, (pid, command) in enumerate(processes(root).items()):
        name = "daemon" if pid == root else "engine" if "edgerun.worker" in command else f"process {number}"
        found[name] = found.get(name, 0.0) + pss_mb(pid)
    return found


def hold(root: int) -> None:
    """Stop it and its descendants; the parent first, so that nothing looks late to it."""
    for pid in processes(root):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)


def let_go(root: int) -> None:
    for pid in reversed(processes(root)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
