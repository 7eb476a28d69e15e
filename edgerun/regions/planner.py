"""The planner: what is of interest in a frame, and which crops of it are worth an inference.

A detector with a small input loses small objects when the whole frame is squeezed into it. The planner lays crops
around what is of interest, of a size at which objects like those seen there before appear large enough. Of interest
are: new motion, tracks that move, tracks that stand still and are due for a check, and parts not looked at for long.

Pure: time comes from the stamps. ``plan`` may run in another thread than ``merge`` and ``learn``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgerun.boxes import containment
from edgerun.masks import some
from edgerun.motion import Motion
from edgerun.regions.crops import Canvas, Interests, Reason, Region, choose
from edgerun.regions.joining import EDGE_PX, join
from edgerun.regions.memory import NEVER, TINY, Budget, Grid, LookedAt, Loose, Rest, Sizes
from edgerun.regions.options import RegionOptions
from edgerun.types import F32, F64, I64, Box, Detections, Mask, Stamp, Tracks

REASONS: tuple[Reason, ...] = ("motion", "track", "stationary")
MOTION, TRACK, STATIONARY = range(3)
LEARN_S = 0.5
LATE_S = 0.5
"""Parts that waited twice as long as they should get one crop this often before all else."""
BLIND_S = 0.5
"""Where motion is not known, what stands still is looked at this often, then every part, as far as the budget goes."""
AGAIN_S = 0.5
"""Where a track ended is looked at this often for a while."""
CLEAR_ENOUGH = 0.6
"""The whole frame is as good as a crop where objects appear at this part of the size they should."""
LIKELY = 0.3
"""A detection with this score is looked at again in the next frame, whether or not a track stands for it yet."""
MARGIN = 0.15
"""Room around an object, as a part of its longer side: for its motion since it was seen, and as context."""
MOST_INTERESTS = 24
"""Those that count most are considered; it bounds the planner's own cost."""
_NOBODY = np.zeros(0, np.int64)
_MOST_HELD = 16
"""Frames that wait for their merge; those dropped on their way never come to it."""


