"""What several output layouts have in common: grids of cells, box forms, and the last step to Detections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from edgerun.boxes import extents, nms, sound
from edgerun.masks import every
from edgerun.quant import dequantize
from edgerun.types import F32, I32, I64, Array, Detail, Detections, Fit, ModelIO, TensorSpec

Detailed: TypeAlias = Callable[[I64], Sequence[Detail]]
"""What a model tells of the candidates with these numbers beyond their boxes."""


def cell_count(size: tuple[int, int], strides: Sequence[int]) -> int:
    """How many cells the levels of these strides have together over an input of ``size`` (width, height)."""
    width, height = size
    return sum(-(-width // s) * -(-height // s) for s in strides)


@lru_cache(maxsize=16)
def yolo_cell_counts(size: tuple[int, int]) -> frozenset[int]:
    """How many cells a YOLO model may have over an input of ``size``: the usual three levels, and the variants with a
    level more at either end."""
    return frozenset(cell_count(size, strides) for strides in ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32)))


@lru_cache(maxsize=16)
def cells(size: tuple[int, int], strides: tuple[int, ...]) -> tuple[F32, F32]:
    """Column and row of each cell f32 (N, 2), and its stride f32 (N, 1), level by level and row by row."""
    places: list[Array] = []
    steps: list[Array] = []
    for stride in strides:
        columns, rows = -(-size[0] // stride), -(-size[1] // stride)
        y, x = np.divmod(np.arange(rows * columns), columns)
        places.append(np.stack([x, y], axis=1))
        steps.append(np.full((rows * columns, 1), stride))
    place: F32 = np.concatenate(places).astype(np.float32)
    step: F32 = np.concatenate(steps).astype(np.float32)
    place.flags.writeable = step.flags.writeable = False
    return place, step


def corners(centre: F32, sides: F32) -> F32:
    """Boxes x1 y1 x2 y2 f32 (N, 4) from centres and sides, both (N, 2)."""
    half = sides / 2
    xyxy: F32 = np.concatenate([centre - half, centre + half], axis=1)
    return xyxy


def sides_to_corners(point: F32, distance: F32) -> F32:
    """Boxes f32 (N, 4) from points (N, 2) and distances to the left, top, right and bottom sides (N, 4)."""
    xyxy: F32 = np.concatenate([point - distance[:, :2], point + distance[:, 2:]], axis=1)
    return xyxy


def sigmoid(x: F32) -> F32:
    """The logistic function, without overflow."""
    return (1 / (1 + np.exp(-np.clip(x, -80, 80)))).astype(np.float32)


def softmax_mean(logits: F32) -> F32:
    """The mean of the distribution over 0, 1, ... that the last axis holds as logits (distribution focal loss)."""
    weight = np.exp(logits - logits.max(axis=-1, keepdims=True))
    mean: F32 = weight @ np.arange(logits.shape[-1], dtype=np.float32) / weight.sum(axis=-1)
    return mean


def best_class(scores: F32) -> tuple[I32, F32]:
    """The class of the highest score of each row, and that score."""
    class_id = scores.argmax(axis=1).astype(np.int32)
    return class_id, scores[np.arange(len(scores)), class_id]


def suppressed(
    xyxy: F32, score: F32, class_id: I32, fit: Fit, iou_limit: float, detailed: Detailed | None = None
) -> Detections:
    """Detections in frame pixels from boxes in tensor pixels, best first, after non-maximum suppression by class."""
    kept = nms(xyxy, score, class_id, iou_limit)
    more = None if detailed is None else lambda rows: detailed(kept[rows])
    return chosen(xyxy[kept], score[kept], class_id[kept], fit, more)


def chosen(xyxy: F32, score: F32, class_id: I32, fit: Fit, detailed: Detailed | None = None) -> Detections:
    """Detections in frame pixels from boxes in tensor pixels; boxes that are broken or lie outside are left out,
    scores above 1 count as 1. ``detailed`` is asked for those that stay."""
    found = Detections(fit.to_frame(xyxy), np.minimum(score, 1).astype(np.float32, copy=False), class_id)
    good = sound(found.xyxy)
    if not every(good):
        found = found.take(good)
    if detailed is None:
        return found
    details = np.empty(len(found), np.object_)
    details[:] = detailed(np.flatnonzero(good))
    return replace(found, details=details)


def to_pixels(xyxy: F32, io: ModelIO) -> F32:
    """Boxes in 0-1 of the input to tensor pixels."""
    return xyxy * extents(*io.size)


def described(outputs: Sequence[Array]) -> str:
    """The shapes of output tensors, for an error's sentence."""
    return ", ".join(str(list(output.shape)) for output in outputs)


def output_of_rows(outputs: Sequence[Array], io: ModelIO) -> tuple[Array, TensorSpec]:
    """The first output of three dimensions and its spec. Raises ValueError where there is none."""
    for output, spec in zip(outputs, io.outputs, strict=True):
        if output.ndim == 3:
            return output, spec
    raise ValueError(f"expected an output of 3 dimensions, got {described(outputs)}")


def is_relative(largest: Array, spec: TensorSpec) -> bool:
    """Whether coordinates whose largest stored value is given are in 0-1 of the input, not in its pixels.

    Taken over all candidates, good and bad, which lie all over the picture: in pixels some are far from the corner.
    """
    return float(dequantize(largest, spec)) < 2
