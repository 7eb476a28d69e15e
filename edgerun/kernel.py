"""What the kernel tells in files of /sys and /proc, each of which may be missing or refuse to be read at any time."""

from __future__ import annotations

import os
import re
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


def is_in_memory(path: Path, place: Path = Path("/proc/self/mountinfo")) -> bool:
    """Whether what is written there is gone without power (proc(5), mountinfo), also where an overlay takes it, as on a
    device whose card is kept from being written. ``path`` is absolute."""
    mounts = {}
    for line in text(place).splitlines():
        before, _, after = line.partition(" - ")
        mounts[_unescaped(before.split(" ")[4])] = after.split(" ")[::2]

    def mounted(on: str) -> list[str]:
        return next((mounts[one] for one in (on, *map(str, Path(on).parents)) if one in mounts), ["", ""])

    kind, options = mounted(str(path))
    upper = re.search(r"(?:^|,)upperdir=([^,]+)", options)
    return (mounted(_unescaped(upper[1]))[0] if upper else kind) in ("tmpfs", "ramfs")


def _unescaped(word: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), word)
