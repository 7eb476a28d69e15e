"""SSD models that end in TFLite_Detection_PostProcess: boxes, classes, scores and count come decoded.

Also EfficientDet-Lite and what else ends in this operation. Usual weights (TensorFlow's model zoos, Coral's test
models) are under Apache-2.0. Class 0 is the first real class. The same four outputs by the names of TensorFlow's
object detection models (``detection_boxes``, ...) count classes from 1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from edgerun.heads.candidates import chosen, described, to_pixels
from edgerun.heads.pixels import Pixels, as_trained, layout_for
from edgerun.quant import dequantize
from edgerun.records import dataclass
from edgerun.types import Array, Detections, Fit, InputLayout, ModelIO, TensorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class SsdOptions:
    """Post-processed SSD: its outputs need nothing to be set."""

    pixels: Pixels = "auto"
    """How the model wants its pixels: `bytes` 0-255, `unit` 0-1, `signed` -1-1, `imagenet` by ImageNet's mean and
    deviation. `auto`: signed, or where a quantized input cannot hold what is below 0, unit or bytes as it reaches."""


_IN_WORDS: Final = ("detection_boxes", "detection_classes", "detection_scores", "num_detections")


class Order(NamedTuple):
    """Where among a model's outputs each meaning stands, and the number of the first class."""

    boxes: int
    classes: int
    scores: int
    amount: int
    first: int = 0


class Ssd:
    """Decodes the four outputs, whose order differs between exporters."""

    def __init__(self, options: SsdOptions) -> None:
        self._options = options
        self._orders: dict[tuple[TensorSpec, ...], Order] = {}

    def layout(self, io: ModelIO) -> InputLayout:
        """RGB stretched to the input, -1 to 1 where it is float."""
        return layout_for(self._options.pixels, as_trained(io.inputs[0]))

    def decode(self, outputs: Sequence[Array], io: ModelIO, fit: Fit, min_score: float) -> Detections:
        """Boxes come as ``ymin xmin ymax xmax`` in 0-1 of the input, best first; rows beyond the count are noise."""
        real = [dequantize(output, spec) for output, spec in zip(outputs, io.outputs, strict=True)]
        order = self._orders.get(io.outputs)
        if order is None:
            order, certain = tell_apart(real, io.outputs)
            if certain:
                self._orders[io.outputs] = order
        n = max(0, min(int(real[order.amount].flat[0]), real[order.scores].size))
        xyxy = to_pixels(real[order.boxes].reshape(-1, 4)[:n, [1, 0, 3, 2]], io)
        score = real[order.scores].reshape(-1)[:n]
        class_id = np.rint(real[order.classes].reshape(-1)[:n]).astype(np.int32) - order.first
        good = (score >= min_score) & (class_id >= 0)
        return chosen(xyxy[good], score[good], class_id[good], fit)


def tell_apart(outputs: Sequence[Array], specs: Sequence[TensorSpec]) -> tuple[Order, bool]:
    """Which output is which, and whether that is certain.

    The boxes are the one of rank 3 (or Nx4), the count the single number. Scores and classes have one shape: TF1 names
    them in the operation's order (boxes, classes, scores, count), TF2 signatures in the reverse; without such names
    the one that holds fractions is the scores, and until one does the operation's own order is assumed.
    Raises ValueError where the shapes are others.
    """
    ranks = [output.ndim for output in outputs]
    rank = max([2, *ranks])  # where there are four boxes, their scores and classes end in four as well
    boxes = [i for i, output in enumerate(outputs) if output.size and output.shape[-1] == 4 and ranks[i] == rank]
    counts = [i for i, output in enumerate(outputs) if output.size == 1 and i not in boxes]
    if len(outputs) != 4 or len(boxes) != 1 or not counts:
        raise ValueError(f"head ssd expects boxes, classes, scores and a count; the model gives {described(outputs)}")
    count = counts[0] if len(counts) == 1 else min(counts, key=lambda i: outputs[i].ndim)
    first, second = (i for i in range(4) if i not in (boxes[0], count))
    named = _by_name(specs)
    if named and named.boxes == boxes[0] and outputs[named.amount].size == 1:
        return named, True
    for classes, scores in ((first, second), (second, first)):
        if np.any(outputs[scores] != np.rint(outputs[scores])) or np.any(outputs[classes] > 1):
            return Order(boxes[0], classes, scores, count), True
    return Order(boxes[0], first, second, count), False


def _by_name(specs: Sequence[TensorSpec]) -> Order | None:
    """The order that the names tell, if they do: ``TFLite_Detection_PostProcess[:k]`` counts boxes, classes, scores,
    count; ``output_k`` and ``StatefulPartitionedCall:k`` count the other way round, with scores before classes;
    ``detection_classes`` are those of TensorFlow's models before they are cut for TFLite, where 0 is the background
    (models/research/object_detection/exporter_lib_v2.py, ``label_id_offset``)."""
    bare = [spec.name.removesuffix(":0") for spec in specs]
    if set(bare) == set(_IN_WORDS):
        boxes, classes, scores, count = (bare.index(name) for name in _IN_WORDS)
        return Order(boxes, classes, scores, count, first=1)
    found = [
        re.fullmatch(r"(TFLite_Detection_PostProcess|StatefulPartitionedCall|output)(?:[:_](\d))?", spec.name)
        for spec in specs
    ]
    numbers = [int(match[2] or 0) for match in found if match]
    if sorted(numbers) != [0, 1, 2, 3]:
        return None
    place = [numbers.index(k) for k in range(4)]
    if specs[0].name.startswith("TFLite"):
        return Order(*place)
    count, scores, classes, boxes = place
    return Order(boxes, classes, scores, count)
