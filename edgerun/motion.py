"""Where it moves: a gate on the luma plane at low resolution that decides whether a frame is worth an inference.

Pure: time comes from the stamps. All thresholds are in grey levels after the contrast was normalised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Gt, Interval

from edgerun.types import F32, U8, Array, Stamp

Polygon: TypeAlias = tuple[tuple[float, float], ...]
GROW = np.ones((5, 5), np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionOptions:
    """How motion is told from noise and changing light."""

    enabled: bool = True
    """False: every frame counts as moving, and regions come from tracks and sweeps alone."""
    height_px: Annotated[int, Interval(ge=32, le=720)] = 100
    """Height that the picture is reduced to; more sees smaller things and costs more."""
    threshold: Annotated[float, Interval(ge=1, le=200)] = 22.0
    """How many grey levels (of 255, contrast normalised) a pixel must differ from the background."""
    min_area: Annotated[float, Interval(gt=0, le=1)] = 0.0008
    """Smallest moving patch, as a part of the picture's area."""
    light_change: Annotated[float, Interval(gt=0, le=1)] = 0.6
    """When more than this part of the picture changes at once it is the light, not motion."""
    confirm_s: Annotated[float, Ge(0)] = 0.15
    """How long a patch must keep changing before it counts."""
    hold_s: Annotated[float, Ge(0)] = 1.0
    """How long a frame still counts as moving after the last motion."""
    adapt_s: Annotated[float, Gt(0)] = 10.0
    """Time constant with which the background takes in what stands still."""
    settle_s: Annotated[float, Gt(0)] = 1.0
    """How long the background is learnt anew after a change of light; there is no motion meanwhile."""
    masks: tuple[Polygon, ...] = ()
    """Polygons in 0-1 of the frame in which motion is ignored (a tree, a clock, a road)."""


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """What moved in one frame: ``boxes`` f32 (N,4) in frame pixels.

    ``moving`` stays True for a while after the last box; ``settling`` while the light is changing.
    """

    boxes: F32
    moving: bool
    settling: bool = False


class MotionGate:
    """Tells motion in one camera's frames. ``fps`` is what the camera is asked for."""

    def __init__(self, options: MotionOptions, fps: float = 10.0) -> None:
        self._options = options
        self._fps = fps
        self.reset()

    def reset(self) -> None:
        """Forget the background, as after a restart of the camera."""
        self._background: npt.NDArray[np.float32] | None = None
        self._before: Array | None = None
        self._at = 0.0
        self._moved_at = float("-inf")
        self._settled_at = float("-inf")

    def update(self, luma: U8, stamp: Stamp) -> Motion:
        """Look at one luma plane ``(H,W)``."""
        options = self._options
        none = np.zeros((0, 4), np.float32)
        if not options.enabled:
            return Motion(none, True)
        height, width = luma.shape
        small_h = min(options.height_px, height)
        size = (max(1, round(width * small_h / height)), small_h)
        small = cv2.GaussianBlur(cv2.resize(luma, size, interpolation=cv2.INTER_NEAREST), (3, 3), 0)
        if self._background is None or self._background.shape != small.shape:
            self._background = small.astype(np.float32)
            self._before = None
            self._at = stamp.captured
            self._settled_at = stamp.captured + options.settle_s
            return Motion(none, True, True)
        gap = max(stamp.captured - self._at, 0.0)
        self._at = stamp.captured
        difference = cv2.absdiff(small, cv2.convertScaleAbs(self._background))
        changed = cv2.threshold(difference, options.threshold, 255, cv2.THRESH_BINARY)[1]
        part = cv2.countNonZero(changed) / changed.size
        if part > options.light_change:
            self._settled_at = stamp.captured + options.settle_s
        settling = stamp.captured < self._settled_at
        alpha = 1 - np.exp(-gap / (options.settle_s / 5 if settling else options.adapt_s))
        cv2.accumulateWeighted(small, self._background, float(alpha))
        grown = cv2.dilate(changed, GROW)
        confirmed = changed if self._before is None else cv2.bitwise_and(changed, self._before)
        self._before = grown
        boxes = none
        if not settling:
            outlines = cv2.findContours(cv2.dilate(confirmed, GROW), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
            found = [cv2.boundingRect(o) for o in outlines if cv2.contourArea(o) >= options.min_area * changed.size]
            if found:
                xywh = np.array(found, np.float32)
                scale = np.array([width / size[0], height / size[1]] * 2, np.float32)
                boxes = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1) * scale
                self._moved_at = stamp.captured
        moving = not settling and stamp.captured - self._moved_at <= options.hold_s
        return Motion(boxes.astype(np.float32), moving, settling)
