"""PicoDet and PP-YOLOE (PaddleDetection), in the three forms they are exported in.

Input RGB with ImageNet's mean and deviation, stretched; PP-YOLOE+ is trained with pixels in 0-1
(configs/ppyoloe/_base_/ppyoloe_plus_reader.yml). Only the ``infer_cfg.yml`` beside a file tells the two apart. Forms:

- scores ``[1, cells, classes]`` and sides ``[1, cells, 32]`` for each of strides 8, 16, 32 and 64. Decode
  (PaddleDetection deploy/third_engine/demo_openvino/python/openvino_benchmark.py, ``PicoDetPostProcess``): each side's
  distance from the cell's centre is the mean of a softmax over the bins, times the stride.
- boxes ``[1, cells, 4]`` in pixels and scores ``[1, classes, cells]``, before suppression.
- rows ``class score x1 y1 x2 y2``, after suppression, with the inputs ``scale_factor`` and perhaps ``im_shape``.

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
    chosen,
    described,
    sides_to_corners,
    softmax_mean,
    suppressed,
)
from edgerun.heads.pixels import IMAGENET, UNIT, Pixels, layout_for
from edgerun.limits import Interval
from edgerun.quant import dequantize, lowest_stored
from edgerun.records import dataclass
from edgerun.types import F32, I32, Array, Detections, Fit, InputLayout, ModelIO, TensorSpec

STRIDES: Final = (8, 16, 32, 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class PicoDetOptions:
    pixels: Pixels = "auto"
    """How the model wants its pixels: `bytes` 0-255, `unit` 0-1, `signed` -1-1, `imagenet` by ImageNet's mean and
    deviation. `auto`: what PaddleDetection's infer_cfg.yml beside the model says; without one imagenet, as PicoDet and
    PP-YOLOE do, while PP-YOLOE+, which looks the same, needs unit."""

    nms_iou: Annotated[float, Interval(gt=0, le=1)] = 0.5
    """Of two boxes of one class that overlap by more than this (IoU), the better one stays."""


class PicoDet:
    """Decodes PicoDet and PP-YOLOE, with or without their post-processing in the model."""

    def __init__(self, options: PicoDetOptions) -> None:
        self._options = options

    def layout(self, io: ModelIO) -> InputLayout:
        return layout_for(self._options.pixels, UNIT if io.metadata.get("pixels") == "unit" else IMAGENET)

    def extra_inputs(self, io: ModelIO) -> list[Array]:
        """Values of the inputs after the picture, the same for each: boxes are wanted in the tensor's own pixels."""
        width, height = io.size
        known = {"scale_factor": (1.0, 1.0), "im_shape": (height, width)}
        if unknown := [spec.name for spec in io.inputs[1:] if spec.name not in known]:
            raise ValueError(f"picodet does not know what to give the inputs {', '.join(unknown)}")
        return [np.array([known[spec.name]], spec.dtype) for spec in io.inputs[1:]]

    def decode(self, outputs: Sequence[Array], io: ModelIO, fit: Fit, min_score: float) -> Detections:
        for output in outputs:
            if output.ndim == 2 and output.shape[1] == 6:
                good = output[output[:, 1] >= min_score].astype(np.float32)
                return chosen(good[:, 2:], good[:, 1], good[:, 0].astype(np.int32), fit)
        pairs = [(o[0], s) for o, s in zip(outputs, io.outputs, strict=True) if o.ndim == 3]
        if len(pairs) == 2 * len(STRIDES):
            parts = [self._level(level, stride, pairs, io, min_score) for level, stride in enumerate(STRIDES)]
        elif len(pairs) == 2:
            boxes, scores = sorted(pairs, key=lambda pair: pair[0].shape[1] != 4)
            parts = [self._whole(boxes, scores, min_score)]
        else:
            raise ValueError(f"picodet expects 8 outputs, or boxes and scores, or [N, 6]; got {described(outputs)}")
        xyxy, score, class_id = (np.concatenate(column) for column in zip(*parts, strict=True))
        return suppressed(xyxy, score, class_id, fit, self._options.nms_iou)

    @staticmethod
    def _level(
        level: int, stride: int, pairs: Sequence[tuple[Array, TensorSpec]], io: ModelIO, min_score: float
    ) -> tuple[F32, F32, I32]:
        (scores, score_spec), (sides, side_spec) = pairs[level], pairs[level + len(STRIDES)]
        if not len(scores) == len(sides) == cell_count(io.size, [stride]) or sides.shape[1] % 4:
            raise ValueError(f"picodet expects scores for four strides, then sides; got {scores.shape}, {sides.shape}")
        rows = np.flatnonzero(scores.max(axis=1) >= lowest_stored(min_score, score_spec))
        class_id, score = best_class(dequantize(scores[rows], score_spec))
        bins = dequantize(sides[rows], side_spec).reshape(len(rows), 4, sides.shape[1] // 4)  # there may be no rows
        distance = softmax_mean(bins) * np.float32(stride)
        place, _ = cells(io.size, (stride,))
        return sides_to_corners((place[rows] + np.float32(0.5)) * np.float32(stride), distance), score, class_id

    @staticmethod
    def _whole(
        boxes: tuple[Array, TensorSpec], scores: tuple[Array, TensorSpec], min_score: float
    ) -> tuple[F32, F32, I32]:
        columns = np.flatnonzero(scores[0].max(axis=0) >= lowest_stored(min_score, scores[1]))
        class_id, score = best_class(dequantize(scores[0][:, columns].T, scores[1]))
        return dequantize(boxes[0][columns], boxes[1]), score, class_id
