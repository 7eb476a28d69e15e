"""YOLOv5 and YOLOv7: one output ``[1, cells * 3, 5 + classes]``, or three raw maps, one for each stride.

Input RGB / 255, letterboxed with 114. Decode (ultralytics/yolov5 models/yolo.py, ``Detect.forward``): with p the
sigmoid of a raw value, ``xy = (2 p - 0.5 + cell) * stride``, ``wh = (2 p) ** 2 * anchor``; score = objectness * class.
One output has that done already, in input pixels, or in 0-1 of the input for TFLite exports. Raw maps bear
no anchors; they are taken to have those that come with YOLOv5 (models/yolov5s.yaml), where no others are told.
Weights: AGPL-3.0 (YOLOv5), GPL-3.0 (YOLOv7).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, TypeAlias

import numpy as np

from edgerun.heads.candidates import best_class, corners, described, is_relative, sigmoid, suppressed, to_pixels
from edgerun.limits import Interval
from edgerun.quant import dequantize, lowest_stored
from edgerun.records import dataclass
from edgerun.types import F32, Array, Detections, Fit, InputLayout, ModelIO, TensorSpec

Three: TypeAlias = tuple[float, float, float, float, float, float]
"""Width and height of three anchors in pixels, in the form that YOLOv5's and YOLOv7's own files have them in."""

_STRIDES: Final = (8, 16, 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Yolov5Options:
    nms_iou: Annotated[float, Interval(gt=0, le=1)] = 0.45
    """Of two boxes of one class that overlap by more than this (IoU), the better one stays."""

    anchors: tuple[Three, Three, Three] = (
        (10, 13, 16, 30, 33, 23),
        (30, 61, 62, 45, 59, 119),
        (116, 90, 156, 198, 373, 326),
    )
    """Widths and heights in pixels of the three anchors of strides 8, 16 and 32, as in the model's .yaml; only a model
    exported with raw maps needs them. YOLOv7 has `[[12, 16, 19, 36, 40, 28], [36, 75, 76, 55, 72, 146], [142, 110, 192,
    243, 459, 401]]`, YOLOv7-tiny YOLOv5's; training prints others where it found better ones (AutoAnchor)."""


class Yolov5:
    """Decodes YOLOv5 and YOLOv7, float or quantized."""

    def __init__(self, options: Yolov5Options) -> None:
        self._options = options

    def layout(self, io: ModelIO) -> InputLayout:
        return InputLayout(color="rgb", fit="letterbox", std=(255.0, 255.0, 255.0))

    def decode(self, outputs: Sequence[Array], io: ModelIO, fit: Fit, min_score: float) -> Detections:
        pairs = [(o, s) for o, s in zip(outputs, io.outputs, strict=True) if o.ndim >= 3]
        if len(pairs) == 1 and pairs[0][0].ndim == 3 and pairs[0][0].shape[2] > 5:
            found = _rows(*pairs[0], io, min_score)
        elif len(pairs) == 3 and all(o.ndim >= 4 for o, _ in pairs):
            found = np.concatenate([self._from_map(output, spec, io, min_score) for output, spec in pairs])
        else:
            raise ValueError(f"yolov5 expects [1, boxes, 5 + classes] or three raw maps, got {described(outputs)}")
        class_id, class_score = best_class(found[:, 5:])
        score = found[:, 4] * class_score
        good = score >= min_score
        xyxy = corners(found[good, :2], found[good, 2:4])
        return suppressed(xyxy, score[good], class_id[good], fit, self._options.nms_iou)

    def _from_map(self, stored: Array, spec: TensorSpec, io: ModelIO, min_score: float) -> F32:
        """The same of a raw map ``[1, 3, rows, columns, 5 + classes]`` or ``[1, 3 * (5 + classes), rows, columns]``."""
        if stored.ndim == 4:
            stored = stored.reshape(1, 3, -1, *stored.shape[2:]).transpose(0, 1, 3, 4, 2)
        maps = stored[0]
        stride = io.size[0] // maps.shape[2]
        if stride not in _STRIDES or maps.shape[3] < 6:
            raise ValueError(f"yolov5 knows raw maps of strides 8, 16 and 32, got one of shape {list(stored.shape)}")
        least = lowest_stored(float(np.log(min_score / (1 - min_score))) if 0 < min_score < 1 else -80.0, spec)
        sides = np.array(self._options.anchors[_STRIDES.index(stride)], np.float32).reshape(3, 2)
        anchor, y, x = np.nonzero(maps[..., 4] >= least)
        found = sigmoid(dequantize(maps[anchor, y, x], spec))
        found[:, :2] = (2 * found[:, :2] - 0.5 + np.stack([x, y], axis=1)) * stride
        found[:, 2:4] = (2 * found[:, 2:4]) ** 2 * sides[anchor]
        return found


def _rows(stored: Array, spec: TensorSpec, io: ModelIO, min_score: float) -> F32:
    """Rows of one decoded output whose objectness, which bounds the score, reaches ``min_score``."""
    found = dequantize(stored[0, stored[0, :, 4] >= lowest_stored(min_score, spec)], spec)
    if is_relative(stored[0, :, 0].max(), spec):
        found[:, :4] = to_pixels(found[:, :4], io)
    return found
