"""Tables with a row for each track: of its zones and lines here, and in the rules of all else that they look at."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgerun.types import Mask


class Rows:
    """A table with one row per track, told which rows to add and to drop so that several tables stay in step."""

    def __init__(self, fields: list[Any]) -> None:
        self.table = np.zeros(0, np.dtype(fields))
        self.blank = np.zeros(1, self.table.dtype)

    def grow(self, count: int) -> None:
        """Add blank rows at the end."""
        self.table = np.concatenate([self.table, np.repeat(self.blank, count)])

    def keep(self, kept: Mask) -> None:
        """Drop the rows that are not kept."""
        self.table = self.table[kept]

    def clear(self) -> None:
        """Drop all rows."""
        self.table = self.table[:0]
