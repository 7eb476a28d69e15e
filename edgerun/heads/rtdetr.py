"""RT-DETR and D-FINE with their post-processing: ``labels [1, N]``, ``boxes [1, N, 4]`` and ``scores [1, N]``.

Input RGB / 255, stretched; D-FINE's own ONNX demo pads it to a square instead, which is an option here. The second
input, ``orig_target_sizes``, is width and height of what boxes are wanted in (lyuwenyu/RT-DETR
rtdetrv2_pytorch/tools/export_onnx.py; Peterande/D-FINE tools/deployment/export_onnx.py): the tensor itself. Boxes are
x1 y1 x2 y2; no suppression needed. Weights: Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgerun.heads.candidates import chosen, described
from edgerun.records import dataclass
from edgerun.types import Array, Detections, Fit, FitMode, InputLayout, ModelIO


@dataclass(frozen=True, slots=True, kw_only=True)
class RtdetrOptions:
    fit: FitMode = "stretch"
    """How the picture is laid into the input: ``stretch`` as in training, or ``letterbox``."""


class Rtdetr:
    """Reads boxes that the model already chose."""

    def __init__(self, options: RtdetrOptions) -> None:
        self._options = options

    def layout(self, io: ModelIO) -> InputLayout:
        return InputLayout(color="rgb", fit=self._options.fit, std=(255.0, 255.0, 255.0), pad_value=0)

    def extra_inputs(self, io: ModelIO) -> list[Array]:
        """Values of the inputs after the picture, the same for each: boxes are wanted in the tensor's own pixels."""
        return [np.array([io.size], spec.dtype) for spec in io.inputs[1:]]

    def decode(self, outputs: Sequence[Array], io: ModelIO, fit: Fit, min_score: float) -> Detections:
        by_name = {spec.name: output for output, spec in zip(outputs, io.outputs, strict=True)}
        if not {"labels", "boxes", "scores"} <= by_name.keys():
            raise ValueError(f"rtdetr expects outputs labels, boxes and scores, got {', '.join(by_name)}")
        labels, boxes, scores = by_name["labels"], by_name["boxes"], by_name["scores"]
        if boxes.ndim != 3 or boxes.shape[2] != 4 or not labels.shape == scores.shape == boxes.shape[:2]:
            raise ValueError(f"rtdetr expects labels, boxes and scores of equal length, got {described(outputs)}")
        good = scores[0] >= min_score
        return chosen(boxes[0, good].astype(np.float32), scores[0, good], labels[0, good].astype(np.int32), fit)
