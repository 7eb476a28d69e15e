"""What a planner keeps of the past: what it spent, where it looked, how large things were, what stands still."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection
from itertools import compress

import numpy as np

from edgerun.boxes import containment, iou
from edgerun.masks import some
from edgerun.motion import Motion
from edgerun.regions.crops import Canvas
from edgerun.types import F32, F64, I64, Array, Box, Mask, Tracks

NEVER = -1e9
TINY = 1e-6
STILL_S = 1.5
"""A track whose box stayed in place this long stands still."""
MISSED_S, MISSED_LOOKS = 3.0, 3.5
"""What is not found any more is sought where it was for so long, and so many frames at least: a detector misses things
now and then, and who stands still brings no motion that would have it looked at again."""


class Budget:
    """A cap per frame and per second: a bucket spreads the inferences over the second, a window makes the cap hard."""

    def __init__(self, per_frame: int, per_second: float) -> None:
        self._per_frame = per_frame
        self._rate = per_second
        self._window_s = max(1.0, 1 / per_second)
        self._bucket = float(per_frame)
        self._at = NEVER
        self._spent: deque[float] = deque()

    def allowed(self, now: float) -> int:
        """How many inferences may be spent now."""
        self._bucket = min(self._bucket + (now - self._at) * self._rate, self._per_frame)
        self._at = now
        while self._spent and self._spent[0] <= now - self._window_s + TINY:
            self._spent.popleft()
        in_window = int(max(self._rate, 1.0)) - len(self._spent)
        return max(min(self._per_frame, int(self._bucket + 1e-6), in_window), 0)

    def takes(self, count: int, now: float, leave: int = 0) -> bool:
        """Whether so many may be spent now, and ``leave`` others left; then they are. More than there ever are at once
        may be once all are there, at the cost of those that come."""
        fits = self.allowed(now) >= min(count + leave, self._per_frame, int(max(self._rate, 1.0)))
        if fits:
            self.spend(count, now)
        return fits

    def spend(self, count: int, now: float) -> None:
        """Note that they are."""
        self._bucket -= count
        self._spent.extend([now] * count)


class Grid:
    """The frame in cells, three to the side of the smallest crop, so that each crop holds some cells wholly."""

    def __init__(self, canvas: Canvas) -> None:
        (width, height), side = canvas.frame, canvas.side(canvas.least_scale)
        self.columns, self.rows = math.ceil(3 * width / side[0]), math.ceil(3 * height / side[1])
        self.cell = width / self.columns, height / self.rows

    def of(self, boxes: Array) -> tuple[I64, I64]:
        """Row and column of the cell in which each box has its centre."""
        places = ((boxes[:, :2] + boxes[:, 2:]) / (2 * self.cell[0], 2 * self.cell[1])).astype(np.int64)
        places = np.minimum(np.maximum(places, 0), (self.columns - 1, self.rows - 1))
        return places[:, 1], places[:, 0]

    def within(self, xyxy: Box) -> tuple[slice, slice]:
        """Rows and columns of the cells that lie wholly in a box."""
        (left, right), (top, bottom) = (
            (xyxy[axis] / side, xyxy[axis + 2] / side) for axis, side in enumerate(self.cell)
        )
        return slice(math.ceil(top - TINY), int(bottom + TINY)), slice(math.ceil(left - TINY), int(right + TINY))

    def centre(self, row: int, column: int) -> tuple[float, float]:
        """The middle of a cell in pixels."""
        return (column + 0.5) * self.cell[0], (row + 0.5) * self.cell[1]


class LookedAt:
    """When each cell was last looked at closely."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._times = np.full((grid.rows, grid.columns), NEVER)

    def at(self, rows: I64, columns: I64) -> F64:
        """When cells were looked at."""
        times: F64 = self._times[rows, columns]
        return times

    def mark(self, cells: Mask | tuple[slice, slice], now: float) -> None:
        """Note that cells are looked at."""
        self._times[cells] = now

    def oldest(self, now: float) -> float:
        """How long the cell that waited longest has waited."""
        return now - float(self._times.min())

    def oldest_at(self) -> tuple[int, int]:
        """Row and column of the cell that waited longest."""
        row, column = divmod(int(self._times.argmin()), self._grid.columns)
        return row, column

    def best_crop(self, row: int, column: int, scale: float, canvas: Canvas, before: float) -> Box:
        """Of the crops that hold a cell, the one with most cells that were last looked at ``before`` a time."""
        x, y = self._grid.centre(row, column)
        reach = [max((side - cell) / 2 - 2, 0) for side, cell in zip(canvas.side(scale), self._grid.cell, strict=True)]
        crops = [canvas.around(x + dx * reach[0], y + dy * reach[1], scale) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
        waiting = [np.count_nonzero(self._times[self._grid.within(crop)] <= before) for crop in crops]
        return crops[int(np.argmax(waiting))]


class Sizes:
    """How large objects are in each cell, as the scale at which they fill the model's input."""

    def __init__(self, grid: Grid) -> None:
        self._rows, self._columns = np.arange(grid.rows)[:, None], np.arange(grid.columns)[:, None]
        self._sum = np.zeros((grid.rows, grid.columns))
        self._count = np.zeros((grid.rows, grid.columns))
        self.expected = np.zeros((grid.rows, grid.columns))

    def learn(self, rows: I64, columns: I64, filling: F64) -> None:
        """Take in N sizes; the cells beside learn a little too, and old sizes fade."""
        down = np.exp(-0.25 * (self._rows - rows) ** 2)
        along = np.exp(-0.25 * (self._columns - columns) ** 2)
        fading = np.minimum(1, 50 / np.maximum(self._count, 1))
        self._sum = self._sum * fading + (down * filling) @ along.T
        self._count = self._count * fading + down @ along.T
        overall = self._sum.sum() / self._count.sum()
        self.expected = np.where(self._count > 0.5, self._sum / np.maximum(self._count, 1e-9), overall)

    def at(self, rows: I64, columns: I64) -> F64:
        """What to expect in cells; 0 where nothing is known anywhere."""
        sizes: F64 = self.expected[rows, columns]
        return sizes


class Rest:
    """Which tracks stand still: ``still`` bool (M,) is True for those that are seen, stayed in place for a while and
    have no motion upon them. ``missed`` f32 (K,4): where others were, whose tracks ended a moment ago."""

    def __init__(self) -> None:
        self.still = np.zeros(0, np.bool_)
        self.missed = np.zeros((0, 4), np.float32)
        self.waited = np.zeros(0)
        """For how many seconds no region has shown each track wholly."""
        self._shown: dict[int, float] = {}
        self._anchors: dict[int, tuple[list[float], float]] = {}
        self._missed: list[tuple[list[float], float]] = []
        self._updated_at = NEVER

    def update(self, tracks: Tracks, motion: Motion | None, now: float) -> None:
        """Take in the tracks of the last frame."""
        anchors = {}
        self.still = np.zeros(len(tracks), np.bool_)
        rows = zip(tracks.track_id.tolist(), tracks.xyxy.tolist(), tracks.seen.tolist(), strict=True)
        for row, (track_id, box, seen) in enumerate(rows):
            anchor, since = self._anchors.get(track_id, (box, now))
            if not _in_place(box, anchor):
                anchor, since = box, now
            anchors[track_id] = anchor, since
            self.still[row] = seen and now - since >= STILL_S
        self._shown = {track_id: self._shown.get(track_id, now) for track_id in anchors}
        self.waited = now - np.array(list(self._shown.values()))
        self._note_missed(self._anchors.keys() - anchors.keys(), tracks, now)
        self._anchors = anchors
        self.still = _calm(tracks.xyxy, self.still, motion)

    def note_shown(self, shown: Mask, now: float) -> None:
        """Tell which of the tracks are wholly in a region of this frame."""
        self._shown.update(dict.fromkeys(compress(self._shown, shown.tolist()), now))

    def _note_missed(self, gone: Collection[int], tracks: Tracks, now: float) -> None:
        if self._missed or gone:
            latest = now - max(MISSED_S, MISSED_LOOKS * (now - self._updated_at))
            self._missed = [(box, at) for box, at in self._missed if at >= latest]
            self._missed += [(self._anchors[track_id][0], now) for track_id in gone]
            self.missed = np.array([box for box, _ in self._missed], np.float32).reshape(-1, 4)
            if len(self.missed) and len(tracks):
                alone = iou(self.missed, tracks.xyxy).max(axis=1) < 0.3
                self.missed, self._missed = self.missed[alone], list(compress(self._missed, alone))
        self._updated_at = now


class Loose:
    """Boxes likely to be objects, which no track stands for yet: f32 (N,4), and since when each was there."""

    def __init__(self, xyxy: F32 | None = None, since: F64 | None = None) -> None:
        self._xyxy = np.zeros((0, 4), np.float32) if xyxy is None else xyxy
        self._since = np.zeros(0) if since is None else since

    def renewed(self, xyxy: F32, now: float) -> Loose:
        """Those found now; where there was one before, it is the same."""
        since = np.full(len(xyxy), now)
        if len(xyxy) and len(self._xyxy):
            same = iou(xyxy, self._xyxy)
            best = same.argmax(axis=1)
            known = same[np.arange(len(xyxy)), best] >= 0.5
            since[known] = self._since[best[known]]
        return Loose(xyxy, since)

    def beside(self, tracked: F32, motion: Motion | None, now: float) -> tuple[F32, Mask]:
        """Those that are no track, and which of them were there for a while with no motion upon them."""
        xyxy, since = self._xyxy, self._since
        if len(xyxy) and len(tracked):
            alone = iou(xyxy, tracked).max(axis=1) < 0.3
            xyxy, since = xyxy[alone], since[alone]
        return xyxy, _calm(xyxy, now - since >= STILL_S, motion)


def _calm(boxes: F32, still: Mask, motion: Motion | None) -> Mask:
    """Which of those that stand still have no motion upon them."""
    if some(still) and motion is not None and len(motion.boxes):
        still = still & (containment(boxes, motion.boxes).max(axis=1) < 0.1)
    return still


def _in_place(box: list[float], anchor: list[float]) -> bool:
    """Whether a box moved by less than a fifth of its sides, and kept its size as well."""
    width, height = 0.2 * (anchor[2] - anchor[0]), 0.2 * (anchor[3] - anchor[1])
    return (
        abs(box[0] - anchor[0]) <= width
        and abs(box[2] - anchor[2]) <= width
        and abs(box[1] - anchor[1]) <= height
        and abs(box[3] - anchor[3]) <= height
    )
