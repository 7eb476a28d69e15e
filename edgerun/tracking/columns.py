"""Boxes as columns: arrays f64 (4, N) with the rows x1 y1 x2 y2, which is how the tracker computes fastest."""

from __future__ import annotations

import numpy as np

from edgerun.types import F64

HEIGHT_WEIGHT = 0.25
"""How much of the likeness of two boxes the overlap of their heights decides."""


def widening(part: float) -> F64:
    """What boxes are multiplied with (from the left) to widen them to each side by a part of their width and height."""
    return np.array([
        [1 + part, 0, -part, 0],
        [0, 1 + part, 0, -part],
        [-part, 0, 1 + part, 0],
        [0, -part, 0, 1 + part],
    ])  # fmt: skip


def height_modulated_iou(a: F64, b: F64) -> F64:
    """Intersection over union of N boxes with M boxes, lowered where their heights overlap less: (N, M).

    Where people hide one another it is heads and feet that tell who is who, as in Hybrid-SORT (Yang et al. 2024), which
    multiplies with the whole intersection over union of the heights.
    """
    shared, of_a, of_b = _sides(a, b)
    heights = of_a[1] + of_b[1]
    heights -= shared[1]
    np.divide(shared[1], heights, out=heights)
    heights *= HEIGHT_WEIGHT
    heights += 1 - HEIGHT_WEIGHT
    ratio: F64 = shared[0] * shared[1]
    union = of_a[0] * of_a[1] + of_b[0] * of_b[1]
    union -= ratio
    ratio /= union
    ratio *= heights
    return ratio


def shared_part(a: F64, b: F64) -> F64:
    """Intersection over the smaller one's area, of N boxes with M boxes: (N, M)."""
    shared, of_a, of_b = _sides(a, b)
    part: F64 = shared[0] * shared[1] / np.minimum(of_a[0] * of_a[1], of_b[0] * of_b[1])
    return part


def _sides(a: F64, b: F64) -> tuple[F64, F64, F64]:
    """Widths and heights of the intersections (2, N, M), of ``a`` (2, N, 1) and of ``b`` (2, M)."""
    a = a[:, :, None]
    shared = np.minimum(a[2:], b[2:, None])
    shared -= np.maximum(a[:2], b[:2, None])
    np.maximum(shared, 0, out=shared)
    return shared, a[2:] - a[:2], b[2:] - b[:2]
