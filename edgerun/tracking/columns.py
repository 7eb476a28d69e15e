"""Boxes as columns: arrays f64 (4, N) with the rows x1 y1 x2 y2, which is how the tracker computes fastest."""

from __future__ import annotations

import numpy as np

from edgerun.types import F64


def widening(part: float) -> F64:
    """What boxes are multiplied with (from the left) to widen them to each side by a part of their width and height."""
    return np.array([
        [1 + part, 0, -part, 0],
        [0, 1 + part, 0, -part],
        [-part, 0, 1 + part, 0],
        [0, -part, 0, 1 + part],
    ])  # fmt: skip


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
    a = a[:, :, None]
    sides = np.minimum(a[2:], b[2:, None])
    sides -= np.maximum(a[:2], b[:2, None])
    np.maximum(sides, 0, out=sides)
    of_a, of_b = a[2:] - a[:2], b[2:] - b[:2]
    return sides[0] * sides[1], of_a[0] * of_a[1], of_b[0] * of_b[1]
