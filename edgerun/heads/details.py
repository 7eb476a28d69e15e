"""What a model tells beyond boxes: outlines from masks, and key points. Made for the boxes that are left in the end."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, TypeAlias

import numpy as np

from edgerun.limits import Interval
from edgerun.outlines import outline
from edgerun.quant import dequantize
from edgerun.records import dataclass
from edgerun.types import F32, Array, Detail, Fit, ModelIO, TensorSpec

Keypoints: TypeAlias = tuple[Annotated[int, Interval(ge=1, le=1000)], Annotated[int, Interval(ge=2, le=3)]]


@dataclass(frozen=True, slots=True, eq=False)
class Prototypes:
    """Mask prototypes of a picture: each thing's mask is their sum, weighted by its own coefficients.

    Ultralytics ultralytics/utils/ops.py, ``process_mask``: the mask is where the sum is above 0, within the box.
    """

    stored: Array
    """(C,H,W), over the whole input."""
    spec: TensorSpec
    size: tuple[int, int]
    """The input's width and height."""

    def __len__(self) -> int:
        return len(self.stored)

    def polygons(self, coefficients: F32, xyxy: F32, fit: Fit) -> list[Detail]:
        """Outlines in the frame from coefficients (N,C) and boxes (N,4) in tensor pixels."""
        cell = np.array([self.size[0] / self.stored.shape[2], self.size[1] / self.stored.shape[1]] * 2, np.float32)
        last = np.array(self.stored.shape[:0:-1] * 2, np.float32)
        boxes = np.clip(xyxy / cell, 0, last)
        return [self._one(*row, cell[:2], fit) for row in zip(coefficients, boxes, strict=True)]

    def _one(self, coefficients: F32, box: F32, cell: F32, fit: Fit) -> Detail:
        left, top = np.floor(box[:2]).astype(int).tolist()
        right, bottom = np.ceil(box[2:]).astype(int).tolist()
        seen = self.stored[:, top:bottom, left:right]
        if not seen.size:
            return Detail()
        is_real = seen.dtype == np.float32 and not self.spec.scale  # spares a copy
        mask = np.einsum("c,chw->hw", coefficients, seen if is_real else dequantize(seen, self.spec))
        corners = outline(mask)
        if corners is None:
            return Detail()
        placed = fit.to_frame(np.clip(corners + np.array([left, top], np.float32), box[:2], box[2:]) * cell)
        apart = (placed != np.roll(placed, 1, axis=0)).any(axis=1)  # what was cut off is one corner many times
        return Detail(polygon=placed[apart]) if apart.sum() > 2 else Detail()


def prototypes(outputs: Sequence[Array], io: ModelIO) -> Prototypes | None:
    """The mask prototypes among the outputs, in either order of the axes; None where there are none."""
    for output, spec in zip(outputs, io.outputs, strict=True):
        if output.ndim == 4:
            width, height = io.size
            _, a, b, c = output.shape
            channels_last = a * width == b * height  # the axes that are in proportion are rows and columns
            if channels_last and b * width == c * height:
                channels_last = not io.channels_first
            return Prototypes(output[0].transpose(2, 0, 1) if channels_last else output[0], spec, io.size)
    return None


@dataclass(frozen=True, slots=True)
class KeypointShape:
    """How many key points each thing has, and how many values each of them: x, y, and mostly a score."""

    count: int = 0
    values: int = 3

    def __len__(self) -> int:
        return self.count * self.values

    def points(self, values: F32, scale: F32, fit: Fit) -> list[Detail]:
        """Key points in the frame from rows (N, count * values) of which x and y times ``scale`` are tensor pixels.

        Ultralytics ultralytics/nn/modules/head.py, ``Pose.kpts_decode``: the model has put them in their places.
        """
        found = values.reshape(-1, self.count, self.values)
        return [
            Detail(keypoints=np.concatenate([fit.to_frame(one[:, :2] * scale), one[:, 2:3]], axis=1)) for one in found
        ]


def keypoint_shape(metadata: Mapping[str, str], told: tuple[int, int] | None) -> KeypointShape:
    """What was ``told``, else what an Ultralytics export says of itself; else none."""
    if told is None and "kpt_shape" not in metadata:
        return _NO_KEYPOINTS
    numbers = told or tuple(map(int, re.findall(r"\d{1,4}", metadata["kpt_shape"])))
    return KeypointShape(*numbers) if len(numbers) == 2 and numbers[1] in (2, 3) else _NO_KEYPOINTS


_NO_KEYPOINTS = KeypointShape()
