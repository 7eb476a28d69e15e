"""Where to look: which parts of a frame are worth an inference, within a budget, and how their results are joined.

A detector with a small input loses small objects when the whole frame is squeezed into it. The planner lays crops
around what is of interest, of a size at which objects like those seen there before appear large enough. Of interest
are: new motion, tracks that move, tracks that stand still and are due for a check, and parts not looked at for long.

Pure: time comes from the stamps. ``plan`` may run in another thread than ``merge`` and ``learn``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

import numpy as np
from annotated_types import Gt, Interval

from edgerun.boxes import containment, iou, nms
from edgerun.crops import F64, Box, Canvas, Interests, choose
from edgerun.motion import Motion
from edgerun.types import F32, I64, Array, Detections, Mask, Stamp, Tracks

Reason: TypeAlias = Literal["motion", "track", "stationary", "sweep", "frame"]

REASONS: tuple[Reason, ...] = ("motion", "track", "stationary", "sweep", "frame")
MOTION, TRACK, STATIONARY = range(3)
GRID = (12, 16)
"""Rows and columns of the maps of when a part was looked at, and of how large objects are there."""
NEVER = -1e9
LEARN_S = 0.5
LATE_S = 0.5
"""Parts that waited twice as long as they should get one crop this often before all else."""
CLEAR_ENOUGH = 0.6
"""The whole frame is as good as a crop where objects appear at this part of the size they should."""
LIKELY = 0.3
"""A detection with this score is looked at again in the next frame, whether or not a track stands for it yet."""
STILL_S = 1.5
"""A track whose box stayed in place this long stands still."""
BLIND_S = 0.5
"""Where motion is not known, every part is looked at this often, as far as the budget goes."""
EDGE_PX = 3.0
"""A box that ends this near to a crop's border is taken as cut by it."""
MARGIN = 0.15
"""Room around an object, as a part of its longer side: for its motion since it was seen, and as context."""
MOST_INTERESTS = 24
"""Those that count most are considered; it bounds the planner's own cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionOptions:
    """How many parts of a frame are looked at, and how their results are joined."""

    mode: Literal["off", "on", "auto"] = "auto"
    """off: always the whole frame. on: crops. auto: crops, and the whole frame where it shows the objects well."""
    per_frame: Annotated[int, Interval(ge=1, le=64)] = 3
    """The most inferences for one frame."""
    per_second: Annotated[float, Gt(0)] = 30.0
    """The most inferences in any second for this camera."""
    recheck_s: Annotated[float, Gt(0)] = 2.0
    """An object that stands still is looked at again after this time."""
    sweep_s: Annotated[float, Gt(0)] = 10.0
    """Every part of the picture is looked at again after this time, so that nothing is overlooked for good."""
    object_part: Annotated[float, Interval(ge=0.05, le=0.6)] = 0.3
    """How large an object should appear: its longer side as a part of the crop."""
    enlarge: Annotated[float, Interval(ge=1, le=4)] = 1.5
    """How much a crop may be enlarged to the input of the model: small objects gain by it. 1: not at all."""
    overlap: Annotated[float, Interval(gt=0, lt=1)] = 0.5
    """Boxes of one class that overlap by more than this IoU are the same object."""
    cut_score: Annotated[float, Interval(ge=0, le=1)] = 0.3
    """What is left of the score of a box that a crop's border cuts: it is part of an object at best."""


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the frame to look at: x1 y1 x2 y2 in whole pixels inside the frame, and why."""

    xyxy: Box
    reason: Reason


class RegionPlanner:
    """Plans one camera's inferences. ``model_size`` is the width and height of the model's input."""

    def __init__(self, options: RegionOptions, model_size: tuple[int, int]) -> None:
        self._options = options
        self._model_size = model_size
        self._budget = _Budget(options.per_frame, options.per_second)
        self._begin((0, 0))

    def _begin(self, frame: tuple[int, int]) -> None:
        self._canvas = Canvas(frame, self._model_size, 1 / self._options.enlarge)
        self._looked = _LookedAt(frame)
        self._whole_at = self._swept_at = NEVER
        self._sizes = _Sizes()
        self._rest = _Rest()
        self._held: dict[int, Detections] = {}
        self._loose = np.zeros((0, 4), np.float32)
        self._learnt_at = NEVER

    def plan(self, motion: Motion | None, tracks: Tracks, stamp: Stamp) -> list[Region]:
        """The regions to infer now, the most important first; none: nothing changed, or the budget is spent.

        Without ``motion`` every frame may have changed.
        """
        if self._canvas.frame != (stamp.width, stamp.height):
            self._begin((stamp.width, stamp.height))
        now = stamp.captured
        self._rest.update(tracks, motion, now)
        allowed = self._budget.allowed(now)
        if self._options.mode == "off" or self._canvas.whole_scale <= 1.25 * self._canvas.least_scale:
            regions = self._plan_whole(motion, len(tracks) > 0, now)[:allowed]
        else:
            regions = self._plan_crops(motion, tracks, allowed, now)
        self._budget.spend(len(regions), now)
        self._hold(tracks, regions, stamp.seq)
        return regions

    def merge(self, parts: Sequence[tuple[Detections, Region]], stamp: Stamp) -> Detections:
        """One frame's detections from those of its regions, best first.

        Boxes that a crop's border cuts lose most of their score, and go where a better box contains most of them.
        Objects that stand still in parts not looked at are taken to be still there.
        """
        held = self._held.pop(stamp.seq, Detections.empty())
        found = [part for part, _ in parts] + [held]
        cut = _cut(parts, self._canvas.frame, len(held))
        score = np.concatenate([part.score for part in found])
        score[cut] *= self._options.cut_score
        joined = Detections(
            np.concatenate([part.xyxy for part in found]), score, np.concatenate([part.class_id for part in found])
        )
        kept = nms(joined.xyxy, joined.score, joined.class_id, self._options.overlap)
        joined, cut = joined.take(kept), cut[kept]
        if cut.any():
            joined = joined.take(~_fragments(joined, cut))
        self._loose = joined.xyxy[joined.score >= LIKELY]
        return joined

    def learn(self, tracks: Tracks, stamp: Stamp) -> None:
        """Take in the sizes of what was seen."""
        if stamp.captured - self._learnt_at < LEARN_S:
            return
        self._learnt_at = stamp.captured
        border = np.array([0, 0, stamp.width, stamp.height])
        cut = (np.abs(tracks.xyxy - border) < EDGE_PX).any(axis=1)
        good = tracks.xyxy[tracks.seen & ~cut]
        if len(good):
            self._sizes.learn(*_cells(good, self._canvas.frame), self._filling(good))

    def _plan_whole(self, motion: Motion | None, tracking: bool, now: float) -> list[Region]:
        wait = self._options.recheck_s if tracking else self._options.sweep_s
        changed = motion is None or motion.moving or motion.settling
        return [self._look_whole(now)] if changed or now - self._whole_at >= wait else []

    def _plan_crops(self, motion: Motion | None, tracks: Tracks, allowed: int, now: float) -> list[Region]:
        blind = motion is None or motion.settling
        wait = BLIND_S if blind else self._options.sweep_s
        late = self._looked.oldest(now) > 2 * self._options.sweep_s and now - self._swept_at > LATE_S
        interests, reasons = self._interests(motion, tracks, now)
        crops = choose(interests, self._canvas, allowed - late, whole_allowed=self._options.mode == "auto")
        regions = []
        for crop in crops:
            if crop.xyxy == self._canvas.whole:
                regions.append(self._look_whole(now))
            else:
                regions.append(self._look(crop.xyxy, REASONS[min(reasons[row] for row in crop.members)], now))
        while len(regions) < allowed and self._looked.oldest(now) >= wait:
            regions.append(self._sweep(wait, now))
        return regions

    def _look_whole(self, now: float) -> Region:
        self._whole_at = now
        clear = self._sizes.expected >= CLEAR_ENOUGH * self._options.object_part * self._canvas.whole_scale
        self._looked.mark(clear, now)
        return Region(self._canvas.whole, "frame")

    def _look(self, xyxy: Box, reason: Reason, now: float) -> Region:
        self._looked.mark(self._looked.within(xyxy), now)
        return Region(xyxy, reason)

    def _sweep(self, wait: float, now: float) -> Region:
        """The crop that shows most of what was not looked at for ``wait``; now and then the whole frame."""
        self._swept_at = now
        if now - self._whole_at >= self._options.sweep_s:
            return self._look_whole(now)
        x, y = self._looked.oldest_at()
        filling = float(self._sizes.at(*_cells(np.array([[x, y, x, y]]), self._canvas.frame))[0])
        # nothing learnt: half the frame's shorter side, a guess that shows things twice as large as the whole frame
        scale = filling / self._options.object_part if filling else min(self._canvas.frame) / max(self._model_size) / 2
        scale = min(max(scale, self._canvas.least_scale), self._canvas.whole_scale)
        return self._look(self._looked.best_crop(x, y, scale, self._canvas, now - wait), "sweep", now)

    def _filling(self, boxes: F32) -> F64:
        """The scales at which boxes would just fill the model's input."""
        filling: F64 = ((boxes[:, 2:] - boxes[:, :2]) / self._model_size).max(axis=1)
        return filling

    def _interests(self, motion: Motion | None, tracks: Tracks, now: float) -> tuple[Interests, list[int]]:
        """What should be seen in this frame, and each one's row in REASONS."""
        options, canvas = self._options, self._canvas
        loose = self._loose
        if len(loose) and len(tracks):
            loose = loose[iou(loose, tracks.xyxy).max(axis=1) < 0.3]
        known = np.concatenate([tracks.xyxy, loose])
        moved = self._unexplained(motion, known)
        boxes = np.concatenate([known, moved])
        cells = _cells(boxes, canvas.frame)
        waited = now - self._looked.at(*cells)
        rest = np.zeros(len(boxes), np.bool_)
        rest[: len(tracks)] = self._rest.still
        filling = self._filling(boxes)
        if len(moved):  # the box may be a part of the object, or several objects
            learnt = self._sizes.at(*cells)[len(known) :]
            filling[len(known) :] = np.where(learnt > 0, learnt, filling[len(known) :])
        urgency = np.minimum(waited, 1)
        weight = np.where(rest, np.minimum(waited / options.recheck_s, 4), 2 + urgency)
        weight[len(known) :] = 0.5 + 3.5 * urgency[len(known) :]  # where nothing was found just now it is likely noise
        grown = np.minimum(np.maximum(_grown(boxes, MARGIN), 0), canvas.frame * 2)
        visible = (grown[:, 2:] > grown[:, :2]).all(axis=1)
        chosen = np.flatnonzero(visible & (~rest | (waited >= options.recheck_s)))
        if len(chosen) > MOST_INTERESTS:
            chosen = chosen[np.argsort(-weight[chosen], kind="stable")[:MOST_INTERESTS]]
        reasons = [MOTION if row >= len(known) else STATIONARY if rest[row] else TRACK for row in chosen.tolist()]
        scale = np.minimum(np.maximum(filling[chosen] / options.object_part, canvas.least_scale), canvas.whole_scale)
        return Interests(grown[chosen].astype(np.float64), scale, weight[chosen]), reasons

    def _unexplained(self, motion: Motion | None, known: F32) -> F32:
        """Motion boxes that no known object accounts for, the large ones cut into pieces that fit into crops."""
        if motion is None or not len(motion.boxes):
            return np.zeros((0, 4), np.float32)
        boxes = motion.boxes
        if len(known):
            boxes = boxes[containment(boxes, _grown(known, 2 * MARGIN)).max(axis=1) < 0.6]
        pieces = [np.zeros((0, 4), np.float32)]
        sizes = self._sizes.at(*_cells(boxes, self._canvas.frame)).tolist() if len(boxes) else ()
        for box, learnt in zip(boxes, sizes, strict=True):
            width, height = self._canvas.side(max(learnt / self._options.object_part, self._canvas.least_scale))
            if learnt and (box[2] - box[0] > 0.7 * width or box[3] - box[1] > 0.7 * height):
                pieces.append(_pieces(box, (0.7 * width, 0.7 * height)))
            else:
                pieces.append(box[None])
        return np.concatenate(pieces)

    def _hold(self, tracks: Tracks, regions: Sequence[Region], seq: int) -> None:
        """Keep what stands still and is not looked at now for the merge of this frame."""
        held = self._rest.still.copy()
        if regions and held.any():
            looked = np.array([region.xyxy for region in regions], np.float32)
            held &= containment(tracks.xyxy, looked).max(axis=1) < 0.98
        self._held[seq] = Detections(tracks.xyxy[held], tracks.score[held], tracks.class_id[held])
        while len(self._held) > 16:  # frames dropped on their way never come to be merged
            self._held.pop(next(iter(self._held)))


