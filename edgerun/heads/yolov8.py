"""YOLOv8, YOLO11 and their kin (Ultralytics): one output ``[1, 4 + classes, cells]``, or transposed; no objectness.

Input RGB / 255, letterboxed with 114. Decode (Ultralytics ultralytics/utils/nms.py, ``non_max_suppression``): centre
and sides in input pixels, in 0-1 of the input for TFLite exports; class scores are sigmoids already.
Segmentation models append mask coefficients and pose models keypoints to each row; their boxes are read here.
Weights: AGPL-3.0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Annotated

import numpy as np
from annotated_types import Interval

from edgerun.heads.candidates import (
    best_class,
    corners,
    described,
    is_relative,
    output_of_rank,
    suppressed,
    to_pixels,
)
from edgerun.quant import dequantize, lowest_stored
from edgerun.types import Array, Detections, Fit, InputLayout, ModelIO


@dataclass(frozen=True, slots=True, kw_only=True)
class Yolov8Options:
    nms_iou: Annotated[float, Interval(gt=0, le=1)] = 0.7
    """Of two boxes of one class that overlap by more than this (IoU), the better one stays."""


class Yolov8:
    """Decodes YOLOv8 and YOLO11, float or quantized, in both orders of the axes, in pixels or in 0-1."""

    def __init__(self, options: Yolov8Options) -> None:
        self._options = options

    def layout(self, io: ModelIO) -> InputLayout:
        return InputLayout(color="rgb", fit="letterbox", std=(255.0, 255.0, 255.0))

    def decode(self, outputs: Sequence[Array], io: ModelIO, fit: Fit, min_score: float) -> Detections:
        stored, spec = output_of_rank(3, outputs, io)
        # There are always more cells than channels.
        planes = stored[0] if stored.shape[1] < stored.shape[2] else stored[0].T
        classes = len(planes) - 4 - _extra_channels(outputs, io.metadata)
        if classes < 1:
            raise ValueError(f"yolov8 expects [1, 4 + classes, cells], got {described(outputs)}")
        scores = planes[4 : 4 + classes]
        columns = np.flatnonzero(scores.max(axis=0) >= lowest_stored(min_score, spec))
        class_id, score = best_class(dequantize(scores[:, columns].T, spec))
        centre, sides = np.split(dequantize(planes[:4, columns].T, spec), 2, axis=1)
        xyxy = corners(centre, sides)
        if is_relative(planes[0].max(), spec):
            xyxy = to_pixels(xyxy, io)
        return suppressed(xyxy, score, class_id, fit, self._options.nms_iou)


def _extra_channels(outputs: Sequence[Array], metadata: Mapping[str, str]) -> int:
    """Channels after the classes: one for each mask prototype, or the keypoints' coordinates."""
    for output in outputs:
        if output.ndim == 4:
            return int(min(output.shape[1], output.shape[3]))
    return prod(int(n) for n in re.findall(r"\d+", metadata.get("kpt_shape", "0")))