class RegionPlanner:
    """Plans one camera's inferences. ``model_size`` is the width and height of the model's input."""

    def __init__(self, options: RegionOptions, model_size: tuple[int, int]) -> None:
        self._options = options
        self._model_size = model_size
        self._begin((1, 1))

    def _begin(self, frame: tuple[int, int]) -> None:
        self._canvas = Canvas(frame, self._model_size, 1 / self._options.enlarge)
        self._budget = Budget(self._options.per_frame, self._options.per_second)
        self._grid = Grid(self._canvas)
        self._looked = LookedAt(self._grid)
        self._planned_at = self._whole_at = self._swept_at = NEVER
        self._sizes = Sizes(self._grid)
        self._rest = Rest()
        self._held: dict[int, tuple[Detections, I64]] = {}
        self.held = _NOBODY
        """The ids of the tracks that in the frame merged last were taken to be still there, i64 (K,)."""
        self._loose = Loose()
        self._gateless = False  # nothing tells where somebody came
        self._learnt_at = NEVER
        self._whole_only = self._options.mode == "off" or self._canvas.whole_scale <= 1.25 * self._canvas.least_scale

    def plan(self, motion: Motion | None, tracks: Tracks, stamp: Stamp) -> list[Region]:
        """The regions to infer now, the most important first; none: nothing changed, or the budget is spent.

        Without ``motion`` every frame may have changed.
        """
        now = stamp.captured
        if self._canvas.frame != (stamp.width, stamp.height) or now < self._planned_at:
            self._begin((stamp.width, stamp.height))  # another picture, or another clip
        self._planned_at, self._gateless = now, motion is None
        allowed = self._budget.allowed(now)
        if motion is not None or not self._whole_only:  # else all of each frame is looked at, whatever stands still
            self._rest.update(tracks, motion, now)
        if self._whole_only:
            regions = self._plan_whole(motion, len(tracks) > 0, now)[:allowed]
        else:
            regions = self._plan_crops(motion, tracks, allowed, now)
            self._hold(tracks, regions, stamp.seq)
        self._budget.spend(len(regions), now)
        return regions

    def merge(self, parts: Sequence[tuple[Detections, Region]], stamp: Stamp) -> Detections:
        """One frame's detections from those of its regions, best first; see ``join``.

        Objects that stand still in parts not looked at are taken to be still there.
        """
        held, self.held = self._held.pop(stamp.seq, (None, _NOBODY))
        joined = join(parts, held, (stamp.width, stamp.height), self._options)
        if self._whole_only:
            return joined
        likely = joined.score >= LIKELY
        if self._gateless and parts:  # sweeps may cut somebody each time; a crop around the part shows the whole
            everywhere = [region for _, region in parts]
            cut = ~_whole_within(joined.xyxy, everywhere, self._canvas.frame) & (joined.score > 0)
            likely |= cut & (joined.score >= LIKELY * self._options.cut_score)
        self._loose = self._loose.renewed(joined.xyxy[likely], stamp.captured)
        return joined

    def learn(self, tracks: Tracks, stamp: Stamp) -> None:
        """Take in the sizes of what was seen."""
        if self._whole_only or stamp.captured - self._learnt_at < LEARN_S:
            return
        self._learnt_at = stamp.captured
        border = np.array([0, 0, stamp.width, stamp.height])
        cut = (np.abs(tracks.xyxy - border) < EDGE_PX).any(axis=1)
        good = tracks.xyxy[tracks.seen & ~cut]
        if len(good):
            self._sizes.learn(*self._grid.of(good), self._filling(good))

    def _plan_whole(self, motion: Motion | None, tracking: bool, now: float) -> list[Region]:
        wait = self._options.recheck_s if tracking else self._options.sweep_s
        if len(self._rest.missed):
            wait = min(wait, AGAIN_S)
        changed = motion is None or motion.moving or motion.settling
        if not changed and now - self._whole_at < wait:
            return []
        self._whole_at = now
        return [Region(self._canvas.whole, "frame")]

    def _plan_crops(self, motion: Motion | None, tracks: Tracks, allowed: int, now: float) -> list[Region]:
        wait = BLIND_S if _blind(motion) else self._options.sweep_s
        late = self._looked.oldest(now) > 2 * self._options.sweep_s and now - self._swept_at > LATE_S
        interests, reasons = self._interests(motion, tracks, now)
        crops = choose(interests, self._canvas, allowed - late, whole_allowed=self._options.mode == "auto")
        regions = []
        for crop in crops:
            if crop.xyxy == self._canvas.whole:
                regions.append(self._look_whole(now))
            else:
                regions.append(self._look(crop.xyxy, REASONS[min(reasons[row] for row in crop.members)], now))
        for _ in range(allowed - len(regions)):
            if self._looked.oldest(now) < wait:
                break
            region = self._sweep(wait, now)
            if all(region.xyxy != other.xyxy for other in regions):
                regions.append(region)
        return regions

    def _look_whole(self, now: float) -> Region:
        self._whole_at = now
        clear = self._sizes.expected >= CLEAR_ENOUGH * self._options.object_part * self._canvas.whole_scale
        self._looked.mark(clear, now)
        return Region(self._canvas.whole, "frame")

    def _look(self, xyxy: Box, reason: Reason, now: float) -> Region:
        self._looked.mark(self._grid.within(xyxy), now)
        return Region(xyxy, "frame" if xyxy == self._canvas.whole else reason)

    def _sweep(self, wait: float, now: float) -> Region:
        """The crop that shows most of what was not looked at for ``wait``; now and then the whole frame."""
        self._swept_at = now
        if now - self._whole_at >= self._options.sweep_s:
            return self._look_whole(now)
        cell = self._looked.oldest_at()
        filling = float(self._sizes.expected[cell])
        # nothing learnt: half the frame's shorter side, a guess that shows things twice as large as the whole frame
        scale = filling / self._options.object_part if filling else min(self._canvas.frame) / max(self._model_size) / 2
        scale = min(max(scale, self._canvas.least_scale), self._canvas.whole_scale)
        return self._look(self._looked.best_crop(*cell, scale, self._canvas, now - wait), "sweep", now)

    def _filling(self, boxes: F32) -> F64:
        """The scales at which boxes would just fill the model's input."""
        filling: F64 = ((boxes[:, 2:] - boxes[:, :2]) / self._model_size).max(axis=1)
        return filling

    def _interests(self, motion: Motion | None, tracks: Tracks, now: float) -> tuple[Interests, list[int]]:
        """What should be seen in this frame, and each one's row in REASONS."""
        options, canvas = self._options, self._canvas
        loose, settled = self._loose.beside(tracks.xyxy, motion, now)
        missed = self._rest.missed
        known = np.concatenate([missed, tracks.xyxy, loose])
        moved = self._unexplained(motion, known[len(missed) :])
        boxes = np.concatenate([known, moved])
        cells = self._grid.of(boxes)
        waited = now - self._looked.at(*cells)
        followed = slice(len(missed), len(missed) + len(tracks))
        waited[followed] = np.maximum(waited[followed], self._rest.waited)  # a crop may have cut it
        still = (np.ones(len(missed), np.bool_), self._rest.still, settled, np.zeros(len(moved), np.bool_))
        rest = np.concatenate(still)
        due_s = np.full(len(boxes), min(options.recheck_s, BLIND_S) if _blind(motion) else options.recheck_s)
        due_s[: len(missed)] = min(options.recheck_s, AGAIN_S)
        filling = self._filling(boxes)
        if len(moved):  # the box may be a part of the object, or several objects
            learnt = self._sizes.at(*cells)[len(known) :]
            filling[len(known) :] = np.where(learnt > 0, learnt, filling[len(known) :])
        # new motion counts 4, what is followed 2 to 3, what stands still 1 when it is due; all grow with waiting, and
        # motion in which nothing was found just now counts little: it is likely noise
        urgency = np.minimum(waited, 1)
        weight = np.where(rest, np.minimum(waited / due_s, 4), 2 + urgency)
        weight[len(known) :] = 0.5 + 3.5 * urgency[len(known) :] ** 2
        grown = np.minimum(np.maximum(_grown(boxes, MARGIN), 0), canvas.frame * 2)
        visible = (grown[:, 2:] > grown[:, :2]).all(axis=1)
        chosen = np.flatnonzero(visible & (~rest | (waited >= due_s - TINY)))
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
        sizes = self._sizes.at(*self._grid.of(boxes)).tolist() if len(boxes) else ()
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
        if regions and len(tracks):
            shown = _whole_within(tracks.xyxy, regions, self._canvas.frame)
            self._rest.note_shown(shown, self._planned_at)
            held &= ~shown
        if not some(held):
            return
        boxes = Detections(tracks.xyxy[held], tracks.score[held], tracks.class_id[held])
        self._held[seq] = boxes, tracks.track_id[held]
        for old in list(self._held)[:-_MOST_HELD]:  # in one step, as ``merge`` takes some of them meanwhile
            self._held.pop(old, None)


def _blind(motion: Motion | None) -> bool:
    """Whether anything may have moved without a word."""
    return motion is None or motion.settling


def _whole_within(boxes: F32, regions: Sequence[Region], frame: tuple[int, int]) -> Mask:
    """Which boxes are wholly within one of the regions, and not so near to its border that ``join`` takes them as cut,
    bool (N,). What goes beyond the frame's own border does not count."""
    border = np.array([region.xyxy for region in regions], np.float32)
    outer = np.array([-np.inf, -np.inf, np.inf, np.inf], np.float32)
    inner = np.where(border == (0, 0, *frame), outer, border + EDGE_PX * np.sign(-outer))
    fits = (boxes[:, None, :2] >= inner[:, :2]) & (boxes[:, None, 2:] <= inner[:, 2:])
    within: Mask = (fits[..., 0] & fits[..., 1]).max(axis=1)
    return within


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
