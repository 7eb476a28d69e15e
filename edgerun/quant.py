"""Quantized tensors and back: ``real = (stored - zero_point) * scale``, by each tensor's own TensorSpec."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import numpy as np

from edgerun.records import dataclass
from edgerun.types import F32, Array, InputLayout, TensorSpec

PixelKind: TypeAlias = Literal["identity", "xor", "lut", "float"]


def quantize(real: Array, spec: TensorSpec) -> Array:
    """Real values to the stored values of ``spec``: rounded half to even and clipped to its dtype.

    A tensor without a scale is only cast.
    """
    dtype = np.dtype(spec.dtype)
    if not spec.scale:
        return real.astype(dtype)
    limits = np.iinfo(dtype)
    steps = np.rint(np.asarray(real, np.float64) / spec.scale) + spec.zero_point
    stored: Array = np.clip(steps, limits.min, limits.max).astype(dtype)
    return stored


def dequantize(stored: Array, spec: TensorSpec) -> F32:
    """Stored values of any shape to real values, f32; a tensor without a scale is only cast."""
    real = stored.astype(np.float32)
    if spec.scale:
        real -= spec.zero_point
        real *= np.float32(spec.scale)
    return real


def lowest_stored(real: float, spec: TensorSpec) -> float:
    """The least stored value that stands for ``real`` or more, so that a threshold is applied before dequantizing.

    A whole number for a quantized tensor, so that the comparison stays in its own dtype; beyond the dtype's range
    where no stored value reaches ``real``.
    """
    if not spec.scale:
        return real
    # less half a millionth of a step, or 0.5 could come out one step above itself
    return math.ceil(real / spec.scale - 5e-7) + spec.zero_point


@dataclass(frozen=True, slots=True, eq=False)
class PixelTable:
    """How pixel values 0-255 become an input tensor's stored values, in the layout's channel order.

    ``identity``: the bytes as they are; ``xor``: ``(pixel ^ 0x80)`` read as int8; ``lut``: ``table[pixel, channel]``,
    in the tensor's dtype, shape (256, 3); ``float``: ``pixel * gain + bias``, both f32 (3,).
    """

    kind: PixelKind
    table: Array
    gain: F32
    bias: F32


def pixel_table(spec: TensorSpec, layout: InputLayout) -> PixelTable:
    """The cheapest exact way from pixels to the tensor of ``spec``.

    A quantized input is taken for plain bytes where the table differs from them by one step at most: models
    trained with scale 1/128 and zero point 128 see ``(pixel - 128) / 128`` where their float twin has
    ``(pixel - 127.5) / 127.5``.
    An integer input without a scale takes pixels as they are. Raises ValueError for a dtype that cannot hold a picture.
    """
    gain: F32 = (1 / np.asarray(layout.std)).astype(np.float32)
    bias: F32 = (-np.asarray(layout.mean) / np.asarray(layout.std)).astype(np.float32)
    dtype = np.dtype(spec.dtype)
    pixels = np.repeat(np.arange(256)[:, None], 3, axis=1)
    if dtype.kind == "f":
        return PixelTable("float", (pixels * gain + bias).astype(dtype), gain, bias)
    if dtype.kind not in "iu" or dtype.itemsize > 4 or (dtype.name in ("int8", "int16") and not spec.scale):
        raise ValueError(f"input {spec.name!r} of type {spec.dtype} cannot hold a picture")
    real = (pixels - np.asarray(layout.mean)) / np.asarray(layout.std)
    table = quantize(real if spec.scale else pixels, spec)
    kind: PixelKind = "lut"
    offset = {"uint8": 0, "int8": 128}.get(dtype.name)
    if offset is not None and np.abs(table.astype(np.int32) + offset - pixels).max() <= 1:
        kind = "xor" if offset else "identity"
    return PixelTable(kind, table, gain, bias)
