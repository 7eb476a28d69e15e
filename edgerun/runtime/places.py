"""Where a running daemon keeps things."""

from __future__ import annotations

import os
from pathlib import Path


def state_dir(configured: str) -> Path:
    """Lasting state: as configured, or systemd's state directory, or the user's own."""
    given = configured or os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    home = Path(os.environ.get("XDG_STATE_HOME", "") or Path.home() / ".local" / "state")
    return Path(given) if given else home / "edgerun"


def control_socket(state: Path) -> Path:
    """Where a running daemon answers for its health: in the runtime directory if there is one (no SD card wear)."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    return (Path(given) if given else state) / "control.sock"
