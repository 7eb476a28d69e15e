"""The daemon's processes, and what they cost in memory."""

from __future__ import annotations

import os
from pathlib import Path

from edgerun.kernel import text
from edgerun.worker import PROCESS_NAME

_PROC = Path("/proc")


def processes(root: int | None = None) -> dict[int, str]:
    """A process (by default this one) and all its descendants: pid to command line."""
    found = {}
    waiting = [root or os.getpid()]
    while waiting:
        pid = waiting.pop()
        try:
            found[pid] = text(_PROC / str(pid) / "cmdline").replace("\0", " ")
            for task in (_PROC / str(pid) / "task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text().split()]
        except OSError:  # gone meanwhile
            found.pop(pid, None)
    return found


def engine_pids(root: int | None = None) -> list[int]:
    """The processes below one (by default this one) that hold an engine each."""
    return [pid for pid in processes(root) if text(_PROC / str(pid) / "comm") == PROCESS_NAME]


def pss_mb(pid: int) -> float:
    """A process' proportional set size in MB (10^6 bytes): shared pages count by their share. 0 where unreadable."""
    lines = text(_PROC / str(pid) / "smaps_rollup").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / 1e6
