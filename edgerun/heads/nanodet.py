"""NanoDet-Plus: one output ``[1, cells, classes + 32]`` over strides 8, 16, 32 and 64.

Input BGR, mean 103.53, 116.28, 123.675, standard deviation 57.375, 57.12, 58.395, stretched. Decode (RangiLyu/nanodet
demo_openvino/nanodet_openvino.cpp, ``decode_infer`` and ``disPred2Bbox``): class scores are sigmoids already; each
side's distance from the cell's upper left corner is the mean of a softmax over 8 bins, times the stride.
Weights: Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import numpy as np

from edgerun.heads.candidates import (
    best_class,
    cell_count,
    cells,
    described,
    output_of_rows,
    sides_to_corners,
    softmax_mean,
    suppressed,
)
from edgerun.limits import Interval
from edgerun.quant import dequantize, lowest_stored
from edgerun.records import dataclass
from edgerun.types import Array, Detections, Fit, InputLayout, ModelIO

STRIDES: Final = (8, 16, 32, 64)
BINS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class NanoDetOptions:
    nms_iou: Annotated[float, Interval(gt=0, le=1)] = 0.5
    """Of two boxes of one class that overlap by more than this (IoU), the better one stays."""


class NanoDet:
    """Decodes NanoDet-Plus."""

    def __init__(self, options: NanoDetOptions) -> None:
        self._options = options

    def layout(self, io: ModelIO) -> InputLayout:
        return InputLayout(color="bgr", fit="stretch", mean=(103.53, 116.28, 123.675), std=(57.375, 57.12, 58.395))

    def decode(self, outputs: Sequence[Array], io: ModelIO, fit: Fit, min_score: float) -> Detections:
        stored, spec = output_of_rows(outputs, io)
        count, classes = cell_count(io.size, STRIDES), stored.shape[2] - 4 * BINS
        if stored.shape[1] != count or classes < 1:
            raise ValueError(f"nanodet expects [1, {count}, classes + {4 * BINS}], got {described(outputs)}")
        rows = np.flatnonzero(stored[0, :, :classes].max(axis=1) >= lowest_stored(min_score, spec))
        found = dequantize(stored[0, rows], spec)
        class_id, score = best_class(found[:, :classes])
        place, stride = cells(io.size, STRIDES)
        distance = softmax_mean(found[:, classes:].reshape(-1, 4, BINS)) * stride[rows]
        xyxy = sides_to_corners(place[rows] * stride[rows], distance)
        return suppressed(xyxy, score, class_id, fit, self._options.nms_iou)
