"""YOLOv8, YOLO11 and their kin (Ultralytics): one output ``[1, 4 + classes, cells]``, or transposed; no objectness.

Input RGB / 255, letterboxed with 114. Decode (Ultralytics ultralytics/utils/nms.py, ``non_max_suppression``): centre
and sides in input pixels, in 0-1 of the input for TFLite exports; class scores are sigmoids already.
Segmentation models append mask coefficients to each row, of prototypes in a second output; pose models key points.
Weights: AGPL-3.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np

from edgerun.heads.candidates import (
    best_class,
    corners,
    described,
    is_relative,
    output_of_rows,
    suppressed,
    to_pixels,
    yolo_cell_counts,
)
from edgerun.heads.details import Keypoints, keypoint_shape, prototypes
from edgerun.limits import Interval
from edgerun.quant import dequantize, lowest_stored
from edgerun.records import dataclass
from edgerun.types import I64, Array, Detail, Detections, Fit, InputLayout, ModelIO


@dataclass(frozen=True, slots=True, kw_only=True)
class Yolov8Options:
    nms_iou: Annotated[float, Interval(gt=0, le=1)] = 0.7
    """Of two boxes of one class that overlap by more than this (IoU), the better one stays."""

    keypoints: Keypoints | None = None
    """How many key points a pose model finds, and how many values each has: `[17, 3]` for persons. By default what the
    file says of itself."""


class Yolov8:
    """Decodes YOLOv8 and YOLO11, float or quantized, in both orders of the axes, in pixels or in 0-1."""

    def __init__(self, options: Yolov8Options) -> None:
        self._options = options

    def layout(self, io: ModelIO) -> InputLayout:
        return InputLayout(color="rgb", fit="letterbox", std=(255.0, 255.0, 255.0))

    def decode(self, outputs: Sequence[Array], io: ModelIO, fit: Fit, min_score: float) -> Detections:
        stored, spec = output_of_rows(outputs, io)
        planes = stored[0].T if _cells_first(stored.shape, io) else stored[0]
        masks, keypoints = prototypes(outputs, io), keypoint_shape(io.metadata, self._options.keypoints)
        classes = len(planes) - 4 - (len(keypoints) if masks is None else len(masks))
        if classes < 1:
            raise ValueError(f"yolov8 expects [1, 4 + classes, cells], got {described(outputs)}")
        scores = planes[4 : 4 + classes]
        columns = np.flatnonzero(scores.max(axis=0) >= lowest_stored(min_score, spec))
        class_id, score = best_class(dequantize(scores[:, columns].T, spec))
        centre, sides = np.split(dequantize(planes[:4, columns].T, spec), 2, axis=1)
        xyxy = corners(centre, sides)
        relative = is_relative(planes[0].max(), spec)
        if relative:
            xyxy = to_pixels(xyxy, io)

        def detailed(rows: I64) -> list[Detail]:
            further = dequantize(planes[4 + classes :, columns[rows]].T, spec)
            if masks is not None:
                return masks.polygons(further, xyxy[rows], fit)
            return keypoints.points(further, np.array(io.size if relative else (1, 1), np.float32), fit)

        more = detailed if masks is not None or len(keypoints) else None
        return suppressed(xyxy, score, class_id, fit, self._options.nms_iou, more)


def _cells_first(shape: tuple[int, ...], io: ModelIO) -> bool:
    """Whether rows are cells and columns values: told by how many cells the input has, else by there being more of
    them, which does not hold for small inputs and many classes."""
    rows, columns = (count in yolo_cell_counts(io.size) for count in shape[1:])
    return rows if rows != columns else shape[1] >= shape[2]
