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
STILL_S = 1.5
"""A track whose box stayed in place this long stands still."""
BLIND_S = 0.5
"""Where motion is not known, every part is looked at this often, as far as the budget goes."""
EDGE_PX = 3.0
"""A box that ends this near to a crop's border is taken as cut by it."""
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
    enlarge: Annotated[float, Interval(ge=1, le=4)] = 1.0
    """How much a crop may be enlarged to the model's input; 1: no crop is smaller than the input."""
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
        self._whole_at = NEVER
        self._sizes = _Sizes(frame)
        self._rest = _Rest()
        self._held: dict[int, Detections] = {}
        self._loose = np.zeros((0, 4), np.float32)

    def plan(self, motion: Motion | None, tracks: Tracks, stamp: Stamp) -> list[Region]:
        """The regions to infer now, the most important first; none: nothing changed, or the budget is spent.

        Without ``motion`` every frame may have changed.
        """
        if self._canvas.frame != (stamp.width, stamp.height):
            self._begin((stamp.width, stamp.height))
        now = stamp.captured
        still = self._rest.update(tracks, motion, now)
        allowed = self._budget.allowed(now)
        if self._options.mode == "off" or self._canvas.whole_scale <= 1.25 * self._canvas.least_scale:
            regions = self._plan_whole(motion, len(tracks) > 0, now)[:allowed]
        else:
            regions = self._plan_crops(motion, tracks, still, allowed, now)
        self._budget.spend(len(regions), now)
        self._hold(tracks, still, regions, stamp.seq)
        return regions

    def merge(self, parts: Sequence[tuple[Detections, Region]], stamp: Stamp) -> Detections:
        """One frame's detections from those of its regions, best first.

        Boxes that a crop's border cuts lose most of their score, and go where a better box contains most of them.
        Objects that stand still in parts not looked at are taken to be still there.
        """
        held = self._held.pop(stamp.seq, Detections.empty())
        cut = np.concatenate(
            [
                *(_cut(part.xyxy, region.xyxy, self._canvas.frame) for part, region in parts),
                np.zeros(len(held), np.bool_),
            ]
        )
        found = [part for part, _ in parts] + [held]
        score = np.concatenate([part.score for part in found])
        score[cut] *= self._options.cut_score
        joined = Detections(
            np.concatenate([part.xyxy for part in found]), score, np.concatenate([part.class_id for part in found])
        )
        kept = nms(joined.xyxy, joined.score, joined.class_id, self._options.overlap)
        joined, cut = joined.take(kept), cut[kept]
        joined = joined.take(~_fragments(joined, cut))
        self._loose = joined.xyxy[joined.score >= 0.3]
        return joined

    def learn(self, tracks: Tracks, stamp: Stamp) -> None:
        """Take in the sizes of what was seen."""
        whole = np.array([0, 0, stamp.width, stamp.height])
        cut = np.any(np.abs(tracks.xyxy - whole) < EDGE_PX, axis=1)
        good = tracks.xyxy[tracks.seen & ~cut]
        if len(good):
            self._sizes.learn(good, self._filling(good))

    def _plan_whole(self, motion: Motion | None, tracking: bool, now: float) -> list[Region]:
        wait = self._options.recheck_s if tracking else self._options.sweep_s
        changed = motion is None or motion.moving or motion.settling
        return [self._look_whole(now)] if changed or now - self._whole_at >= wait else []

    def _plan_crops(self, motion: Motion | None, tracks: Tracks, still: Mask, allowed: int, now: float) -> list[Region]:
        blind = motion is None or motion.settling
        wait = BLIND_S if blind else self._options.sweep_s
        late = self._looked.oldest(now) > 2 * self._options.sweep_s
        interests, reasons = self._interests(motion, tracks, still, now)
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
        return Region(self._canvas.whole, "frame")

    def _look(self, xyxy: Box, reason: Reason, now: float) -> Region:
        self._looked.mark(xyxy, now)
        return Region(xyxy, reason)

    def _sweep(self, wait: float, now: float) -> Region:
        """The crop that shows most of what was not looked at for ``wait``; now and then the whole frame."""
        if now - self._whole_at >= self._options.sweep_s:
            return self._look_whole(now)
        x, y = self._looked.oldest_at()
        filling = self._sizes.at(np.array([[x, y, x, y]], np.float32))[0]
        scale = filling / self._options.object_part if filling else min(self._canvas.frame) / max(self._model_size) / 2
        scale = float(np.clip(scale, self._canvas.least_scale, self._canvas.whole_scale))
        return self._look(self._looked.best_crop(x, y, scale, self._canvas, now - wait), "sweep", now)

    def _filling(self, boxes: F32) -> F64:
        """The scales at which boxes would just fill the model's input."""
        filling: F64 = ((boxes[:, 2:] - boxes[:, :2]) / np.array(self._model_size, np.float64)).max(axis=1)
        return filling

    def _interests(self, motion: Motion | None, tracks: Tracks, still: Mask, now: float) -> tuple[Interests, Array]:
        """What should be seen in this frame, and each one's row in REASONS."""
        loose = self._loose
        if len(loose) and len(tracks):
            loose = loose[iou(loose, tracks.xyxy).max(axis=1) < 0.3]
        known = np.concatenate([tracks.xyxy, loose])
        rest = np.concatenate([still, np.zeros(len(loose), np.bool_)])
        moved = self._unexplained(motion, known)
        boxes = np.concatenate([known, moved])
        reason = np.concatenate([np.where(rest, STATIONARY, TRACK), np.full(len(moved), MOTION)])
        waited = now - self._looked.at(boxes)
        learnt = self._sizes.at(boxes)
        filling = self._filling(boxes)
        filling = np.where((reason == MOTION) & (learnt > 0), learnt, filling)
        weight = np.choose(
            reason,
            [
                0.5 + 3.5 * np.clip(waited, 0, 1),  # motion in which nothing was found just now is likely to be noise
                2 + np.clip(waited, 0, 1),
                np.clip(waited / self._options.recheck_s, 0, 4),
            ],
        )
        order = np.argsort(-weight, kind="stable")[:MOST_INTERESTS]
        order = order[(reason[order] != STATIONARY) | (waited[order] >= self._options.recheck_s)]
        grown = np.clip(_grown(boxes, 0.15), 0, np.tile(self._canvas.frame, 2))
        scale = np.clip(filling / self._options.object_part, self._canvas.least_scale, self._canvas.whole_scale)
        return Interests(grown[order].astype(np.float64), scale[order], weight[order]), reason[order]

    def _unexplained(self, motion: Motion | None, known: F32) -> F32:
        """Motion boxes that no known object accounts for, the large ones cut into pieces that fit into crops."""
        if motion is None or not len(motion.boxes):
            return np.zeros((0, 4), np.float32)
        boxes = motion.boxes
        if len(known):
            boxes = boxes[containment(boxes, _grown(known, 0.3)).max(axis=1) < 0.6]
        learnt = self._sizes.at(boxes)
        scale = np.maximum(learnt / self._options.object_part, self._canvas.least_scale)
        pieces = [
            _pieces(box, 0.7 * side) if size else box[None]
            for box, size, side in zip(boxes, learnt, self._canvas.sides(scale), strict=True)
        ]
        return np.concatenate([np.zeros((0, 4), np.float32), *pieces])

    def _hold(self, tracks: Tracks, still: Mask, regions: Sequence[Region], seq: int) -> None:
        """Keep what stands still and is not looked at now for the merge of this frame."""
        held = still.copy()
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
        self._cell = np.array([max(frame[0], 1) / columns, max(frame[1], 1) / rows])
        self._times = np.full(GRID, NEVER)
        x, y = np.meshgrid((np.arange(columns) + 0.5), (np.arange(rows) + 0.5))
        self._centres = np.stack([x, y], axis=-1).reshape(-1, 2) * self._cell

    def at(self, boxes: F32) -> F64:
        """The time that each box's centre was looked at."""
        rows, columns = _cell_of(boxes, self._cell)
        return self._times[rows, columns]

    def mark(self, xyxy: Box, now: float) -> None:
        self._times.ravel()[self._within(np.array([xyxy]))[0]] = now

    def _within(self, crops: Array) -> Mask:
        """Which cell's centre lies in which crop, bool (K, cells)."""
        inside: Mask = np.all((self._centres >= crops[:, None, :2]) & (self._centres <= crops[:, None, 2:]), axis=2)
        return inside

    def oldest(self, now: float) -> float:
        """How long the part that waited longest has waited."""
        return now - float(self._times.min())

    def oldest_at(self) -> tuple[float, float]:
        x, y = self._centres[int(self._times.argmin())]
        return float(x), float(y)

    def best_crop(self, x: float, y: float, scale: float, canvas: Canvas, before: float) -> Box:
        """Of the crops that hold a point, the one with most parts that were last looked at ``before`` a time."""
        width, height = canvas.sides(np.array([scale]))[0] / 2 - self._cell
        crops = [canvas.around(x + dx * width, y + dy * height, scale) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
        waiting = self._within(np.array(crops)) @ (self._times.ravel() <= before)
        return crops[int(np.argmax(waiting))]


class _Sizes:
    """How large objects are in each part of the frame, as the scale at which they fill the model's input."""

    def __init__(self, frame: tuple[int, int]) -> None:
        rows, columns = GRID
        self._cell = np.array([max(frame[0], 1) / columns, max(frame[1], 1) / rows])
        self._mean = np.zeros(GRID)
        self._count = np.zeros(GRID)

    def learn(self, boxes: F32, filling: F64) -> None:
        """Take in N boxes; a part's neighbours learn a little too, and old sizes fade."""
        rows, columns = _cell_of(boxes, self._cell)
        near = np.exp(
            -0.25
            * (
                (np.arange(GRID[0])[None, :, None] - rows[:, None, None]) ** 2
                + (np.arange(GRID[1])[None, None, :] - columns[:, None, None]) ** 2
            )
        )
        share = near.sum(axis=0)
        total = self._count + share
        self._mean = self._mean + (np.tensordot(filling, near, 1) - self._mean * share) / np.maximum(total, 1e-12)
        self._count = np.minimum(total, 200.0)

    def at(self, boxes: F32) -> F64:
        """What to expect around each box's centre; 0 where nothing is known anywhere."""
        rows, columns = _cell_of(boxes, self._cell)
        count = self._count.sum()
        if not count:
            return np.zeros(len(boxes))
        overall = float((self._mean * self._count).sum() / count)
        sizes: F64 = np.where(self._count[rows, columns] > 1, self._mean[rows, columns], overall)
        return sizes


class _Rest:
    """Which tracks stand still."""

    def __init__(self) -> None:
        self._ids: I64 = np.zeros(0, np.int64)
        self._anchor = np.zeros((0, 4), np.float32)
        self._since = np.zeros(0)

    def update(self, tracks: Tracks, motion: Motion | None, now: float) -> Mask:
        """True for tracks that are seen, stayed in place for a while, and have no motion upon them."""
        anchor, since = tracks.xyxy.copy(), np.full(len(tracks), now)
        _, mine, old = np.intersect1d(tracks.track_id, self._ids, assume_unique=True, return_indices=True)
        stayed = np.diagonal(iou(tracks.xyxy[mine], self._anchor[old])) >= 0.6
        mine, old = mine[stayed], old[stayed]
        anchor[mine], since[mine] = self._anchor[old], self._since[old]
        self._ids, self._anchor, self._since = tracks.track_id, anchor, since
        still: Mask = tracks.seen & (now - since >= STILL_S)
        if motion is not None and len(motion.boxes) and len(tracks):
            still = still & (containment(tracks.xyxy, motion.boxes).max(axis=1) < 0.1)
        return still


def _cell_of(boxes: F32, cell: F64) -> tuple[I64, I64]:
    """Row and column of each box's centre in a map."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    places = np.clip(centre / cell, 0, [GRID[1] - 1, GRID[0] - 1]).astype(np.int64)
    return places[:, 1], places[:, 0]


def _grown(boxes: F32, part: float) -> F32:
    """Boxes wider on all sides by a part of their longer side."""
    margin = part * (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0, keepdims=True)
    grown: F32 = np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], axis=1)
    return grown


def _pieces(box: F32, sides: F64) -> F32:
    """A box cut evenly into at most 4 x 4 pieces no larger than ``sides``, as far as that goes."""
    columns, rows = np.clip(np.ceil((box[2:] - box[:2]) / sides), 1, 4).astype(int)
    x = np.linspace(box[0], box[2], columns + 1)
    y = np.linspace(box[1], box[3], rows + 1)
    pieces = [[x[i], y[j], x[i + 1], y[j + 1]] for j in range(rows) for i in range(columns)]
    return np.array(pieces, np.float32)


def _cut(boxes: F32, crop: Box, frame: tuple[int, int]) -> Mask:
    """Which boxes end at a border of their crop that is not the frame's."""
    border = np.array(crop, np.float32)
    outer = border == np.array([0, 0, *frame])
    cut: Mask = np.any((np.abs(boxes - border) < EDGE_PX) & ~outer, axis=1)
    return cut


def _fragments(found: Detections, cut: Mask) -> Mask:
    """Which boxes are cut and lie mostly within another box of their class."""
    inside = (containment(found.xyxy, found.xyxy) > 0.7) & (found.class_id[:, None] == found.class_id)
    inside &= cut[:, None] & ~(cut[None, :] & (found.score[:, None] >= found.score))
    np.fill_diagonal(inside, False)
    fragments: Mask = inside.any(axis=1)
    return fragments
