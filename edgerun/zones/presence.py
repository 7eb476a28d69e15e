"""Hysteresis: from boxes that tremble to visits and passes that count once.

A track is inside a zone once its anchor stayed inside for ``inertia_s``, and has left once the anchor stayed clear
of the border for as long. A track is on a side of a line once its anchor stayed there, outside a band around the line,
for ``inertia_s``; it has passed when it changes from one side to the other and its way cuts the line's own length.
Only frames in which a track was seen count: a predicted box decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edgerun.boxes import segments_touch
from edgerun.types import F32, Mask
from edgerun.zones.options import LineOptions, ZoneOptions

F64 = npt.NDArray[np.float64]

_SLACK_S = 1e-6
"""Forgives the rounding of times, so that 0.1 s thrice is 0.3 s."""
_CORNERS = {  # an anchor's x and y as parts of x1 y1 x2 y2
    "bottom": ((0.5, 0, 0.5, 0), (0, 0, 0, 1)),
    "center": ((0.5, 0, 0.5, 0), (0, 0.5, 0, 0.5)),
    "top": ((0.5, 0, 0.5, 0), (0, 1, 0, 0)),
    "left": ((1, 0, 0, 0), (0, 0.5, 0, 0.5)),
    "right": ((0, 0, 1, 0), (0, 0.5, 0, 0.5)),
}


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


class Zones(Rows):
    """All zones and lines of one camera, on a table of tracks.

    After an update, for N rows, Z zones and L lines: ``entered`` and ``left`` bool (N,Z), ``crossed`` i8 (N,L) with 1
    for left to right and -1 for right to left.
    """

    def __init__(self, zones: Mapping[str, ZoneOptions], lines: Mapping[str, LineOptions]) -> None:
        z, line = (len(zones),), (len(lines),)
        super().__init__([
            ("inside", "?", z),  # counts as inside
            ("stay", "f8", z),  # seconds of the visit, without what nobody saw
            ("doubt", "f8", z),  # since when the anchor says otherwise; inf: it does not
            ("side", "i1", line),  # 1 right, -1 left, 0 not known yet
            ("turn", "f8", line),  # since when the anchor is on the other side; inf: it is not
            ("spot", "f8", (*line, 2)),  # where the anchor last was on its side
        ])  # fmt: skip
        self.blank["doubt"] = self.blank["turn"] = np.inf
        self.names, self.line_names = tuple(zones), tuple(lines)
        self._zones, self._lines = tuple(zones.values()), tuple(lines.values())
        self._size = (0, 0)
        self._compile(1, 1)
        self.entered = self.left = np.zeros((0, len(zones)), np.bool_)
        self.crossed = np.zeros((0, len(lines)), np.int8)

    @property
    def inside(self) -> Mask:
        """Who counts as inside now, bool (N,Z)."""
        within: Mask = self.table["inside"]
        return within

    def update(self, xyxy: F32, seen: Mask, credit: F64, now: float, size: tuple[int, int]) -> None:
        """Take one frame.

        ``xyxy`` (N,4) in pixels; ``seen`` (N,): the rows found in this frame; ``credit`` (N,): the seconds since each
        was last seen, as far as they count; ``now``: seconds; ``size``: the frame's width and height.
        """
        if size != self._size:
            self._compile(*size)
        points = (xyxy @ self._anchors).reshape(len(xyxy), self._anchors.shape[1] // 2, 2)
        # a box cut off by the frame's edge has its anchor on the border of a zone that ends there
        points = np.minimum(np.maximum(points, 0.5), self._inner)
        extent = np.sqrt((xyxy[:, 2] - xyxy[:, 0]) * (xyxy[:, 3] - xyxy[:, 1]))
        self.entered = self.left = np.zeros(self.table["inside"].shape, np.bool_)
        self.crossed = np.zeros(self.table["side"].shape, np.int8)
        if self._zones:
            self._update_zones(points, extent, seen, credit, now)
        if self._lines:
            self._update_lines(points, extent, seen, now)

    def leave(self, rows: Mask) -> None:
        """Let the rows that are over, bool (N,), leave wherever they are."""
        if np.count_nonzero(rows):
            self.left = self.left | (self.table["inside"] & rows[:, None])
            self.table["inside"][rows] = False

    def _update_zones(self, points: F64, extent: F32, seen: Mask, credit: F64, now: float) -> None:
        inside, doubt, stay = self.table["inside"], self.table["doubt"], self.table["stay"]
        found = seen[:, None]
        stay += np.where(inside, credit[:, None], 0)
        x, y = points[:, self._edge_anchor, 0] - self._x, points[:, self._edge_anchor, 1] - self._y
        # a ray to the right meets an edge that spans its height if the point is left of it (even-odd rule)
        meets = ((y < 0) != (y < self._dy)) & ((self._dx * y > self._dy * x) == (self._dy < 0))
        raw = np.logical_xor.reduceat(meets, self._starts, axis=1)
        if np.count_nonzero(inside & ~raw & found):
            along = np.minimum(np.maximum((x * self._dx + y * self._dy) / self._length2, 0), 1)
            gap2 = (x - along * self._dx) ** 2 + (y - along * self._dy) ** 2
            raw |= inside & (np.minimum.reduceat(gap2, self._starts, axis=1) <= (extent[:, None] * self._margin) ** 2)
        np.copyto(doubt, np.where(raw != inside, np.minimum(doubt, now), np.inf), where=found)
        flip = (now - doubt >= self._inertia) & found
        self.entered, self.left = flip & ~inside, flip & inside
        if np.count_nonzero(flip):
            stay[flip] = np.where(inside, 0, now - doubt)[flip]
            inside ^= flip
            doubt[flip] = np.inf

    def _update_lines(self, points: F64, extent: F32, seen: Mask, now: float) -> None:
        side, turn, spot = self.table["side"], self.table["turn"], self.table["spot"]
        found = seen[:, None]
        at = points[:, self._line_anchor]
        offset = at - self._from
        distance = self._along[:, 0] * offset[..., 1] - self._along[:, 1] * offset[..., 0]
        band = extent[:, None] * self._band
        there = (distance > band).view(np.int8) - (distance < -band).view(np.int8)
        np.copyto(spot, at, where=((there == side) & found)[..., None])
        away = (there != side) & (there != 0)
        np.copyto(turn, np.where(away, np.minimum(turn, now), np.inf), where=found)
        arrived = (now - turn >= self._patience) & found
        if np.count_nonzero(arrived):
            passed = arrived & (side != 0) & segments_touch(spot, at, self._from, self._to)
            self.crossed[passed] = there[passed]
            side[arrived], spot[arrived], turn[arrived] = there[arrived], at[arrived], np.inf

    def _compile(self, width: int, height: int) -> None:
        """Polygons to one list of edges, lines to arrays, 0-1 to pixels."""
        self._size = (width, height)
        scale = np.array([width, height], np.float64)
        self._inner = np.maximum(scale - 0.5, 0.5)
        kinds = sorted({zone.anchor for zone in self._zones} | {line.anchor for line in self._lines})
        columns = [_CORNERS[kind][axis] for kind in kinds for axis in (0, 1)]
        self._anchors = np.array(columns, np.float64).reshape(-1, 4).T
        polygons = [np.array(zone.polygon) * scale for zone in self._zones]
        corners = np.concatenate([*polygons, np.zeros((0, 2))])
        ways = np.concatenate([*(np.roll(p, -1, axis=0) - p for p in polygons), np.zeros((0, 2))])
        lengths = [len(p) for p in polygons]
        self._starts = np.cumsum([0, *lengths[:-1]])
        self._edge_anchor = np.repeat([kinds.index(zone.anchor) for zone in self._zones], lengths).astype(np.intp)
        self._x, self._y = corners.T.copy()
        self._dx, self._dy = ways.T.copy()
        self._length2 = self._dx**2 + self._dy**2
        self._margin = np.array([zone.margin for zone in self._zones])
        self._inertia = np.array([zone.inertia_s for zone in self._zones]) - _SLACK_S
        self._line_anchor = np.array([kinds.index(line.anchor) for line in self._lines], np.intp)
        self._from = np.array([line.from_ for line in self._lines]).reshape(-1, 2) * scale
        self._to = np.array([line.to for line in self._lines]).reshape(-1, 2) * scale
        way = self._to - self._from
        self._along = way / np.maximum(np.hypot(way[:, 0], way[:, 1]), 1e-9)[:, None]
        self._band = np.array([line.margin for line in self._lines])
        self._patience = np.array([line.inertia_s for line in self._lines]) - _SLACK_S
