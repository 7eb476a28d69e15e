"""Hysteresis: from boxes that tremble to visits and passes that count once.

A track is inside a zone once its anchor stayed inside for ``inertia_s``, and has left once the anchor stayed clear
of the border for as long. A track is on a side of a line once its anchor stayed there, outside a band around the line,
for ``inertia_s``; it has passed when it changes from one side to the other, and the step that took it over the line's
course cut the line's own length, wherever it is by the time that it is told.
Only frames in which a track was seen count: a predicted box decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from edgerun.boxes import segments_touch
from edgerun.masks import every, some
from edgerun.types import F32, F64, I64, Mask
from edgerun.zones.options import Anchor, LineOptions, ZoneOptions
from edgerun.zones.rows import Rows

_SLACK_S = 1e-6
"""Forgives the rounding of times, so that 0.1 s thrice is 0.3 s."""
_CORNERS = {  # an anchor's x and y as parts of x1 y1 x2 y2
    "bottom": ((0.5, 0, 0.5, 0), (0, 0, 0, 1)),
    "center": ((0.5, 0, 0.5, 0), (0, 0.5, 0, 0.5)),
    "top": ((0.5, 0, 0.5, 0), (0, 1, 0, 0)),
    "left": ((1, 0, 0, 0), (0, 0.5, 0, 0.5)),
    "right": ((0, 0, 1, 0), (0, 0.5, 0, 0.5)),
}


class Zones(Rows):
    """All zones and lines of one camera, on a table of tracks.

    After an update, for N rows, Z zones and L lines: ``entered`` and ``left`` bool (N,Z), ``crossed`` i8 (N,L) with 1
    for left to right and -1 for right to left; ``changed``: somebody entered or left.
    """

    def __init__(self, zones: Mapping[str, ZoneOptions], lines: Mapping[str, LineOptions]) -> None:
        z, line = (len(zones),), (len(lines),)
        about: dict[str, Sequence[object]] = dict.fromkeys(("inside", "begun", "doubt"), tuple(zones.items()))
        about |= dict.fromkeys(("side", "other", "turn", "spot", "over"), tuple(lines.items()))
        fields = [
            ("inside", "?", z),  # counts as inside
            ("begun", "f8", z),  # how long the track had lived when the visit began; inf: there is none
            ("doubt", "f8", z),  # since when the anchor says otherwise; inf: it does not
            ("side", "i1", line),  # 1 right, -1 left, 0 not known yet
            ("other", "i1", line),  # on which side the anchor is now, 0 near the line
            ("turn", "f8", line),  # since when it is there, and not where the track is; inf: it is not
            ("spot", "f8", (*line, 2)),  # where the anchor last was on its side of the line itself, near it or not
            ("over", "f8", (*line, 2)),  # where it was when next seen
        ]
        super().__init__(fields, about)
        self.blank["begun"] = self.blank["doubt"] = self.blank["turn"] = np.inf
        self.names, self.line_names = tuple(zones), tuple(lines)
        self._zones, self._lines = tuple(zones.values()), tuple(lines.values())
        self.size = (0, 0)
        """The frames' width and height."""
        self._compile(1, 1)
        self.entered = self.left = np.zeros((0, len(zones)), np.bool_)
        self.crossed = np.zeros((0, len(lines)), np.int8)
        self.changed = False
        self._doubts = self._turning = True  # whether any row has a finite doubt or turn; True where in doubt

    @property
    def inside(self) -> Mask:
        """Who counts as inside now, bool (N,Z)."""
        within: Mask = self.table["inside"]
        return within

    def stays(self, life: F64) -> F64:
        """Seconds of each visit, f64 (N,Z), on the clock of ``update``'s ``life``; -inf for who is not inside."""
        seconds: F64 = life[:, None] - self.table["begun"]
        return seconds

    def update(self, xyxy: F32, extent: F32, seen: Mask, life: F64, now: float, size: tuple[int, int]) -> None:
        """Take one frame.

        ``xyxy`` (N,4) in pixels, ``extent`` (N,) the roots of their areas; ``seen`` (N,): the rows found in this frame;
        ``life`` (N,): for how many seconds each was seen so far; ``now``: seconds; ``size``: the frame's width and
        height.
        """
        self.changed = False
        count = len(self.table)
        self.entered = self.left = np.zeros((count, len(self._zones)), np.bool_)
        self.crossed = np.zeros((count, len(self._lines)), np.int8)
        points = self._points(xyxy, size)
        found = True if every(seen) else seen[:, None]
        if self._zones:
            self._update_zones(points, extent, found, life, now)
        if self._lines:
            self._update_lines(points, extent, found, now)

    def recall(self, rows: I64, xyxy: F32, since: F64, size: tuple[int, int]) -> None:
        """Take in where K new rows were first seen: boxes (K,4) in pixels, and when, seconds (K,)."""
        points = self._points(xyxy, size)
        if self._zones:
            within = self._within(points.take(self._edge_x, axis=1), points.take(self._edge_y, axis=1))
            self.table["doubt"][rows] = np.where(within, since[:, None], np.inf)
            self._doubts = True
        if self._lines:
            extent = np.sqrt((xyxy[:, 2] - xyxy[:, 0]) * (xyxy[:, 3] - xyxy[:, 1]))
            _, self.table["side"][rows], at = self._sides(points, extent)
            self.table["spot"][rows] = self.table["over"][rows] = at

    def settle(self, xyxy: F32, life: F64, size: tuple[int, int]) -> None:
        """Take in where all rows are, boxes (N,4) in pixels, when they have lived for ``life`` seconds (N,): whoever is
        inside a zone was so before anybody looked, and does not enter it."""
        self.recall(np.arange(len(xyxy)), xyxy, life, size)
        t = self.table
        t["begun"], t["inside"] = t["doubt"], t["doubt"] < np.inf
        t["doubt"] = np.inf

    def forget(self, rows: Mask) -> None:
        """Let rows, bool (N,), be in no zone, as if they had never been."""
        self.table["inside"][rows], self.table["begun"][rows] = False, np.inf

    def _points(self, xyxy: F32, size: tuple[int, int]) -> F64:
        """The anchors of N boxes, x and y of each kind. A box that the frame's edge cuts off has its anchor on the
        border of a zone that ends there."""
        if size != self.size:
            self._compile(*size)
        points: F64 = np.minimum(np.maximum(xyxy @ self._anchors, 0.5), self._inner)
        return points

    def leave(self, rows: Mask) -> None:
        """Let the rows that are over, bool (N,), leave wherever they are."""
        gone = self.table["inside"] & rows[:, None]
        if some(gone):
            self.left = self.left | gone
            self.table["inside"][gone], self.table["begun"][gone] = False, np.inf
            self.changed = True

    def _update_zones(self, points: F64, extent: F32, found: Mask | bool, life: F64, now: float) -> None:
        inside, doubt = self.table["inside"], self.table["doubt"]
        x, y = points.take(self._edge_x, axis=1), points.take(self._edge_y, axis=1)
        raw = self._within(x, y)
        differs = (raw != inside) & found
        if not some(differs):
            if self._doubts:
                np.copyto(doubt, np.inf, where=found)
                self._doubts = some(doubt < np.inf)
            return
        differs &= ~(inside & self._touches(x, y, extent))
        np.copyto(doubt, np.where(differs, np.minimum(doubt, now), np.inf), where=found)
        self._doubts = True
        flip = differs & (now - doubt >= self._inertia)
        if some(flip):
            self.entered, self.left = flip & ~inside, flip & inside
            inside ^= flip
            self.table["begun"][flip] = np.where(inside, life[:, None] - now + doubt, np.inf)[flip]
            doubt[flip] = np.inf
            self.changed = True

    def _within(self, x: F64, y: F64) -> Mask:
        """Which points are in which zones, bool (N,Z), by the even-odd rule: a ray to the left meets the edges that
        span its height and are left of the point there."""
        meets = ((y < self._y0) != (y < self._y1)) & (x > y * self._slope + self._base)
        within: Mask = np.logical_xor.reduceat(meets, self._starts, axis=1)
        return within

    def _touches(self, x: F64, y: F64, extent: F32) -> Mask:
        """Which points are within the margin of a zone's border."""
        from_x, from_y = x - self._x0, y - self._y0
        along = np.minimum(np.maximum((from_x * self._dx + from_y * self._dy) / self._length2, 0), 1)
        gap2 = (from_x - along * self._dx) ** 2 + (from_y - along * self._dy) ** 2
        touches: Mask = np.minimum.reduceat(gap2, self._starts, axis=1) <= (extent[:, None] * self._margin) ** 2
        return touches

    def _update_lines(self, points: F64, extent: F32, found: Mask | bool, now: float) -> None:
        t = self.table
        side, turn, spot, over = t["side"], t["turn"], t["spot"], t["over"]
        nearer, there, at = self._sides(points, extent)
        home = (there == side) & found
        if every(home):
            spot[:] = over[:] = at
            if self._turning:
                turn[:], self._turning = np.inf, False
            return
        back = (nearer == side) & found
        ahead = ~back & found & (spot == over).all(axis=2)
        np.copyto(spot, at, where=back[..., None])
        np.copyto(over, at, where=(back | ahead)[..., None])
        away = ~home & (there != 0) & found
        since = np.where(there == t["other"], np.minimum(turn, now), now)
        np.copyto(turn, np.where(away, since, np.inf), where=found)
        np.copyto(t["other"], there, where=found)
        self._turning = True
        arrived = away & (now - turn >= self._patience)
        if some(arrived):
            passed = arrived & (side != 0) & segments_touch(spot, over, self._from, self._to)
            self.crossed[passed] = there[passed]
            side[arrived], turn[arrived] = there[arrived], np.inf
            spot[arrived] = over[arrived] = at[arrived]

    def _sides(self, points: F64, extent: F32) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8], F64]:
        """On which side of each line each anchor is, i8 (N,L); the same with 0 near it; and where, f64 (N,L,2)."""
        distance = points @ self._normal - self._offset
        band = extent[:, None] * self._band
        nearer = (distance > 0).view(np.int8) - (distance < 0).view(np.int8)
        there = (distance > band).view(np.int8) - (distance < -band).view(np.int8)
        return nearer, there, points.reshape(len(points), len(self._inner) // 2, 2).take(self._line_anchor, axis=1)

    def _compile(self, width: int, height: int) -> None:
        """Polygons to one list of edges, lines to arrays, 0-1 to pixels."""
        self.size = (width, height)
        scale = np.array([width, height], np.float64)
        kinds = sorted({zone.anchor for zone in self._zones} | {line.anchor for line in self._lines})
        columns = [_CORNERS[kind][axis] for kind in kinds for axis in (0, 1)]
        self._anchors = np.array(columns, np.float64).reshape(-1, 4).T
        self._inner = np.tile(np.maximum(scale - 0.5, 0.5), len(kinds))
        self._compile_zones(kinds, scale)
        self._compile_lines(kinds, scale)

    def _compile_zones(self, kinds: list[Anchor], scale: F64) -> None:
        polygons = [np.array(zone.polygon) * scale for zone in self._zones]
        corners = np.concatenate([*polygons, np.zeros((0, 2))])
        nexts = np.concatenate([*(np.roll(p, -1, axis=0) for p in polygons), np.zeros((0, 2))])
        lengths = [len(p) for p in polygons]
        self._starts = np.cumsum([0, *lengths[:-1]])
        self._edge_x = 2 * np.repeat([kinds.index(zone.anchor) for zone in self._zones], lengths).astype(np.intp)
        self._edge_y = self._edge_x + 1
        (self._x0, self._y0), (x1, self._y1) = corners.T.copy(), nexts.T.copy()
        self._dx, self._dy = x1 - self._x0, self._y1 - self._y0
        self._length2 = self._dx**2 + self._dy**2
        self._slope = self._dx / np.where(self._dy == 0, 1, self._dy)  # a level edge spans no height
        self._base = self._x0 - self._y0 * self._slope
        self._margin = np.array([zone.margin for zone in self._zones])
        self._inertia = np.array([zone.inertia_s for zone in self._zones]) - _SLACK_S

    def _compile_lines(self, kinds: list[Anchor], scale: F64) -> None:
        self._line_anchor = np.array([kinds.index(line.anchor) for line in self._lines], np.intp)
        self._from = np.array([line.from_ for line in self._lines]).reshape(-1, 2) * scale
        self._to = np.array([line.to for line in self._lines]).reshape(-1, 2) * scale
        way = self._to - self._from
        along = way / np.maximum(np.hypot(way[:, 0], way[:, 1]), 1e-9)[:, None]
        right = np.stack([-along[:, 1], along[:, 0]], axis=1)  # of who looks along the line, on the screen
        self._normal = np.zeros((2 * len(kinds), len(self._lines)))
        every = np.arange(len(self._lines))
        self._normal[2 * self._line_anchor, every] = right[:, 0]
        self._normal[2 * self._line_anchor + 1, every] = right[:, 1]
        self._offset = (right * self._from).sum(axis=1)
        self._band = np.array([line.margin for line in self._lines])
        self._patience = np.array([line.inertia_s for line in self._lines]) - _SLACK_S
