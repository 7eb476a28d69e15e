"""Choosing crops of a frame that show boxes of interest large enough to a model. Geometry only, no state.

``scale`` is frame pixels per model pixel throughout: a crop of scale 2 is twice as wide and high as the model's input.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import numpy as np

from edgerun.records import dataclass
from edgerun.types import F64, Box, Index, Mask

Reason: TypeAlias = Literal["motion", "track", "stationary", "sweep", "frame"]

LEAST_SIZE = 0.4
"""An object that appears at less than this part of the size it should is not shown at all."""
SHARES = np.array([0, 0.5, 1])
SLACK_PX = 2.0
"""What beginning at even pixels may cost."""


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the frame to look at: x1 y1 x2 y2 in whole pixels inside the frame, and why."""

    xyxy: Box
    reason: Reason


@dataclass(frozen=True, slots=True, eq=False)
class Interests:
    """Boxes that should be seen: ``xyxy`` f64 (N,4) in frame pixels, ``scale`` f64 (N,) at which each appears large
    enough, and ``weight`` f64 (N,)."""

    xyxy: F64
    scale: F64
    weight: F64


@dataclass(frozen=True, slots=True)
class Manner:
    """How to weigh few clear crops against wide ones that show more.

    Crops ``wider`` than an interest asks for are tried too. An interest at twice its scale counts ``0.5 ** falloff``;
    it is done with when it counts for ``enough`` of what the best crop would give.
    """

    wider: float
    falloff: float
    enough: float


CLEAR = Manner(wider=1.4, falloff=2.0, enough=0.6)
WIDE = Manner(wider=1.8, falloff=1.0, enough=0.5)


@dataclass(frozen=True, slots=True)
class Crop:
    """A part of the frame, x1 y1 x2 y2, and the rows of the interests that it is meant for."""

    xyxy: Box
    members: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Canvas:
    """A frame and the model whose input its crops fill; sizes are width, height."""

    frame: tuple[int, int]
    model: tuple[int, int]
    least_scale: float = 1.0

    @property
    def whole_scale(self) -> float:
        """The scale of the whole frame, by its longer side in model inputs."""
        return max(self.frame[0] / self.model[0], self.frame[1] / self.model[1])

    @property
    def whole(self) -> Box:
        return (0, 0, *self.frame)

    def side(self, scale: float) -> tuple[int, int]:
        """Width and height of a crop: even, and no larger than the frame."""
        width, height = (2 * math.ceil(scale * side / 2) for side in self.model)
        return min(width, self.frame[0]), min(height, self.frame[1])

    def around(self, x: float, y: float, scale: float) -> Box:
        """The crop of a scale whose centre is nearest to a point; it begins at even pixels and lies in the frame."""
        width, height = self.side(scale)
        left = max(2 * int(min(x - width / 2, self.frame[0] - width) // 2), 0)
        top = max(2 * int(min(y - height / 2, self.frame[1] - height) // 2), 0)
        return left, top, left + width, top + height


def choose(interests: Interests, canvas: Canvas, most: int, *, whole_allowed: bool = True) -> list[Crop]:
    """At most ``most`` crops that show the interests, the most worthwhile first.

    Wide crops are laid where clear ones are too few for all. Without ``whole_allowed`` the whole frame is only taken
    for what no smaller crop contains.
    """
    if not len(interests.weight) or most < 1:
        return []
    clear = _greedy(interests, canvas, most, CLEAR, whole_allowed)
    reached = {row for crop in clear for row in crop.members}
    if len(reached) == len(interests.weight):
        return clear
    wide = _greedy(interests, canvas, most, WIDE, whole_allowed)
    farther = {row for crop in wide for row in crop.members}
    gained, lost = list(farther - reached), list(reached - farther)
    return wide if interests.weight[gained].sum() > interests.weight[lost].sum() else clear


def _greedy(interests: Interests, canvas: Canvas, most: int, manner: Manner, whole_allowed: bool) -> list[Crop]:
    """Take, again and again, the candidate with the largest gain: the sum of ``weight * clarity`` of the interests
    that it contains and that no crop shows well yet."""
    scale, contains = _candidates(interests, canvas, manner.wider)
    if not whole_allowed:
        contains[-1] &= ~contains[:-1].any(axis=(0, 1))
    size = np.minimum(interests.scale / scale[:, None], 1)
    contains &= (size >= LEAST_SIZE)[:, None]
    clarity = size**manner.falloff
    value = contains * (clarity * interests.weight)[:, None]
    enough = manner.enough * (contains * clarity[:, None]).max(axis=(0, 1))
    waiting = np.ones(len(interests.weight))
    crops: list[Crop] = []
    while len(crops) < most and waiting.any():
        gain = value @ waiting
        row, place = divmod(int(gain.argmax()), contains.shape[1])
        if gain[row, place] <= 0:
            break
        members = np.flatnonzero(contains[row, place] * waiting)
        shown = members[clarity[row, members] >= enough[members]]
        waiting[shown] = 0  # what is shown badly here waits for a better crop
        if not len(shown):
            value[row, place] = 0
        crop = _centred(interests.xyxy, members, float(scale[row]), canvas)
        if all(crop.xyxy != other.xyxy for other in crops):  # from another place it may come to the same
            crops.append(crop)
    return crops


def _candidates(interests: Interests, canvas: Canvas, wider: float) -> tuple[F64, Mask]:
    """Scales f64 (K,), and which interest is contained in the crops of each scale at 9 places, bool (K,9,N).

    The places let an interest touch either border or the centre. The last scale is the whole frame's, whose places are
    all the same and contain everything.
    """
    boxes = interests.xyxy
    scale = np.concatenate([interests.scale, wider * interests.scale])
    inside = []
    for axis in (0, 1):
        side = np.minimum(np.ceil(scale * (canvas.model[axis] / 2)) * 2, canvas.frame[axis])[:, None]
        low, high = boxes[:, axis], boxes[:, axis + 2]
        starts = np.stack([low, (low + high) / 2, high], axis=1)
        starts = np.concatenate([starts, starts]) - side * SHARES
        starts = np.maximum(np.minimum(starts, canvas.frame[axis] - side), 0)[:, :, None]
        inside.append((starts <= low + SLACK_PX) & (starts + side[:, :, None] >= high - SLACK_PX))
    contains = np.ones((len(scale) + 1, 9, len(boxes)), np.bool_)
    contains[:-1] = (inside[0][:, :, None] & inside[1][:, None]).reshape(len(scale), 9, -1)
    return np.append(scale, canvas.whole_scale), contains


def _centred(boxes: F64, members: Index, scale: float, canvas: Canvas) -> Crop:
    """A crop with its members in the middle, as far as the frame allows."""
    rows = tuple(members.tolist())
    if scale >= canvas.whole_scale:
        return Crop(canvas.whole, rows)
    low, high = boxes[members, :2].min(axis=0).tolist(), boxes[members, 2:].max(axis=0).tolist()
    return Crop(canvas.around((low[0] + high[0]) / 2, (low[1] + high[1]) / 2, scale), rows)
