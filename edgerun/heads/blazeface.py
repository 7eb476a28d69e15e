"""BlazeFace (MediaPipe): ``regressors [1, anchors, 16]`` and ``classificators [1, anchors, 1]``; class 0 is a face.

Input RGB in -1..1, letterboxed with black. Short range: 128 or 256 pixels, 896 anchors: two in each cell of a 16x16
grid, then six in each of an 8x8 grid; full range: 192 pixels, one in each cell of a 48x48 grid; all at cell centres.
Decode (MediaPipe mediapipe/calculators/tensor/tensors_to_detections_calculator.cc): score = sigmoid of the logit
clipped to +-100; centre = anchor + p, sides = p, in input pixels; six key points as centres: right and left eye, nose,
mouth, right and left ear. Overlapping faces are averaged by their scores, key points and all
(mediapipe/calculators/util/non_max_suppression_calculator.cc, weighted). Weights: Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import numpy as np

from edgerun.boxes import iou
from edgerun.heads.candidates import cells, chosen, corners, described, sigmoid
from edgerun.limits import Interval
from edgerun.quant import dequantize
from edgerun.records import dataclass
from edgerun.types import F32, I64, Array, Detail, Detections, Fit, InputLayout, ModelIO

GRIDS: Final = {896: ((16, 2), (8, 6)), 2304: ((48, 1),)}
"""Number of anchors -> (cells along a side, anchors in each) by level."""
_VALUES: Final = 16
"""Box and six keypoints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlazeFaceOptions:
    nms_iou: Annotated[float, Interval(gt=0, le=1)] = 0.3
    """Faces that overlap by more than this (IoU) are taken for one, averaged by their scores."""


class BlazeFace:
    """Decodes BlazeFace."""

    def __init__(self, options: BlazeFaceOptions) -> None:
        self._options = options

    def layout(self, io: ModelIO) -> InputLayout:
        return InputLayout(color="rgb", fit="letterbox", mean=(127.5,) * 3, std=(127.5,) * 3, pad_value=0)

    def decode(self, outputs: Sequence[Array], io: ModelIO, fit: Fit, min_score: float) -> Detections:
        pairs = sorted(zip(outputs, io.outputs, strict=True), key=lambda pair: pair[0].shape[-1] == 1)
        shapes = [output.shape[1:] for output, _ in pairs]
        count = shapes[0][0] if shapes[0] else 0
        if count not in GRIDS or shapes != [(count, _VALUES), (count, 1)]:
            raise ValueError(f"blazeface expects [1, 896, 16] and [1, 896, 1], got {described(outputs)}")
        (regressors, box_spec), (logits, logit_spec) = pairs
        score = sigmoid(dequantize(logits[0, :, 0], logit_spec))
        rows = np.flatnonzero(score >= min_score)
        found = dequantize(regressors[0, rows], box_spec)
        anchors = _anchors(count, io.size[0])[rows]
        xyxy = corners(found[:, :2] + anchors, found[:, 2:4])
        points = found[:, 4:] + np.tile(anchors, 6)
        faces, score = _averaged(np.concatenate([xyxy, points], axis=1), score[rows], self._options.nms_iou)

        def detailed(kept: I64) -> list[Detail]:
            return [Detail(keypoints=fit.to_frame(one)) for one in faces[kept, 4:].reshape(-1, 6, 2)]

        return chosen(faces[:, :4], score, np.zeros(len(score), np.int32), fit, detailed)


def _anchors(count: int, size: int) -> F32:
    """Centres of all anchors in pixels, f32 (count, 2)."""
    levels = []
    for side, each in GRIDS[count]:
        place, stride = cells((size, size), (size // side,))
        levels.append(np.repeat((place + np.float32(0.5)) * stride, each, axis=0))
    return np.concatenate(levels)


def _averaged(faces: F32, score: F32, iou_limit: float) -> tuple[F32, F32]:
    """Each best face left takes in all whose boxes (the first four columns) overlap its own; the new face is their
    mean weighted by score."""
    left = np.argsort(-score, kind="stable")
    means, scores = [], []
    while len(left):
        near = iou(faces[left[:1], :4], faces[left, :4])[0] > iou_limit
        near[0] = True
        group = left[near]
        means.append(np.average(faces[group], axis=0, weights=score[group]).astype(np.float32))
        scores.append(score[group[0]])
        left = left[~near]
    return np.array(means, np.float32).reshape(-1, faces.shape[1]), np.array(scores, np.float32)
