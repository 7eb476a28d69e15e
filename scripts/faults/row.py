"""What a row of the scorecard is, and what comes of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Terms:
    """What a row is played with: an empty folder, its own seeded chance, and whether to be brief."""

    folder: Path
    chance: random.Random
    short: bool
    say: Callable[[str], None] = print

    def times(self, full: int, brief: int) -> int:
        return brief if self.short else full


@dataclass(frozen=True)
class Outcome:
    """``figure`` in words and numbers; ``passed`` None where this machine cannot play the row."""

    figure: str
    passed: bool | None


@dataclass(frozen=True)
class Row:
    number: int
    title: str
    target: str
    play: Callable[[Terms], Outcome]