class _Budget:
    """A cap per frame and per second: a bucket spreads the inferences over the second, a window makes the cap hard."""

    def __init__(self, per_frame: int, per_second: float) -> None:
        self._per_frame = per_frame
        self._rate = per_second
        self._window_s = max(1.0, 1 / per_second)
        self._bucket = float(per_frame)
        self._at = NEVER
        self._spent: deque[float] = deque()

    def allowed(self, now: float) -> int:
        self._bucket = min(self._bucket + (now - self._at) * self._rate, max(self._per_frame, 1.0))
        self._at = now
        while self._spent and self._spent[0] <= now - self._window_s:
            self._spent.popleft()
        in_window = int(max(self._rate, 1.0)) - len(self._spent)
        return max(min(self._per_frame, int(self._bucket + 1e-6), in_window), 0)

    def spend(self, count: int, now: float) -> None:
        self._bucket -= count
        self._spent.extend([now] * count)


class _LookedAt:
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


class _Sizes:
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


class _Rest:
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
        if self.still.any() and motion is not None and len(motion.boxes):
            self.still &= containment(tracks.xyxy, motion.boxes).max(axis=1) < 0.1


def _in_place(box: list[float], anchor: list[float]) -> bool:
    """Whether a box moved by less than a fifth of its sides, and kept its size as well."""
    width, height = 0.2 * (anchor[2] - anchor[0]), 0.2 * (anchor[3] - anchor[1])
    return (
        abs(box[0] - anchor[0]) <= width
        and abs(box[2] - anchor[2]) <= width
        and abs(box[1] - anchor[1]) <= height
        and abs(box[3] - anchor[3]) <= height
    )


