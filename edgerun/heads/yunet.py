"""YuNet face detector: ``cls_S, obj_S, bbox_S, kps_S`` for strides 8, 16 and 32; class 0 is a face.

Input BGR 0-255, kept in proportion at the top left, the rest black. Decode (OpenCV
modules/objdetect/src/face_detect.cpp, ``postProcess``): ``score = sqrt(cls * obj)``, both clamped to 0-1,
``centre = (cell + p) * stride``, ``sides = exp(p) * stride``; the key points, as centres: right and left eye, nose,
right and left corner of the mouth. Weights: MIT (OpenCV model zoo) or BSD-3-Clause (libfacedetection.train).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import numpy as np

from edgerun.heads.candidates import cell_count, cells, corners, described, suppressed
from edgerun.limits import Interval
from edgerun.quant import dequantize
from edgerun.records import dataclass
from edgerun.types import F32, I64, Array, Detail, Detections, Fit, InputLayout, ModelIO

STRIDES: Final = (8, 16, 32)
_COLUMNS: Final = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}


@dataclass(frozen=True, slots=True, kw_only=True)
class YunetOptions:
    nms_iou: Annotated[float, Interval(gt=0, le=1)] = 0.3
    """Of two faces that overlap by more than this (IoU), the better one stays."""


class Yunet:
    """Decodes YuNet."""

    def __init__(self, options: YunetOptions) -> None:
        self._options = options

    def layout(self, io: ModelIO) -> InputLayout:
        return InputLayout(color="bgr", fit="letterbox-topleft", pad_value=0)

    def decode(self, outputs: Sequence[Array], io: ModelIO, fit: Fit, min_score: float) -> Detections:
        cls, obj, bbox = (self._joined(kind, outputs, io) for kind in ("cls", "obj", "bbox"))
        score = np.sqrt(np.clip(cls[:, 0], 0, 1) * np.clip(obj[:, 0], 0, 1))
        rows = np.flatnonzero(score >= min_score)
        place, stride = cells(io.size, STRIDES)
        place, stride, found = place[rows], stride[rows], bbox[rows]
        xyxy = corners((place + found[:, :2]) * stride, np.exp(found[:, 2:]) * stride)

        def detailed(kept: I64) -> list[Detail]:
            points = self._joined("kps", outputs, io)[rows[kept]].reshape(-1, 5, 2)
            placed = (points + place[kept, None]) * stride[kept, None]
            return [Detail(keypoints=fit.to_frame(one)) for one in placed]

        more = detailed if len(rows) and any(spec.name == "kps_8" for spec in io.outputs) else None
        return suppressed(xyxy, score[rows], np.zeros(len(rows), np.int32), fit, self._options.nms_iou, more)

    @staticmethod
    def _joined(kind: str, outputs: Sequence[Array], io: ModelIO) -> F32:
        """The outputs of one kind over all strides, f32 (cells, columns)."""
        by_name = {spec.name: (output, spec) for output, spec in zip(outputs, io.outputs, strict=True)}
        parts = []
        for stride in STRIDES:
            shape = (cell_count(io.size, [stride]), _COLUMNS[kind])
            output, spec = by_name.get(f"{kind}_{stride}", (np.zeros(0), io.outputs[0]))
            if output.size != shape[0] * shape[1]:
                raise ValueError(f"yunet expects an output {kind}_{stride} {list(shape)}, got {described(outputs)}")
            parts.append(dequantize(output.reshape(shape), spec))
        return np.concatenate(parts)
