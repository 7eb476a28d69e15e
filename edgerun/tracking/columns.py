"""Boxes as columns: arrays f64 (4, N) with the rows x1 y1 x2 y2, which is how the tracker computes fastest."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]


def widened(boxes: F64, part: float, more: F64 | float = 0.0) -> F64:
    """Boxes with a margin to each side: a part of their width and height, and ``more`` pixels."""
    margin = part * (boxes[2:] - boxes[:2]) + more
    return np.concatenate([boxes[:2] - margin, boxes[2:] + margin])


def iou(a: F64, b: F64) -> F64:
    """Intersection over union of N boxes with M boxes: (N, M)."""
    shared, of_a, of_b = _areas(a, b)
    union = of_a + of_b
    union -= shared
    shared /= union
    return shared


def shared_part(a: F64, b: F64) -> F64:
    """Intersection over the smaller one's area, of N boxes with M boxes: (N, M)."""
    shared, of_a, of_b = _areas(a, b)
    part: F64 = shared / np.minimum(of_a, of_b)
    return part


def _areas(a: F64, b: F64) -> tuple[F64, F64, F64]:
    """Of the intersections (N, M), of ``a`` (N, 1) and of ``b`` (M,)."""
    sides = np.minimum(a[2:, :, None], b[2:, None])
    sides -= np.maximum(a[:2, :, None], b[:2, None])
    np.maximum(sides, 0, out=sides)
    (wide_a, high_a), (wide_b, high_b) = a[2:] - a[:2], b[2:] - b[:2]
    return sides[0] * sides[1], (wide_a * high_a)[:, None], wide_b * high_b
