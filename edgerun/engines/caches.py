"""Where compiled models may be kept."""

from __future__ import annotations

import contextlib
from pathlib import Path

from edgerun.folders import cache_dir, own_folder

_MOST_BYTES = 1 << 30
"""Of one engine: each model that is tried leaves its files, and each new version of the engine's library does again."""


def cache_directory(configured: Path | None, engine: str) -> Path:
    """The configured folder, else one for this engine under systemd's ``$CACHE_DIRECTORY`` or the user's cache, of
    which the oldest files go.

    The folder exists afterwards. Raises OSError when it cannot be made.
    """
    folder = own_folder(configured) if configured else cache_dir() / engine
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not configured:  # else others may keep theirs there, too
        with contextlib.suppress(OSError):  # another process may tidy up just now
            _tidy_up(folder)
    return folder


def _tidy_up(folder: Path) -> None:
    """Keep the newest one, and of the others, newest first, what has room beside it."""
    found = sorted(((path.stat(), path) for path in folder.iterdir()), key=lambda one: one[0].st_mtime, reverse=True)
    total = 0
    for number, (status, path) in enumerate(found):
        total += status.st_size
        if number and total > _MOST_BYTES:
            path.unlink()
