"""The memory guard: an engine's process that grows too large is started again, the daemon itself ends in good order."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

from edgerun.config.upkeep import SupervisionOptions
from edgerun.kernel import text
from edgerun.worker.worker import Worker

_PAGE = os.sysconf("SC_PAGESIZE")
_M_ARENA_MAX = -8
"""Of glibc's malloc.h."""
_ARENAS = 2


def rss_mb(pid: int) -> float:
    """Resident memory of a process in MB (10^6 bytes); 0 where there is none."""
    pages = text(Path(f"/proc/{pid}/statm")).split()
    return int(pages[1]) * _PAGE / 1e6 if pages else 0.0


def share_arenas() -> None:
    """Let all threads take memory from a few arenas of malloc's, where each thread has one of its own otherwise, that
    keeps what was needed at its fullest hour. Before threads are started. Does nothing without glibc."""
    tune = getattr(ctypes.CDLL(None), "mallopt", None)
    if tune is not None:
        tune(_M_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """Return to the system what was freed within malloc's arenas: decoders and resizers take and free much, and what
    they leave there otherwise grows for hours. Does nothing without glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def guard_engines(limits: SupervisionOptions, workers: Iterable[Worker]) -> None:
    """Start those again that are over the limit."""
    limit = limits.engine_memory_mb
    for worker in workers if limit else ():
        if worker.pid is not None and (used := rss_mb(worker.pid)) > limit:
            worker.restart(f"its process used {used:.0f} MB of memory, more than engine_memory_mb: {limit}")


def overgrown(limits: SupervisionOptions) -> str:
    """In words, when the daemon itself is over the limit; else empty."""
    used = rss_mb(os.getpid()) if limits.memory_mb else 0.0
    if used <= limits.memory_mb:
        return ""
    return f"the daemon used {used:.0f} MB of memory, more than memory_mb: {limits.memory_mb}"
