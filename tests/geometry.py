"""Where points lie, told in other ways than the package tells it, so that both can be compared."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edgerun.boxes import cross, segments_touch
from edgerun.types import Mask


def inside(points: npt.ArrayLike, polygon: npt.ArrayLike) -> Mask:
    """Which of N points lie in a polygon of K corners or on its border, bool (N,)."""
    corners = np.asarray(polygon, np.float32)
    rows = np.asarray(points, float).tolist()
    return np.array([cv2.pointPolygonTest(corners, row, False) >= 0 for row in rows], np.bool_)


def crossing(start: npt.ArrayLike, end: npt.ArrayLike, a: npt.ArrayLike, b: npt.ArrayLike) -> int:
    """1: the way from ``start`` to ``end`` crosses the line from ``a`` to ``b`` from its left to its right, as seen on
    the screen; -1: from right to left; 0: not at all. A point on the line is right of it."""
    p, q, first, last = (np.asarray(point, np.float64) for point in (start, end, a, b))
    was_right, is_right = (bool(cross(first, last, point) >= 0) for point in (p, q))
    return is_right - was_right if segments_touch(p, q, first, last) else 0
