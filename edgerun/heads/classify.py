"""Classifiers: one output ``[1, classes]``, also as ``[1, classes, 1, 1]`` or ``[1, 1, 1, classes]``.

They find no boxes: what they say holds for all that they are shown, so the box is the whole frame, or the whole crop
with ``regions``. MobileNet, EfficientNet-Lite and the like (TensorFlow's and Coral's, Apache-2.0), Ultralytics'
``-cls`` models (AGPL-3.0), torchvision's (BSD-3-Clause, weights as their data sets allow), models of your own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from edgerun.heads.candidates import described, sigmoid
from edgerun.heads.pixels import IMAGENET, SIGNED, UNIT, Pixels, layout_for
from edgerun.quant import dequantize
from edgerun.records import dataclass
from edgerun.types import F32, Array, Detections, Fit, InputLayout, ModelIO, TensorSpec

_NEARLY_ONE: Final = 0.05
"""Probabilities kept in 8 bits add up to no more than 1 and this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifyOptions:
    pixels: Pixels = "auto"
    """How the model wants its pixels: `bytes` 0-255, `unit` 0-1, `signed` -1-1, `imagenet` by ImageNet's mean and
    deviation. `auto`: a quantized input takes bytes over its whole range; else Ultralytics' models take unit, those
    with channels first imagenet, those with channels last signed."""


class Classify:
    """Reads the best class, if it is good enough, as one object as large as what was looked at."""

    def __init__(self, options: ClassifyOptions) -> None:
        self._options = options

    def layout(self, io: ModelIO) -> InputLayout:
        """RGB stretched to the input."""
        return layout_for(self._options.pixels, _usual(io))

    def decode(self, outputs: Sequence[Array], io: ModelIO, fit: Fit, min_score: float) -> Detections:
        if len(outputs) != 1 or max(outputs[0].shape, default=0) != outputs[0].size or not outputs[0].size:
            raise ValueError(f"classify expects one output [1, classes], got {described(outputs)}")
        score = _probabilities(dequantize(outputs[0], io.outputs[0]).reshape(-1))
        best = int(score.argmax())
        if not score[best] >= min_score:  # nor a NaN
            return Detections.empty()
        return Detections(np.array([fit.region], np.float32), score[[best]], np.array([best], np.int32))


def is_one_row(shape: Sequence[int]) -> bool:
    """Whether a shape holds one number for each of several classes and nothing else."""
    return len(shape) in (2, 4) and shape[0] == 1 and sum(n != 1 for n in shape) == 1


def _usual(io: ModelIO) -> InputLayout:
    if io.inputs[0].scale:
        return _whole_range(io.inputs[0])
    if "task" in io.metadata:
        return UNIT
    return IMAGENET if io.channels_first else SIGNED


def _whole_range(spec: TensorSpec) -> InputLayout:
    """The layout that leaves a quantized input's bytes as the pixels are, 0 its least value and 255 its highest."""
    limits = np.iinfo(spec.dtype)
    low, high = ((stored - spec.zero_point) * spec.scale for stored in (limits.min, limits.max))
    std = 255 / (high - low)
    return InputLayout(mean=(-low * std,) * 3, std=(std,) * 3)


def _probabilities(values: F32) -> F32:
    """As they are where they add up to one, or to less, as those do of which many are rounded to nothing; else by
    softmax. A single number by the logistic function, unless it is a probability already."""
    within = bool(((values >= 0) & (values <= 1)).all())
    if len(values) == 1:
        return values if within else sigmoid(values)
    if within and float(values.sum()) <= 1 + _NEARLY_ONE:
        return values
    weight = np.exp(values - values.max())
    share: F32 = (weight / weight.sum()).astype(np.float32)
    return share
