"""One frame's detections as the tracker takes them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edgerun.boxes import sound
from edgerun.masks import every
from edgerun.types import F64, I32, Detections


class Found(NamedTuple):
    """N boxes, the best first: ``boxes`` (4, N), ``score`` (N,) up to 1, ``class_id`` (N,)."""

    boxes: F64
    score: F64
    class_id: I32


def found(detections: Detections, least_score: float) -> Found:
    """Those that are finite, have an area and a score from ``least_score`` on, in an order that does not depend on
    that in which they came."""
    table = np.empty((5, len(detections.score)))
    table[:4] = detections.xyxy.T
    np.minimum(detections.score, 1, out=table[4])
    class_id, score = detections.class_id, table[4]
    if not every(score[1:] < score[:-1]):  # else they come in order, without a tie
        order = (-score).argsort()
        if len(set(score.tolist())) < len(score):
            order = np.lexsort((class_id, *table[:4], -score))
        table, class_id = table.take(order, axis=1), class_id.take(order)
    kept = sound(table[:4].T)
    kept &= table[4] >= least_score
    if not every(kept):
        table, class_id = table[:, kept], class_id[kept]
    return Found(table[:4], table[4], class_id)
