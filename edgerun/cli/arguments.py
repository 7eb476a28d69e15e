"""What several commands ask of their arguments."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from edgerun.errors import ConfigError


def above_zero(text: str) -> float:
    """A number, for argparse."""
    return _number(text, "above 0", lambda number: 0 < number < math.inf)


def zero_or_more(text: str) -> float:
    """A number, for argparse."""
    return _number(text, "from 0 on", lambda number: number >= 0)


def _number(text: str, words: str, fits: Callable[[float], bool]) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan  # which fits nowhere
    if not fits(number):
        raise argparse.ArgumentTypeError(f"must be a number {words}, not {text!r}")
    return number


def whole_from(least: int) -> Callable[[str], int]:
    """A whole number of at least so many, for argparse."""

    def whole(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"must be a whole number from {least} on, not {text!r}")
        return int(text)

    return whole


def unix_time(text: str) -> float:
    """Of a date and time in ISO 8601, for argparse."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):  # also the first and the last day of the calendar, in some zones
        raise argparse.ArgumentTypeError(f"must be a time such as 2026-11-22T18:30, not {text!r}") from None


def port(text: str) -> int:
    """Of TCP, for argparse."""
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"must be a port, 1 to 65535, not {text!r}")
    return int(text)


def literal(text: str) -> str:
    """A text as it is to be written into a configuration, with whatever stands in it."""
    return json.dumps(text, ensure_ascii=False).replace("${", "$${")


def spare(inputs: Iterable[Path], target: Path) -> None:
    """Raises ConfigError where writing ``target`` would replace what is read, under whatever name."""
    for path in inputs:
        if target.exists() and path.exists() and target.samefile(path):
            raise ConfigError(f"that would write over {path}; save it elsewhere")
