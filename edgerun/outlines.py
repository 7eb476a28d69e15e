"""From masks to polygons of few corners."""

from __future__ import annotations

import cv2
import numpy as np

from edgerun.types import F32

MOST_CORNERS = 24
_FINEST_PX = 160
"""Masks are looked at about so large: a corner is then within one part in a hundred of the object's size."""
_MOST_FINER = 4.0
"""Masks are coarse, mostly one value for 4x4 pixels; in between the edge is where the values' line crosses 0."""
_LEAST_ERROR, _COARSER = 0.004, 1.5
"""How far a corner may be off at first, in parts of the outline's length, and how much farther each time until the
corners are few."""


def outline(mask: F32) -> F32 | None:
    """The outline of the largest area of a mask f32 (H,W) that is above 0, as corners x y f32 (P,2) in its cells, the
    upper left corner of the first cell being 0, 0. None where nothing is, or only a speck."""
    height, width = mask.shape
    finer = min(max(_FINEST_PX / max(height, width), 1.0), _MOST_FINER)
    size = max(round(width * finer), 1), max(round(height * finer), 1)
    filled = (cv2.resize(mask, size, interpolation=cv2.INTER_LINEAR) > 0).view(np.uint8)
    areas, _ = cv2.findContours(filled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not areas:
        return None
    corners = whole = max(areas, key=cv2.contourArea)
    error = _LEAST_ERROR * cv2.arcLength(whole, True)
    while len(corners) > MOST_CORNERS or corners is whole:
        corners = cv2.approxPolyDP(whole, error, True)
        error *= _COARSER
    if len(corners) < 3:
        return None
    # the outline goes through the middles of the cells at the border
    points: F32 = ((corners.reshape(-1, 2) + 0.5) * (width / size[0], height / size[1])).astype(np.float32)
    return points
