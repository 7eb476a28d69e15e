"""What a planner keeps of the past: what it spent, where it looked, how large things were, what stands still."""

from __future__ import annotations

from collections import deque

import numpy as np

from edgerun.boxes import containment, iou
from edgerun.motion import Motion
from edgerun.regions.crops import F64, Box, Canvas
from edgerun.types import F32, I64, Array, Mask, Tracks

GRID = (12, 16)
"""Rows and columns of the maps of when a part was looked at, and of how large objects are there."""
NEVER = -1e9
STILL_S = 1.5
"""A track whose box stayed in place this long stands still."""


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
        while self._spent and self._spent[0] <= now - self._window_s:
            self._spent.popleft()
        in_window = int(max(self._rate, 1.0)) - len(self._spent)
        return max(min(self._per_frame, int(self._bucket + 1e-6), in_window), 0)

    def spend(self, count: int, now: float) -> None:
        """Note that they are."""
        self._bucket -= count
        self._spent.extend([now] * count)


class LookedAt:
    """When each part of the frame was last looked at closely."""

    def __init__(self, frame: tuple[int, int]) -> None:
        rows, columns = GRID
        self._times = np.full(GRID, NEVER)
        self._x = (np.arange(columns) + 0.5) * max(frame[0], 1) / columns
        self._y = (np.arange(rows) + 0.5) * max(frame[1], 1) / rows

    def at(self, rows: I64, columns: I64) -> F64:
        """When cells were looked at."""
        times: F64 = self._times[rows, columns]
        return times

    def mark(self, cells: Mask | tuple[slice, slice], now: float) -> None:
        """Note that cells are looked at."""
        self._times[cells] = now

    def within(self, xyxy: Box) -> tuple[slice, slice]:
        """The cells whose centres a crop holds."""
        columns = slice(*self._x.searchsorted((xyxy[0], xyxy[2])).tolist())
        return slice(*self._y.searchsorted((xyxy[1], xyxy[3])).tolist()), columns

    def oldest(self, now: float) -> float:
        """How long the part that waited longest has waited."""
        return now - float(self._times.min())

    def oldest_at(self) -> tuple[float, float]:
        """The centre of the part that waited longest."""
        row, column = divmod(int(self._times.argmin()), GRID[1])
        return float(self._x[column]), float(self._y[row])

    def best_crop(self, x: float, y: float, scale: float, canvas: Canvas, before: float) -> Box:
        """Of the crops that hold a point, the one with most parts that were last looked at ``before`` a time."""
        width, height = canvas.side(scale)
        reach_x, reach_y = 0.45 * width, 0.45 * height
        crops = [canvas.around(x + dx * reach_x, y + dy * reach_y, scale) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
        waiting = [np.count_nonzero(self._times[self.within(crop)] <= before) for crop in crops]
        return crops[int(np.argmax(waiting))]


class Sizes:
    """How large objects are in each part of the frame, as the scale at which they fill the model's input."""

    def __init__(self) -> None:
        self._sum = np.zeros(GRID)
        self._count = np.zeros(GRID)
        self.expected = np.zeros(GRID)

    def learn(self, rows: I64, columns: I64, filling: F64) -> None:
        """Take in N sizes; the parts beside learn a little too, and old sizes fade."""
        down = np.exp(-0.25 * (np.arange(GRID[0])[:, None] - rows) ** 2)
        along = np.exp(-0.25 * (np.arange(GRID[1])[:, None] - columns) ** 2)
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
    have no motion upon them."""

    def __init__(self) -> None:
        self.still = np.zeros(0, np.bool_)
        self._anchors: dict[int, tuple[list[float], float]] = {}

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
        self._anchors = anchors
        self.still = _calm(tracks.xyxy, self.still, motion)


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
    if still.any() and motion is not None and len(motion.boxes):
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


def cells_of(boxes: Array, frame: tuple[int, int]) -> tuple[I64, I64]:
    """Row and column of each box's centre in a map of the frame."""
    rows, columns = GRID
    centre = boxes[:, :2] + boxes[:, 2:]
    places = (centre * (columns / (2 * frame[0]), rows / (2 * frame[1]))).astype(np.int64)
    places = np.minimum(np.maximum(places, 0), (columns - 1, rows - 1))
    return places[:, 1], places[:, 0]
