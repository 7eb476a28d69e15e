"""Pages of files that a process has mapped: libraries, and models that their runtimes map."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
from collections.abc import Iterator
from pathlib import Path


def let_go_of_files() -> None:
    """Unmap the pages of files that hold nothing of this process's own; those that are used again come back from the
    page cache one by one.

    What was touched but while libraries were loaded, and a model whose runtime keeps its weights in an order of its
    own, would count as this process's memory otherwise, and be the last that the kernel takes back. Does nothing beside
    other threads: a library that one of them loads is written to where it was only read before. Nor where the kernel
    does not tell.
    """
    with contextlib.suppress(OSError):
        if len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208  names, not paths
            return
        advise = ctypes.CDLL(None).madvise
        for start, end in _clean():
            advise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED)


def _clean() -> Iterator[tuple[int, int]]:
    """Mappings of files that are not written to and of which no page was changed (proc_pid_smaps(5))."""
    place, is_read = "", False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        word, *rest = line.split()
        if not word.endswith(":"):
            place, is_read = word, "w" not in rest[0] and rest[-1].startswith("/") and "/dev/" not in rest[-1]
        elif word == "Anonymous:" and is_read and rest[0] == "0":
            start, _, end = place.partition("-")
            yield int(start, 16), int(end, 16)
