"""How models want the values of their picture's pixels, where that is not the same for all that a head reads."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

from edgerun.types import InputLayout, TensorSpec

Pixels = Literal["auto", "bytes", "unit", "signed", "imagenet"]
"""0-255, 0-1, -1 to 1, or by ImageNet's mean and deviation; `auto`: what is usual with the head."""

SIGNED: Final = InputLayout(mean=(127.5,) * 3, std=(127.5,) * 3)
"""RGB in -1 to 1, stretched."""
IMAGENET: Final = InputLayout(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
"""RGB by ImageNet's mean and standard deviation, .485 .456 .406 and .229 .224 .225 of 0-1, stretched."""
UNIT: Final = InputLayout(std=(255.0,) * 3)
"""RGB in 0 to 1, stretched."""
_CHOSEN: Final = {"bytes": InputLayout(), "unit": UNIT, "signed": SIGNED, "imagenet": IMAGENET}

_BELOW_ZERO: Final = -0.1
"""What the rounding of a quantized 0 may come to is above this."""
_UNIT_MOST: Final = 2.0
"""What is in 0-1 reaches no further, however it was calibrated."""


def layout_for(pixels: Pixels, usual: InputLayout) -> InputLayout:
    """RGB stretched to the input."""
    return usual if pixels == "auto" else _CHOSEN[pixels]


def as_trained(picture: TensorSpec) -> InputLayout:
    """Of models that are trained with pixels in -1 to 1: ``SIGNED``; but a quantized input that cannot hold what is
    below 0 was trained in 0-1, or, where it reaches far beyond 1, with the pixels as they are."""
    if not picture.scale:
        return SIGNED
    limits = np.iinfo(picture.dtype)
    low, high = ((stored - picture.zero_point) * picture.scale for stored in (limits.min, limits.max))
    if low < _BELOW_ZERO:
        return SIGNED
    return UNIT if high < _UNIT_MOST else InputLayout()
