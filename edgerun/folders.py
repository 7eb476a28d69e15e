"""The folders that systemd gives the service, or else the user's own. Asked at every start, before all else."""

from __future__ import annotations

import os
from pathlib import Path


def state_dirs() -> list[Path]:
    """For what must last: systemd's state directories, and last the user's own."""
    return _folders("STATE_DIRECTORY", "XDG_STATE_HOME", "~/.local/state")


def cache_dir() -> Path:
    """For what can be found out again."""
    return _folders("CACHE_DIRECTORY", "XDG_CACHE_HOME", "~/.cache")[0]


def _folders(of_service: str, of_user: str, usual: str) -> list[Path]:
    given = [Path(name) for name in os.environ.get(of_service, "").split(":") if name]
    home = os.environ.get(of_user) or os.path.expanduser(usual)  # noqa: PTH111  raises nothing
    return [*given, Path(home) / "edgerun"]
