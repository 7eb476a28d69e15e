"""Where compiled models may be kept."""

from __future__ import annotations

import os
from pathlib import Path


def cache_directory(configured: Path | None, engine: str) -> Path:
    """The configured folder, else one for this engine under systemd's ``$CACHE_DIRECTORY`` or the user's cache.

    The folder exists afterwards. Raises OSError when it cannot be made.
    """
    given = os.environ.get("CACHE_DIRECTORY", "").split(":")[0]
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = configured or (Path(given) if given else Path(home) / "edgerun") / engine
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder
