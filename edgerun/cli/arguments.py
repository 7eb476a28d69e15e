"""What several commands ask of their arguments."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable
from pathlib import Path

from edgerun.errors import ConfigError


def above_zero(text: str) -> float:
    """A number, for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text!r}")
    return number


def port(text: str) -> int:
    """Of TCP, for argparse."""
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"must be a port, 1 to 65535, not {text!r}")
    return int(text)


def spare(inputs: Iterable[Path], target: Path) -> None:
    """Raises ConfigError where writing ``target`` would replace what is read, under whatever name."""
    for path in inputs:
        if target.exists() and path.exists() and target.samefile(path):
            raise ConfigError(f"that would write over {path}; save it elsewhere")
