"""Where compiled models may be kept."""

from __future__ import annotations

from pathlib import Path

from edgerun.folders import cache_dir, own_folder


def cache_directory(configured: Path | None, engine: str) -> Path:
    """The configured folder, else one for this engine under systemd's ``$CACHE_DIRECTORY`` or the user's cache.

    The folder exists afterwards. Raises OSError when it cannot be made.
    """
    folder = own_folder(configured) if configured else cache_dir() / engine
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder
