"""What is begun before the daemon's own modules are imported: checking the configuration, or, where that is remembered,
loading the model. Imports nothing that takes time."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from edgerun.errors import ConfigError
from edgerun.folders import is_file
from edgerun.records import dataclass
from edgerun.remembered import recall, start_reader
from edgerun.worker.nurse import Child, early_child


@dataclass(frozen=True, slots=True)
class Early:
    """``reader`` is checking the configuration; ``engine`` is loading what served it the last time."""

    reader: subprocess.Popen[bytes] | None = None
    engine: Child | None = None


def begin(path: Path) -> Early:
    """Raises ConfigError for what is no plain file, and so could be read only once, or without end."""
    if os.path.exists(path) and not is_file(path):  # noqa: PTH110  what may not be looked at is told by the reader
        raise ConfigError(f"{path} is no plain file; the daemon needs one, as every reload reads it again")
    found = recall(path)
    if found is None:
        return Early(reader=start_reader(path))
    return Early(engine=early_child(found.load) if found.load else None)
