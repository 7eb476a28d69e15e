"""Where to look: which parts of a frame are worth an inference, within a budget, and how their results are joined.

Pure: time comes from the stamps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

import numpy as np
from annotated_types import Gt, Interval

from edgerun.boxes import nms
from edgerun.motion import Motion
from edgerun.types import Detections, Stamp, Tracks

Reason: TypeAlias = Literal["frame", "motion", "track", "stationary", "sweep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionOptions:
    """How many parts of a frame are looked at, and how their results are joined."""

    mode: Literal["off", "on", "auto"] = "auto"
    """off: always the whole frame. on: crops where something moves or was seen. auto: crops where the objects are
    small for the model."""
    per_frame: Annotated[int, Interval(ge=1, le=64)] = 3
    """The most inferences for one frame."""
    per_second: Annotated[float, Gt(0)] = 30.0
    """The most inferences in a second for this camera."""
    sweep_s: Annotated[float, Gt(0)] = 10.0
    """A still scene is looked at again after this time, so that a parked object is not forgotten."""
    overlap: Annotated[float, Interval(gt=0, lt=1)] = 0.5
    """Boxes of one class that overlap by more than this IoU are the same object."""


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the frame to look at: x1 y1 x2 y2 in whole pixels inside the frame, and why."""

    xyxy: tuple[int, int, int, int]
    reason: Reason


class RegionPlanner:
    """Plans one camera's inferences. ``model_size`` is the width and height of the model's input."""

    def __init__(self, options: RegionOptions, model_size: tuple[int, int]) -> None:
        self._options = options
        self._model_size = model_size
        self._looked_at = float("-inf")

    def plan(self, motion: Motion | None, tracks: Tracks, stamp: Stamp) -> list[Region]:
        """The regions to infer now; none: nothing changed, hold the tracks."""
        due = stamp.captured - self._looked_at >= self._options.sweep_s
        if motion is not None and not motion.moving and not due:
            return []
        self._looked_at = stamp.captured
        return [Region((0, 0, stamp.width, stamp.height), "frame")]

    def merge(self, parts: Sequence[tuple[Detections, Region]], stamp: Stamp) -> Detections:
        """One frame's detections from those of its regions."""
        if not parts:
            return Detections.empty()
        xyxy = np.concatenate([d.xyxy for d, _ in parts])
        score = np.concatenate([d.score for d, _ in parts])
        class_id = np.concatenate([d.class_id for d, _ in parts])
        joined = Detections(xyxy, score, class_id)
        return joined.take(nms(xyxy, score, class_id, self._options.overlap))

    def learn(self, tracks: Tracks, stamp: Stamp) -> None:
        """Take in the sizes of what was seen."""
