"""What can be tuned about regions."""

from __future__ import annotations

from typing import Annotated, Literal

from edgerun.limits import POSITIVE, Interval
from edgerun.records import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionOptions:
    """How many parts of a frame are looked at, and how their results are joined."""

    mode: Literal["off", "on", "auto"] = "auto"
    """off: always the whole frame. on: crops. auto: crops, and the whole frame where it shows the objects well. A
    picture hardly larger than the model's input is always looked at whole."""
    per_frame: Annotated[int, Interval(ge=1, le=64)] = 3
    """The most inferences for one frame."""
    per_second: Annotated[float, POSITIVE] = 40.0
    """The most inferences in any second for this camera. Of a fraction above 1 the whole number counts."""
    recheck_s: Annotated[float, POSITIVE] = 2.0
    """An object that stands still is looked at again after this time."""
    sweep_s: Annotated[float, POSITIVE] = 10.0
    """Every part of the picture is looked at again after this time, so that nothing is overlooked for good."""
    object_part: Annotated[float, Interval(ge=0.05, le=0.6)] = 0.3
    """How large an object should appear: its longer side as a part of the crop."""
    enlarge: Annotated[float, Interval(ge=1, le=4)] = 1.5
    """How much a crop may be enlarged to the input of the model: small objects gain by it. 1: not at all."""
    overlap: Annotated[float, Interval(gt=0, lt=1)] = 0.5
    """Boxes of one class that overlap by more than this IoU are the same object."""
    cut_score: Annotated[float, Interval(ge=0, le=1)] = 0.3
    """What is left of the score of a box that a crop's border cuts: it is part of an object at best."""
