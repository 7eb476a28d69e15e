"""Which file it was that lay at a path: told without reading it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

FileState: TypeAlias = tuple[str, int, int, int]
"""A path; the file's number there, its size in bytes, and when its content was changed (ns)."""


def states_of(paths: Iterable[Path]) -> tuple[FileState, ...]:
    """Of files as they are now. Raises OSError."""
    found = ((path, path.stat()) for path in paths)
    return tuple((os.fspath(path), status.st_ino, status.st_size, status.st_mtime_ns) for path, status in found)


def replaced(states: Iterable[FileState]) -> str:
    """The path of a file that is another now; empty where there is none."""
    return next((state[0] for state in states if not _is_still(state)), "")


def _is_still(state: FileState) -> bool:
    """Also one that is gone: whoever reads it will say so."""
    try:
        return states_of([Path(state[0])]) == (state,)
    except OSError:
        return True
