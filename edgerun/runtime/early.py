"""What is begun before the daemon's own modules are imported: checking the configuration, or, where that is remembered,
loading the model. Imports nothing that takes time."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from edgerun.remembered import recall, start_reader
from edgerun.worker.nurse import Child, early_child


@dataclass(frozen=True, slots=True)
class Early:
    """``reader`` is checking the configuration; ``engine`` is loading what served it the last time."""

    reader: subprocess.Popen[bytes] | None = None
    engine: Child | None = None


def begin(path: Path) -> Early:
    found = recall(path)
    if found is None:
        return Early(reader=start_reader(path))
    return Early(engine=early_child(found.load) if found.load else None)
