"""What the kernel tells in files of /sys and /proc, each of which may be missing or refuse to be read at any time."""

from __future__ import annotations

import os
from pathlib import Path


def text(path: Path) -> str:
    """Without the blanks and zero bytes around it; empty where there is none."""
    try:
        return path.read_text("utf-8", "replace").strip("\0 \t\n")
    except OSError:  # also what a sensor says that cannot be read now
        return ""


def whole(path: Path) -> int | None:
    """A whole number, or None."""
    found = text(path)
    return int(found) if found.removeprefix("-").isdecimal() else None


def celsius(path: Path) -> float | None:
    """A temperature, which drivers write in thousandths of a degree."""
    found = whole(path)
    return None if found is None else found / 1000


def idle_s(place: Path = Path("/proc/stat")) -> float | None:
    """The seconds for which cores of this machine were idle since its start, all together (proc(5): the fourth figure,
    and the fifth, in which they waited for a disk)."""
    figures = text(place).partition("\n")[0].split()[4:6]
    known = len(figures) == 2 and all(map(str.isdecimal, figures))
    return sum(map(int, figures)) / os.sysconf("SC_CLK_TCK") if known else None