def _cells(boxes: Array, frame: tuple[int, int]) -> tuple[I64, I64]:
    """Row and column of each box's centre in a map of the frame."""
    rows, columns = GRID
    centre = boxes[:, :2] + boxes[:, 2:]
    places = (centre * (columns / (2 * frame[0]), rows / (2 * frame[1]))).astype(np.int64)
    places = np.minimum(np.maximum(places, 0), (columns - 1, rows - 1))
    return places[:, 1], places[:, 0]


def _grown(boxes: F32, part: float) -> F32:
    """Boxes wider on all sides by a part of their longer side."""
    margin = part * (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True)
    grown: F32 = boxes + margin * np.array([-1, -1, 1, 1], np.float32)
    return grown


def _pieces(box: F32, most: tuple[float, float]) -> F32:
    """A box cut evenly into at most 4 x 4 pieces no larger than ``most`` wide and high, as far as that goes."""
    columns, rows = np.clip(np.ceil((box[2:] - box[:2]) / most), 1, 4).astype(int)
    x = np.linspace(box[0], box[2], columns + 1)
    y = np.linspace(box[1], box[3], rows + 1)
    pieces = [[x[i], y[j], x[i + 1], y[j + 1]] for j in range(rows) for i in range(columns)]
    return np.array(pieces, np.float32)


def _cut(parts: Sequence[tuple[Detections, Region]], frame: tuple[int, int], others: int) -> Mask:
    """Which boxes end at a border of their region that is not the frame's; False for ``others`` more."""
    cut = np.zeros(sum(len(part) for part, _ in parts) + others, np.bool_)
    start = 0
    for part, region in parts:
        border = np.array(region.xyxy, np.float32)
        border[border == (0, 0, *frame)] = np.inf
        cut[start : start + len(part)] = (np.abs(part.xyxy - border) < EDGE_PX).any(axis=1)
        start += len(part)
    return cut


def _fragments(found: Detections, cut: Mask) -> Mask:
    """Which boxes are cut and lie mostly within another box of their class, which is whole or at least as good."""
    inside = (containment(found.xyxy, found.xyxy) > 0.7) & (found.class_id[:, None] == found.class_id)
    inside &= cut[:, None] & ~(cut & (found.score <= found.score[:, None]))
    np.fill_diagonal(inside, False)
    fragments: Mask = inside.any(axis=1)
    return fragments
