"""edgerun's commands, as a shell runs them."""

from __future__ import annotations

import subprocess
import sys
from typing import Any


def edgerun(*words: object, stdout: Any = subprocess.PIPE, **more: Any) -> subprocess.CompletedProcess[str]:
    """A command, run to its end."""
    command = [sys.executable, "-m", "edgerun", *map(str, words)]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, **more)
