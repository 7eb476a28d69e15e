"""SSD models cut before their post-processing: box encodings and scores per anchor.

The whole network then runs on the accelerator, and only the few anchors above the threshold are decoded here.
Anchors and coding are those of "SSD: Single Shot MultiBox Detector" (Liu et al., 2016) with the parameters of
TensorFlow's object detection models at 300x300. The usual weights are under Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np

from edgerun.heads.candidates import suppressed, to_pixels
from edgerun.heads.pixels import Pixels, as_trained, layout_for
from edgerun.limits import Interval
from edgerun.quant import dequantize, lowest_stored
from edgerun.records import dataclass
from edgerun.types import F32, Array, Detections, Fit, InputLayout, ModelIO, TensorSpec

RATIOS = (1.0, 2.0, 0.5, 3.0, 1 / 3)
LAYERS = 6
LOG_LIMIT = 8.0
"""Sides are at most e^8 anchors: a damaged model must not overflow the exponential."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SsdRawOptions:
    """Raw SSD outputs: anchors and suppression."""

    nms_iou: Annotated[float, Interval(gt=0, le=1)] = 0.6
    """Boxes of one class that overlap a better one by more than this are dropped."""

    smallest: Annotated[float, Interval(gt=0, lt=1)] = 0.2
    """Scale of the first layer's anchors, as a part of the input's side."""

    largest: Annotated[float, Interval(gt=0, le=1)] = 0.95
    """Scale of the last layer's anchors, as a part of the input's side."""

    pixels: Pixels = "auto"
    """How the model wants its pixels: `bytes` 0-255, `unit` 0-1, `signed` -1-1, `imagenet` by ImageNet's mean and
    deviation. `auto`: signed, or where a quantized input cannot hold what is below 0, unit or bytes as it reaches."""


class SsdRaw:
    """Decodes ``boxes (1,N,4)`` as ``ty tx th tw`` and ``scores (1,N,1+classes)`` in 0-1, column 0 the background."""

    def __init__(self, options: SsdRawOptions) -> None:
        self._options = options
        self._reading: tuple[ModelIO, int, int, F32] | None = None
        """What ``_read`` found of the last model; replaced as a whole, as several threads may decode."""

    def layout(self, io: ModelIO) -> InputLayout:
        """RGB stretched to the input, -1 to 1 where it is float."""
        return layout_for(self._options.pixels, as_trained(io.inputs[0]))

    def decode(self, outputs: Sequence[Array], io: ModelIO, fit: Fit, min_score: float) -> Detections:
        """Scores are compared as stored, quantized or not; what remains is dequantized, decoded and suppressed."""
        reading = self._reading
        if reading is None or reading[0] is not io:
            reading = self._reading = self._read(io)
        _, boxes, scores, anchors = reading
        if len(anchors) != outputs[boxes].shape[1]:
            raise ValueError(f"head ssd_raw makes {len(anchors)} anchors for {io.size}, the model has other ones")
        classes = outputs[scores].shape[2] - 1
        chosen = (outputs[scores][0, :, 1:] >= lowest_stored(min_score, io.outputs[scores])).ravel().nonzero()[0]
        if not len(chosen):
            return Detections.empty()
        rows, class_id = np.divmod(chosen, classes)
        coded = dequantize(outputs[boxes][0, rows], io.outputs[boxes])
        xyxy = to_pixels(_decoded(coded, anchors[rows]), io)
        score = dequantize(outputs[scores][0, rows, 1 + class_id], io.outputs[scores])
        return suppressed(xyxy, score, class_id.astype(np.int32), fit, self._options.nms_iou)

    def _read(self, io: ModelIO) -> tuple[ModelIO, int, int, F32]:
        """What is the same for each frame: which output is which, and the anchors."""
        boxes, scores = find_outputs(io.outputs)
        return io, boxes, scores, _anchors(io.size, self._options.smallest, self._options.largest)


def find_outputs(specs: tuple[TensorSpec, ...]) -> tuple[int, int]:
    """Which output holds the boxes and which the scores. Raises ValueError where shapes and names do not tell."""
    shapes = [spec.shape for spec in specs]
    if len(specs) == 2 and all(len(shape) == 3 and shape[:2] == shapes[0][:2] for shape in shapes):
        widths = [shape[2] for shape in shapes]
        if widths.count(4) == 1 and min(widths) > 1:
            return widths.index(4), 1 - widths.index(4)
        by_name = [i for i, spec in enumerate(specs) if "score" in spec.name.lower() or "class" in spec.name.lower()]
        if widths == [4, 4] and len(by_name) == 1:
            return 1 - by_name[0], by_name[0]
    raise ValueError(f"head ssd_raw expects boxes [1,N,4] and scores [1,N,1+classes]; the model gives {shapes}")


def _anchors(size: tuple[int, int], smallest: float, largest: float) -> F32:
    """Anchors ``cy cx h w`` in 0-1, f32 (N, 4), in the order of the model's outputs: layer, row, column, shape.

    Layer k of 6 has the scale ``smallest + (largest - smallest) k / 5``. The first layer has three shapes: half the
    smallest scale as a square, and the smallest scale at ratios 2 and 1/2; the others have five ratios and a square
    between their own scale and the next. Width is ``scale * sqrt(ratio)``, height ``scale / sqrt(ratio)``.
    """
    scales = [smallest + (largest - smallest) * k / (LAYERS - 1) for k in range(LAYERS)] + [1.0]
    columns, rows = (-(-side // 16) for side in size)
    layers = []
    for k in range(LAYERS):
        shapes = [(scales[k], ratio) for ratio in RATIOS] + [(float(np.sqrt(scales[k] * scales[k + 1])), 1.0)]
        if k == 0:
            shapes = [(smallest / 2, 1.0), (smallest, 2.0), (smallest, 0.5)]
        sides = np.array([(scale / np.sqrt(ratio), scale * np.sqrt(ratio)) for scale, ratio in shapes])
        grid = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), axis=-1).reshape(-1, 1, 2)
        centres = np.broadcast_to((grid + 0.5) / (rows, columns), (rows * columns, len(shapes), 2))
        layers.append(np.concatenate([centres, np.broadcast_to(sides, centres.shape)], axis=2).reshape(-1, 4))
        columns, rows = -(-columns // 2), -(-rows // 2)
    made: F32 = np.concatenate(layers).astype(np.float32)
    return made


def _decoded(coded: F32, anchors: F32) -> F32:
    """``x1 y1 x2 y2`` in 0-1 from codes with the usual variances: centres in tenths of the anchor's sides, the
    logarithm of the sides in fifths."""
    centre = coded[:, :2] * anchors[:, 2:]
    centre /= 10
    centre += anchors[:, :2]
    half = np.exp(np.minimum(coded[:, 2:] / 5, LOG_LIMIT))
    half *= anchors[:, 2:]
    half /= 2
    xyxy = np.empty((len(coded), 4), np.float32)
    np.subtract(centre[:, ::-1], half[:, ::-1], out=xyxy[:, :2])
    np.add(centre[:, ::-1], half[:, ::-1], out=xyxy[:, 2:])
    return xyxy
