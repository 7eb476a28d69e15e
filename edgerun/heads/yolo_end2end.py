"""End-to-end YOLO (YOLOv10, YOLO26, and Ultralytics exports with ``nms=True``): one output ``[1, N, 6]``.

Input RGB / 255, letterboxed with 114. Rows are ``x1 y1 x2 y2 score class``, best first, no suppression needed
(Ultralytics ultralytics/nn/modules/head.py, ``Detect.postprocess``); coordinates in input pixels, in 0-1 of the input
for older TFLite exports. Further columns (masks, keypoints) are left alone. Weights: AGPL-3.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgerun.heads.candidates import chosen, described, is_relative, output_of_rank, to_pixels
from edgerun.quant import dequantize, lowest_stored
from edgerun.types import Array, Detections, Fit, InputLayout, ModelIO


@dataclass(frozen=True, slots=True, kw_only=True)
class YoloEnd2EndOptions:
    """Nothing to set: suppression is part of the model."""


class YoloEnd2End:
    """Reads boxes that the model already chose."""

    def __init__(self, options: YoloEnd2EndOptions) -> None:
        del options

    def layout(self, io: ModelIO) -> InputLayout:
        return InputLayout(color="rgb", fit="letterbox", std=(255.0, 255.0, 255.0))

    def decode(self, outputs: Sequence[Array], io: ModelIO, fit: Fit, min_score: float) -> Detections:
        stored, spec = output_of_rank(3, outputs, io)
        if stored.shape[2] < 6:
            raise ValueError(f"yolo_end2end expects [1, boxes, 6], got {described(outputs)}")
        rows = stored[0, stored[0, :, 4] >= lowest_stored(min_score, spec), :6]
        if not len(rows):
            return Detections.empty()
        found = dequantize(rows, spec)
        xyxy = to_pixels(found[:, :4], io) if is_relative(stored[0, :, :4].max(), spec) else found[:, :4]
        return chosen(xyxy, found[:, 4], np.rint(found[:, 5]).astype(np.int32), fit)
