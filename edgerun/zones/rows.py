"""Tables with a row for each track: of its zones and lines here, and in the rules of all else that they look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from edgerun.types import Mask

Table = TypeVar("Table", bound="Rows")


class Rows:
    """A table with one row per track, told which rows to add and to drop so that several tables stay in step.

    ``about``: of fields with a column for each zone, line or rule, what each column is about.
    """

    def __init__(self, fields: list[Any], about: Mapping[str, Sequence[object]] | None = None) -> None:
        self.table = np.zeros(0, np.dtype(fields))
        self.blank = np.zeros(1, self.table.dtype)
        self._about = about or {}

    def grow(self, count: int) -> None:
        """Add blank rows at the end."""
        self.table = np.concatenate([self.table, np.repeat(self.blank, count)])

    def keep(self, kept: Mask) -> None:
        """Drop the rows that are not kept."""
        self.table = self.table[kept]

    def clear(self) -> None:
        """Drop all rows."""
        self.table = self.table[:0]

    def take_over(self: Table, before: Table) -> None:
        """Go on with the rows of another table, which has as many. Columns about the same move from there to here."""
        for name in self.table.dtype.names or ():
            ours, theirs = self.table[name], before.table[name]
            if name not in self._about:
                ours[:] = theirs
                continue
            for here, there in in_both(self._about[name], before._about[name]):
                ours[:, here], theirs[:, there] = theirs[:, there], before.blank[name][:, there]


def in_both(ours: Sequence[object], theirs: Sequence[object]) -> list[tuple[int, int]]:
    """Where that which is in both stands in the one and in the other."""
    return [(here, theirs.index(what)) for here, what in enumerate(ours) if what in theirs]
