"""Where models lie on this machine."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from edgerun.models.catalogue import CataloguedFile

BUNDLED = Path(__file__).parents[1] / "assets"


def folders() -> tuple[Path, ...]:
    """The folders that may hold models, the one to write to first: ``$EDGERUN_MODELS``, the service's state
    directory, the user's own."""
    given = [Path(name) for name in os.environ.get("EDGERUN_MODELS", "").split(os.pathsep) if name]
    state = [Path(name) / "models" for name in os.environ.get("STATE_DIRECTORY", "").split(":") if name]
    home = Path(os.environ.get("XDG_STATE_HOME", "~/.local/state")).expanduser()
    return tuple(dict.fromkeys([*given, *state, Path("/var/lib/edgerun/models"), home / "edgerun" / "models"]))


def find(file: CataloguedFile) -> Path | None:
    """The file on this machine, or None. Its size is looked at, its contents are not: see ``verify``."""
    for folder in (BUNDLED,) if file.source == "bundled" else folders():
        path = folder / file.name
        try:
            if path.stat().st_size == file.size:
                return path
        except OSError:
            continue
    return None


def sha256_of(path: Path) -> str:
    """The hash of a file's contents. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
