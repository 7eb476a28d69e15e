"""RF-DETR: ``dets [1, N, 4]`` (centre and sides in 0-1) and ``labels [1, N, classes]`` (logits).

Input RGB with ImageNet's mean and deviation, stretched. Decode (roboflow/rf-detr rfdetr/models/lwdetr.py,
``PostProcess``): sigmoid of each logit, the 300 best pairs of box and class; no suppression needed. The classes of the
published weights are COCO's 91 category numbers, of which 0 is not used. Weights: Apache-2.0 (Nano to Large);
XL and 2XL have a licence of their own (PML 1.0).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from edgerun.heads.candidates import chosen, corners, described, sigmoid, to_pixels
from edgerun.heads.pixels import IMAGENET
from edgerun.quant import dequantize
from edgerun.records import dataclass
from edgerun.types import Array, Detections, Fit, InputLayout, ModelIO

_MOST: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class RfdetrOptions:
    """Nothing to set: suppression is not needed."""


class Rfdetr:
    """Decodes RF-DETR."""

    def __init__(self, options: RfdetrOptions) -> None:
        del options

    def layout(self, io: ModelIO) -> InputLayout:
        return IMAGENET

    def decode(self, outputs: Sequence[Array], io: ModelIO, fit: Fit, min_score: float) -> Detections:
        by_name = {spec.name: (output, spec) for output, spec in zip(outputs, io.outputs, strict=True)}
        if not {"dets", "labels"} <= by_name.keys():
            raise ValueError(f"rfdetr expects outputs dets and labels, got {', '.join(by_name)}")
        (boxes, box_spec), (logits, logit_spec) = by_name["dets"], by_name["labels"]
        if boxes.ndim != 3 or logits.ndim != 3 or boxes.shape[1:] != (logits.shape[1], 4):
            raise ValueError(f"rfdetr expects dets [1, N, 4] and labels [1, N, classes], got {described(outputs)}")
        scores = sigmoid(dequantize(logits[0], logit_spec))
        query, class_id = np.nonzero(scores >= min_score)
        order = np.argsort(-scores[query, class_id], kind="stable")[:_MOST]
        query, class_id = query[order], class_id[order]
        found = dequantize(boxes[0, query], box_spec)
        xyxy = to_pixels(corners(found[:, :2], found[:, 2:]), io)
        return chosen(xyxy, scores[query, class_id], class_id.astype(np.int32), fit)
