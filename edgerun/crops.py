"""Choosing crops of a frame that show boxes of interest large enough to a model. Geometry only, no state.

``scale`` is frame pixels per model pixel throughout: a crop of scale 2 is twice as wide and high as the model's input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from edgerun.types import Mask

F64: TypeAlias = npt.NDArray[np.float64]
Box: TypeAlias = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Interests:
    """Boxes that should be seen: ``xyxy`` f64 (N,4) in frame pixels, ``scale`` f64 (N,) at which each appears large
    enough, and ``weight`` f64 (N,)."""

    xyxy: F64
    scale: F64
    weight: F64


@dataclass(frozen=True, slots=True)
class Crop:
    """A part of the frame, x1 y1 x2 y2, its scale, and the rows of the interests that it is meant for."""

    xyxy: Box
    scale: float
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

    def sides(self, scale: F64) -> F64:
        """Width and height of crops of N scales, f64 (N,2): even, and no larger than the frame."""
        sides: F64 = np.minimum(2 * np.ceil(scale[:, None] * np.array(self.model) / 2), np.array(self.frame))
        return sides

    def around(self, x: float, y: float, scale: float) -> Box:
        """The crop of a scale whose centre is nearest to a point; it begins at even pixels and lies in the frame."""
        width, height = self.sides(np.array([scale]))[0]
        left = _even_within(x - width / 2, self.frame[0] - width)
        top = _even_within(y - height / 2, self.frame[1] - height)
        return left, top, int(left + width), int(top + height)


def _even_within(start: float, most: float) -> int:
    return max(2 * int(min(start, most) // 2), 0)


def choose(interests: Interests, canvas: Canvas, most: int, *, whole_allowed: bool = True) -> list[Crop]:
    """At most ``most`` crops that show the interests, the most worthwhile first.

    Greedy: each crop is the candidate with the largest gain, the sum of ``weight * clarity`` of the interests that it
    contains and that no crop shows clearly yet. Candidates lie around each interest so that it touches either border
    or the centre. Without ``whole_allowed`` the whole frame is only taken for what no smaller crop contains.
    """
    crops: list[Crop] = []
    if not len(interests.weight):
        return crops
    scale, contains = _candidates(interests, canvas)
    if not whole_allowed:
        contains[-1] &= ~contains[:-1].any(axis=0)
    clarity = np.where(contains, np.minimum(interests.scale / scale[:, None], 1) ** 2, 0.0)
    value = clarity * interests.weight
    open_ = np.ones(len(interests.weight), np.bool_)
    while len(crops) < most and open_.any():
        best = int(np.argmax(value @ open_))
        members = np.flatnonzero(contains[best] & open_)
        # what is shown badly here stays open for a better crop, unless this crop is as good as any
        shown = clarity[best] >= 0.6 * clarity.max(axis=0)
        open_ &= ~(shown & contains[best])
        crops.append(_centred(interests.xyxy, members, float(scale[best]), canvas, best == len(scale) - 1))
        if not shown[members].any():
            value[best] = 0
    return crops


def _candidates(interests: Interests, canvas: Canvas) -> tuple[F64, Mask]:
    """The scales f64 (K,) of the crops to choose from, and which interest each contains, bool (K,N).

    The last candidate is the whole frame, which contains them all.
    """
    boxes = interests.xyxy
    scale = np.repeat(np.maximum(np.concatenate([interests.scale, 1.4 * interests.scale]), canvas.least_scale), 9)
    near = np.concatenate([boxes, boxes])
    sides = canvas.sides(scale)
    grid = sides.reshape(-1, 3, 3, 2)
    starts = np.stack([near[:, :2], (near[:, :2] + near[:, 2:]) / 2, near[:, 2:]], axis=1)
    share = np.array([0, 0.5, 1])
    left = starts[:, :, None, 0] - share[:, None] * grid[..., 0]
    top = starts[:, None, :, 1] - share * grid[..., 1]
    corner = np.stack([left, top], axis=-1).reshape(-1, 2)
    corner = np.clip(corner, 0, np.array(canvas.frame) - sides)
    slack = 2.0  # what aligning to even pixels may cost
    low = corner[:, None] <= boxes[:, :2] + slack
    high = (corner + sides)[:, None] >= boxes[:, 2:] - slack
    contains = np.concatenate([np.all(low & high, axis=2), np.ones((1, len(boxes)), np.bool_)])
    return np.append(scale, canvas.whole_scale), contains


def _centred(boxes: F64, members: npt.NDArray[np.intp], scale: float, canvas: Canvas, whole: bool) -> Crop:
    rows = tuple(int(row) for row in members)
    if whole:
        return Crop(canvas.whole, scale, rows)
    low, high = boxes[members, :2].min(axis=0), boxes[members, 2:].max(axis=0)
    x, y = (low + high) / 2
    return Crop(canvas.around(x, y, scale), scale, rows)
