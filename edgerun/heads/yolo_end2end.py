"""End-to-end YOLO (YOLOv10, YOLO26, and Ultralytics exports with ``nms=True``): one output ``[1, N, 6]``.

Input RGB / 255, letterboxed with 114. Rows are ``x1 y1 x2 y2 score class``, best first, no suppression needed
(Ultralytics ultralytics/nn/modules/head.py, ``Detect.postprocess``); coordinates in input pixels, in 0-1 of the input
for older TFLite exports. Further columns are mask coefficients, of prototypes in a second output, or key points.
Weights: AGPL-3.0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgerun.heads.candidates import chosen, described, is_relative, output_of_rows, to_pixels
from edgerun.heads.details import Keypoints, keypoint_shape, prototypes
from edgerun.quant import dequantize, lowest_stored
from edgerun.records import dataclass
from edgerun.types import I64, Array, Detail, Detections, Fit, InputLayout, ModelIO


@dataclass(frozen=True, slots=True, kw_only=True)
class YoloEnd2EndOptions:
    keypoints: Keypoints | None = None
    """How many key points a pose model finds, and how many values each has: `[17, 3]` for persons. By default what the
    file says of itself."""


class YoloEnd2End:
    """Reads boxes that the model already chose."""

    def __init__(self, options: YoloEnd2EndOptions) -> None:
        self._options = options

    def layout(self, io: ModelIO) -> InputLayout:
        return InputLayout(color="rgb", fit="letterbox", std=(255.0, 255.0, 255.0))

    def decode(self, outputs: Sequence[Array], io: ModelIO, fit: Fit, min_score: float) -> Detections:
        stored, spec = output_of_rows(outputs, io)
        if stored.shape[2] < 6:
            raise ValueError(f"yolo_end2end expects [1, boxes, 6], got {described(outputs)}")
        rows = stored[0, stored[0, :, 4] >= lowest_stored(min_score, spec)]
        if not len(rows):
            return Detections.empty()
        found = dequantize(rows, spec)
        relative = is_relative(stored[0, :, :4].max(), spec)
        xyxy = to_pixels(found[:, :4], io) if relative else found[:, :4]
        masks, keypoints = prototypes(outputs, io), keypoint_shape(io.metadata, self._options.keypoints)

        def detailed(rows: I64) -> list[Detail]:
            if masks is not None:
                return masks.polygons(found[rows, 6:], xyxy[rows], fit)
            return keypoints.points(found[rows, 6:], np.array(io.size if relative else (1, 1), np.float32), fit)

        expected = len(keypoints) if masks is None else len(masks)
        more = detailed if expected and found.shape[1] == 6 + expected else None
        return chosen(xyxy, found[:, 4], np.rint(found[:, 5]).astype(np.int32), fit, more)
