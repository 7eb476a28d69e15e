"""FastestDet: one output ``[1, 5 + classes, rows, columns]``, one box per cell.

Input BGR / 255, stretched. Decode (dog-qiuqiu/FastestDet utils/tool.py, ``handle_preds``):
``score = objectness ** 0.6 * class ** 0.4``, ``centre = (cell + tanh(p)) / grid``, ``sides = sigmoid(p)`` of the
picture; objectness and classes come out as probabilities. Weights: BSD-3-Clause.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np

from edgerun.heads.candidates import best_class, corners, described, sigmoid, suppressed, to_pixels
from edgerun.limits import Interval
from edgerun.quant import dequantize, lowest_stored
from edgerun.records import dataclass
from edgerun.types import Array, Detections, Fit, InputLayout, ModelIO


@dataclass(frozen=True, slots=True, kw_only=True)
class FastestDetOptions:
    nms_iou: Annotated[float, Interval(gt=0, le=1)] = 0.45
    """Of two boxes of one class that overlap by more than this (IoU), the better one stays."""


class FastestDet:
    """Decodes FastestDet."""

    def __init__(self, options: FastestDetOptions) -> None:
        self._options = options

    def layout(self, io: ModelIO) -> InputLayout:
        return InputLayout(color="bgr", fit="stretch", std=(255.0, 255.0, 255.0))

    def decode(self, outputs: Sequence[Array], io: ModelIO, fit: Fit, min_score: float) -> Detections:
        stored, spec = outputs[0], io.outputs[0]
        if stored.ndim != 4 or stored.shape[1] < 6:
            raise ValueError(f"fastestdet expects [1, 5 + classes, rows, columns], got {described(outputs)}")
        grid = stored[0]
        # A class probability is at most 1, so objectness ** 0.6 bounds the score.
        y, x = np.nonzero(grid[0] >= lowest_stored(min_score ** (1 / 0.6), spec))
        found = dequantize(grid[:, y, x].T, spec)
        class_id, class_score = best_class(found[:, 5:])
        score = found[:, 0] ** 0.6 * class_score**0.4
        shape = np.array([grid.shape[2], grid.shape[1]], np.float32)
        centre = (np.stack([x, y], axis=1, dtype=np.float32) + np.tanh(found[:, 1:3])) / shape
        xyxy = to_pixels(corners(centre, sigmoid(found[:, 3:5])), io)
        good = score >= min_score
        return suppressed(xyxy[good], score[good], class_id[good], fit, self._options.nms_iou)
