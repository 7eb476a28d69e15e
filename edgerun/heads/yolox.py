"""YOLOX (Megvii): one output ``[1, cells, 5 + classes]`` over strides 8, 16 and 32.

Input BGR 0-255, letterboxed from the top left with 114 (YOLOX yolox/data/data_augment.py, ``preproc``).
Decode (YOLOX yolox/utils/demo_utils.py, ``demo_postprocess``): ``xy = (p + cell) * stride``, ``wh = exp(p) * stride``;
score = objectness * class, both already sigmoids. Weights: Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import numpy as np

from edgerun.heads.candidates import best_class, cell_count, cells, corners, described, suppressed
from edgerun.limits import Interval
from edgerun.quant import dequantize, lowest_stored
from edgerun.records import dataclass
from edgerun.types import Array, Detections, Fit, InputLayout, ModelIO

STRIDES: Final = (8, 16, 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class YoloxOptions:
    nms_iou: Annotated[float, Interval(gt=0, le=1)] = 0.45
    """Of two boxes of one class that overlap by more than this (IoU), the better one stays."""


class Yolox:
    """Decodes YOLOX, whether the export left the grid to us or did it itself (``--decode_in_inference``)."""

    def __init__(self, options: YoloxOptions) -> None:
        self._options = options

    def layout(self, io: ModelIO) -> InputLayout:
        return InputLayout(color="bgr", fit="letterbox-topleft")

    def decode(self, outputs: Sequence[Array], io: ModelIO, fit: Fit, min_score: float) -> Detections:
        stored, spec = outputs[0], io.outputs[0]
        if stored.ndim != 3 or stored.shape[1] != cell_count(io.size, STRIDES) or stored.shape[2] < 6:
            raise ValueError(
                f"yolox expects [1, {cell_count(io.size, STRIDES)}, 5 + classes], got {described(outputs)}"
            )
        # Objectness alone bounds the score, so most rows go before anything is multiplied.
        rows = np.flatnonzero(stored[0, :, 4] >= lowest_stored(min_score, spec))
        found = dequantize(stored[0, rows], spec)
        class_id, class_score = best_class(found[:, 5:])
        score = found[:, 4] * class_score
        good = score >= min_score
        rows, found, score, class_id = rows[good], found[good], score[good], class_id[good]
        centre, sides = found[:, :2], found[:, 2:4]
        # Offsets within a cell stay near 0; centres in pixels cover the picture.
        decoded = float(dequantize(stored[0, :, 0].max(), spec)) > io.size[0] / 4
        if not decoded:
            place, stride = cells(io.size, STRIDES)
            centre, sides = (centre + place[rows]) * stride[rows], np.exp(sides) * stride[rows]
        return suppressed(corners(centre, sides), score, class_id, fit, self._options.nms_iou)
