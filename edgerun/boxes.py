"""Geometry of boxes, polygons and lines, on arrays. No state, and no knowledge of models.

Boxes are rows ``x1 y1 x2 y2``, points rows ``x y``, both in image coordinates: y grows downwards.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from edgerun.types import F32, F64, I32, I64, Array, Mask

_TINY = np.finfo(np.float32).tiny


@lru_cache(maxsize=16)
def extents(width: int, height: int) -> F32:
    """``width height width height`` f32 (4,), to scale boxes by: pictures have the same few sizes over and over."""
    return np.array([width, height] * 2, np.float32)


def area(xyxy: F32) -> F32:
    """Areas f32 (N,); 0 for a box turned inside out."""
    sides = np.maximum(xyxy[:, 2:] - xyxy[:, :2], 0)
    areas: F32 = sides[:, 0] * sides[:, 1]
    return areas


def sound(xyxy: F32 | F64) -> Mask:
    """Which boxes are finite and have an area, bool (N,): what a damaged model or a clipped region leaves is not."""
    low, high = xyxy[:, :2], xyxy[:, 2:]
    fine = high > low  # what is not a number is not
    fine &= high < np.inf
    fine &= low > -np.inf
    both: Mask = fine[:, 0] & fine[:, 1]
    return both


def overlap(a: F32, b: F32) -> F32:
    """Area that each of N boxes shares with each of M boxes, f32 (N, M)."""
    sides = np.minimum(a[:, None, 2:], b[:, 2:])
    sides -= np.maximum(a[:, None, :2], b[:, :2])
    np.maximum(sides, 0, out=sides)
    shared: F32 = sides[..., 0] * sides[..., 1]
    return shared


def iou(a: F32, b: F32) -> F32:
    """Intersection over union of N boxes with M boxes, f32 (N, M) in 0-1; 0 where both have no area."""
    shared = overlap(a, b)
    union = area(a)[:, None] + area(b)
    union -= shared
    return _ratio(shared, union)


def likeness(a: F32, a_class: I32, b: F32, b_class: I32) -> F32:
    """As ``iou``; 0 where the classes, i32 (N,) and (M,), differ."""
    alike: F32 = iou(a, b)
    alike *= a_class[:, None] == b_class
    return alike


def containment(a: F32, b: F32) -> F32:
    """The part of each of N boxes that lies within each of M boxes, f32 (N, M) in 0-1; 0 for a box without area."""
    return _ratio(overlap(a, b), area(a)[:, None])


def _ratio(part: F32, whole: F32) -> F32:
    divisor: F32 = np.maximum(whole, _TINY)
    ratio: F32 = part / divisor
    return np.minimum(ratio, 1, out=ratio)


def nms(xyxy: F32, score: F32, class_id: I32, iou_limit: float, most: int = 1000) -> I64:
    """Greedy non-maximum suppression within each class: the rows to keep, best first.

    A row goes when a better one of its class overlaps it by more than ``iou_limit``. Of equal scores the earlier row
    is better. Only the ``most`` best rows are looked at: time and memory grow with their square.
    """
    order: I64 = (-score).argsort(kind="stable")[:most]
    if len(order) < 2:
        return order
    boxes = xyxy[order]
    areas = area(boxes)
    # shared / (a + b - shared) > limit without the quotient: 0 / 0 needs no care
    rivals = overlap(boxes, boxes) * (1 / iou_limit + 1) > areas[:, None] + areas
    if np.count_nonzero(rivals) == np.count_nonzero(rivals.diagonal()):  # each one is only its own rival
        return order
    classes = class_id[order]
    rivals &= classes[:, None] == classes
    rows, others = rivals.nonzero()
    worse = others > rows
    gone: set[int] = set()
    for row, other in zip(rows[worse].tolist(), others[worse].tolist(), strict=True):  # in the order of the rows
        if row not in gone:
            gone.add(other)
    return order[[row for row in range(len(order)) if row not in gone]] if gone else order


def cross(origin: Array, a: Array, b: Array) -> F64:
    """Cross product of ``a - origin`` and ``b - origin`` over the last axis, broadcast, in f64.

    Positive when ``b`` is to the right of the way from ``origin`` to ``a``, as seen on the screen.
    """
    origin = np.asarray(origin, np.float64)
    u, v = a - origin, b - origin
    product: F64 = u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]
    return product


def segments_touch(a: npt.ArrayLike, b: npt.ArrayLike, c: npt.ArrayLike, d: npt.ArrayLike) -> Mask:
    """Whether the segments a-b and c-d have a point in common, broadcast over all but the last axis."""
    p, q, r, s = (np.asarray(point, np.float64) for point in (a, b, c, d))
    sides = cross(p, q, r), cross(p, q, s), cross(r, s, p), cross(r, s, q)
    proper = (np.sign(sides[0]) * np.sign(sides[1]) < 0) & (np.sign(sides[2]) * np.sign(sides[3]) < 0)
    touching = proper
    for side, point, start, end in zip(sides, (r, s, p, q), (p, p, r, r), (q, q, s, s), strict=True):
        within = (point >= np.minimum(start, end)) & (point <= np.maximum(start, end))
        touching = touching | ((side == 0) & np.all(within, axis=-1))
    result: Mask = np.asarray(touching, np.bool_)
    return result


def is_simple(polygon: npt.ArrayLike) -> bool:
    """Whether a polygon of K >= 3 corners has an area and does not touch or cross itself."""
    corners = np.asarray(polygon, np.float64)
    k = len(corners)
    if k < 3 or not np.all(np.isfinite(corners)):
        return False
    after = np.roll(corners, -1, axis=0)
    if np.any(np.all(corners == after, axis=1)):
        return False
    first, second = np.triu_indices(k, 1)
    adjacent = (second - first == 1) | (second - first == k - 1)
    apart = first[~adjacent], second[~adjacent]
    if np.any(segments_touch(corners[apart[0]], after[apart[0]], corners[apart[1]], after[apart[1]])):
        return False
    # neighbours share a corner by right; they must not run back over each other
    nxt = np.roll(after, -1, axis=0)
    back = np.sum((corners - after) * (nxt - after), axis=1) > 0
    return not np.any((cross(after, corners, nxt) == 0) & back)
