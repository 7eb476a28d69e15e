"""Exact assignment: which pairs of rows and columns together weigh most.

The solver is the primal-dual method for maximum weight matching in a bipartite graph (Kuhn 1955, Munkres 1957),
augmenting along cheapest alternating paths (Edmonds and Karp 1972), on the sparse graph that gating leaves.
"""

from __future__ import annotations

import math

import numpy as np

from edgerun.types import F64, Index


def heaviest_pairs(weight: F64) -> tuple[Index, Index]:
    """Rows and columns of the pairs whose weights (R, C) have the greatest sum; only weights above 0 may pair.

    Each row and each column is in at most one pair; the rows rise. Where several choices weigh the same, one of them
    comes, always the same for the same weights.
    """
    if not weight.size:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    column, best = weight.argmax(axis=1), np.maximum.reduce(weight, axis=1)
    rows = (best > 0).nonzero()[0]
    column = column.take(rows)
    # when no two rows want the same column, each one's best is also the best together
    if len(set(column.tolist())) == len(rows):
        return rows, column
    return _settle(weight, best)


def _settle(weight: F64, best: F64) -> tuple[Index, Index]:
    """The same by adding row after row, each time along the cheapest way of making room for it."""
    graph = _Graph(weight, best)
    for row in np.flatnonzero(best > 0).tolist():
        graph.admit(row)
    rows = np.array([row for row, column in enumerate(graph.column_of) if column >= 0], np.intp)
    return rows, np.array([graph.column_of[row] for row in rows], np.intp)


class _Graph:
    """The edges that may pair, the pairs so far, and prices that prove them best.

    Invariant: ``row_price[r] + column_price[c] >= weight[r, c]``, equal for pairs; no price is below 0, and that of
    a column without a partner, and of an admitted row without one, is 0.
    """

    def __init__(self, weight: F64, best: F64) -> None:
        rows, columns = np.nonzero(weight > 0)
        self.edges: list[list[tuple[int, float]]] = [[] for _ in range(len(weight))]
        for row, column, value in zip(rows.tolist(), columns.tolist(), weight[rows, columns].tolist(), strict=True):
            self.edges[row].append((column, value))
        self.row_price: list[float] = best.tolist()
        self.column_price = [0.0] * weight.shape[1]
        self.column_of = [-1] * weight.shape[0]
        self.row_of = [-1] * weight.shape[1]

    def admit(self, newcomer: int) -> None:
        """Pair one more row, or leave out whichever row of the alternating tree it costs least to leave out."""
        open_to: dict[int, float] = {}  # cheapest known way to each column not yet settled
        via: dict[int, int] = {}  # the row before it on that way
        columns: dict[int, float] = {}
        rows = {newcomer: 0.0}
        row, cost = newcomer, 0.0
        end, loser, least = -1, newcomer, self.row_price[newcomer]
        while True:
            base = cost + self.row_price[row]
            for column, value in self.edges[row]:
                way = base + self.column_price[column] - value
                if column not in columns and way < open_to.get(column, math.inf):
                    open_to[column], via[column] = way, row
            if not open_to:
                break
            column = min(open_to, key=open_to.__getitem__)
            cost = open_to.pop(column)
            if cost >= least:
                break
            columns[column] = cost
            row = self.row_of[column]
            if row < 0:
                end, loser, least = column, -1, cost
                break
            rows[row] = cost
            if cost + self.row_price[row] < least:
                end, loser, least = -1, row, cost + self.row_price[row]
        self._reprice(rows, columns, least)
        if loser >= 0:
            end = self.column_of[loser]
            self.column_of[loser] = -1
        if loser != newcomer:
            self._shift(newcomer, end, via)

    def _reprice(self, rows: dict[int, float], columns: dict[int, float], least: float) -> None:
        for row, cost in rows.items():
            self.row_price[row] -= max(0.0, least - cost)
        for column, cost in columns.items():
            self.column_price[column] += max(0.0, least - cost)

    def _shift(self, newcomer: int, column: int, via: dict[int, int]) -> None:
        """Give each row on the way to ``column`` the column after it."""
        row = -1
        while row != newcomer:
            row = via[column]
            self.row_of[column] = row
            self.column_of[row], column = column, self.column_of[row]
