"""Choosing crops of a frame that show boxes of interest large enough to a model. Geometry only, no state.

``scale`` is frame pixels per model pixel throughout: a crop of scale 2 is twice as wide and high as the model's input.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from edgerun.types import Mask

F64: TypeAlias = npt.NDArray[np.float64]
Box: TypeAlias = tuple[int, int, int, int]

WIDER = 1.4
"""Crops this much wider than an interest asks for are tried too: they may show several."""
GOOD = 0.6
"""A crop shows an interest well when its clarity is this part of what the best crop would give."""
SHARES = np.array([0, 0.5, 1])
SLACK_PX = 2.0
"""What beginning at even pixels may cost."""


@dataclass(frozen=True, slots=True, eq=False)
class Interests:
    """Boxes that should be seen: ``xyxy`` f64 (N,4) in frame pixels, ``scale`` f64 (N,) at which each appears large
    enough, and ``weight`` f64 (N,)."""

    xyxy: F64
    scale: F64
    weight: F64


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

    Greedy: each crop is the candidate with the largest gain, the sum of ``weight * clarity`` of the interests that it
    contains and that no crop shows clearly yet. Candidates lie around each interest so that it touches either border
    or the centre. Without ``whole_allowed`` the whole frame is only taken for what no smaller crop contains.
    """
    crops: list[Crop] = []
    n = len(interests.weight)
    if not n or most < 1:
        return crops
    scale, contains = _candidates(interests, canvas)
    if not whole_allowed:
        contains[-1, -1] &= ~contains[:-1].any(axis=(0, 1))
    clarity = np.minimum(interests.scale / scale[:, None], 1) ** 2
    value = contains * (clarity * interests.weight)[:, None]
    best_clarity = (contains * clarity[:, None]).max(axis=(0, 1))
    open_ = np.ones(n)
    while len(crops) < most and open_.any():
        row, place = divmod(int((value @ open_).argmax()), contains.shape[1])
        members = np.flatnonzero(contains[row, place] * open_)
        if not len(members):
            break
        # what is shown badly here stays open for a better crop
        shown = members[clarity[row, members] >= GOOD * best_clarity[members]]
        if len(shown):
            open_[shown] = 0
        else:
            value[row, place] = 0
        crops.append(_centred(interests.xyxy, members, float(scale[row]), canvas))
    return crops


def _candidates(interests: Interests, canvas: Canvas) -> tuple[F64, Mask]:
    """Scales f64 (K,), and which interest is contained in the crops of each scale at 9 places, bool (K,9,N).

    The last scale is the whole frame's, whose places are all the same and contain everything.
    """
    boxes = interests.xyxy
    scale = np.concatenate([interests.scale, WIDER * interests.scale])
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


def _centred(boxes: F64, members: npt.NDArray[np.intp], scale: float, canvas: Canvas) -> Crop:
    """A crop with its members in the middle, as far as the frame allows."""
    rows = tuple(members.tolist())
    if scale >= canvas.whole_scale:
        return Crop(canvas.whole, rows)
    low, high = boxes[members, :2].min(axis=0).tolist(), boxes[members, 2:].max(axis=0).tolist()
    return Crop(canvas.around((low[0] + high[0]) / 2, (low[1] + high[1]) / 2, scale), rows)
