"""The daemon's processes, and what they cost in memory."""

from __future__ import annotations

import os
from pathlib import Path

from edgerun.worker import PROCESS_NAME

_PROC = Path("/proc")


def processes(root: int | None = None) -> dict[int, str]:
    """A process (by default this one) and all its descendants: pid to command line."""
    found = {}
    waiting = [root or os.getpid()]
    while waiting:
        pid = waiting.pop()
        try:
            found[pid] = (
                (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            )
            for task in (_PROC / str(pid) / "task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text().split()]
        except OSError:  # gone meanwhile
            found.pop(pid, None)
    return found


def engine_pids(root: int | None = None) -> list[int]:
    """The processes below one (by default this one) that hold an engine each."""
    return [pid for pid in processes(root) if _name(pid) == PROCESS_NAME]


def _name(pid: int) -> str:
    try:
        return (_PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return ""


def pss_mb(pid: int) -> float:
    """A process' proportional set size in MB (10^6 bytes): shared pages count by their share. 0 where unreadable."""
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / 1e6
