"""Boxes and captions, drawn into BGR pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import cv2
import numpy as np

from edgerun.lettering import HEIGHT, lettered
from edgerun.types import F32, U8

Bgr: TypeAlias = tuple[int, int, int]

BOX_BGR: Bgr = (64, 200, 40)
_TEXT_BGR = (255, 255, 255)
_SUBPIXEL_BITS = 4


def stroke(picture: U8) -> int:
    """How thick a line must be, in pixels, to be seen in a picture of this size."""
    thick: int = max(1, round(max(picture.shape[:2]) / 500))
    return thick


def draw(bgr: U8, boxes: F32, captions: Sequence[str], color: Bgr = BOX_BGR) -> U8:
    """A copy of the picture with boxes (N,4) in its pixels and a caption on each."""
    picture: U8 = bgr.copy()
    thick = stroke(picture)
    for box, caption in zip(boxes, captions, strict=True):
        x1, y1, x2, y2 = (round(float(v)) for v in box)
        cv2.rectangle(picture, (x1, y1), (x2, y2), color, thick)
        write(picture, caption, x1, y1, color)
    return picture


def write(picture: U8, words: str, left: int, bottom: int, color: Bgr) -> int:
    """Write white words on ``color`` into a BGR picture, above ``bottom`` and from ``left`` on where there is room; the
    edge below them."""
    if not words:
        return bottom
    unit = max(picture.shape[:2]) / 450 + 0.3
    thick = max(1, round(unit * 0.6))
    own = lettered(words)
    if own is None:  # OpenCV's fonts know more scripts
        font, scale = cv2.FONT_HERSHEY_SIMPLEX, unit / 3.5
        (width, above), below = cv2.getTextSize(words, font, scale, thick)
        left, top = _plate(picture, left, bottom, (width, above + below), color)
        cv2.putText(picture, words, (left, top + above), font, scale, _TEXT_BGR, thick, cv2.LINE_AA)
        return top + int(above + below)
    lines, units = own
    height: int = round((HEIGHT + 2) * unit)
    left, top = _plate(picture, left, bottom, (round((units + 2) * unit), height), color)
    placed = ((line + 1) * unit + (left, top) for line in lines)
    points = [np.rint(line * (1 << _SUBPIXEL_BITS)).astype(np.int32) for line in placed]
    cv2.polylines(picture, points, False, _TEXT_BGR, thick, cv2.LINE_AA, _SUBPIXEL_BITS)
    return top + height


def _plate(picture: U8, left: int, bottom: int, size: tuple[int, int], color: Bgr) -> tuple[int, int]:
    """What is written on, within the picture where that is large enough; its upper left corner."""
    width, height = size
    left, top = max(min(left, picture.shape[1] - 1 - width), 0), max(bottom - height, 0)
    cv2.rectangle(picture, (left, top), (left + width, top + height), color, cv2.FILLED)
    return left, top
