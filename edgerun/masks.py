"""What is asked of masks of a few rows, many times a frame: by their bytes, as numpy's own ways take several times as
long for so few."""

from __future__ import annotations

from edgerun.types import Mask


def some(mask: Mask) -> bool:
    """Whether any is True."""
    return 1 in mask.tobytes()


def every(mask: Mask) -> bool:
    """Whether all are True, as those of none are."""
    return 0 not in mask.tobytes()


def how_many(mask: Mask) -> int:
    """How many are True."""
    return mask.tobytes().count(1)
