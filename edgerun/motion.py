"""Where it moves: a gate on the luma plane at low resolution, which decides whether a frame is worth an inference.

A pixel has changed when it differs from a slowly adapting background by more than its own threshold: a part of the
picture's contrast, plus what the pixel flickers by anyway (noise, leaves, water). A change counts as motion when it
was there a moment before too, close by. When most of the picture changes it is the light, and the background is learnt
anew. Pure: time comes from the stamps.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Annotated, TypeAlias

import cv2
import numpy as np

from edgerun.limits import POSITIVE, Ge, Interval, Len
from edgerun.records import dataclass
from edgerun.types import F32, U8, Array, Mask, Stamp

Polygon: TypeAlias = Annotated[tuple[tuple[float, float], ...], Len(3)]

JOIN_PX = 2
"""Changes this near to each other, in reduced pixels, are one patch."""
JOIN = np.ones((2 * JOIN_PX + 1, 2 * JOIN_PX + 1), np.uint8)
SPEED = 0.4
"""The speed up to which motion is recognised as the same in two frames, in picture heights per second."""
REFIT_PART = 0.08
"""When more of the picture than this has changed, the light is fitted at once, not only when a refresh is due."""
BLOCK_PX = 8
BLOCK_PART = 0.15
"""A block of the reduced picture has changed when this part of its pixels has."""
ACTIVE_S = 0.3
ACTIVE_PART = 0.25
"""A patch moves when, against a frame so much earlier, this part of ``min_area`` differs."""
ABSORB_S = 2.0
"""Time constant with which the background takes in a patch that does not move."""
EPSILON_S = 0.005
FLASH_S = 0.3
"""A change of light that is over sooner was a flash: the old background still holds."""
REFRESH_S = 1.0
"""How often flicker, contrast and the pixels' thresholds are worked out anew."""
FLICKER_S = 15.0
"""Time constant with which a pixel's flicker is learnt, long against the time that an object takes to pass."""
FLICKER_MOST = 12.0
FLICKER_WEIGHT = 4.0
"""A pixel must differ by 4 times its mean change from frame to frame: 3.2 standard deviations of Gaussian noise."""
LEAST_LEVELS = 6.0
"""Below this difference, in grey levels, everything is taken as noise of the camera and of its codec."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionOptions:
    """How motion is told from noise and from changing light."""

    enabled: bool = True
    """False: every frame is looked at."""
    height_px: Annotated[int, Interval(ge=32, le=720)] = 100
    """Height that the picture is reduced to, about; more sees smaller things and costs more."""
    threshold: Annotated[float, Interval(gt=0, le=1)] = 0.12
    """How much a pixel must differ from the background, as a part of the picture's contrast."""
    min_area: Annotated[float, Interval(gt=0, le=1)] = 0.0008
    """Smallest moving patch, as a part of the picture's area; reduced, small things look somewhat larger."""
    light_change: Annotated[float, Interval(gt=0, le=1)] = 0.6
    """When changes are spread over more than this part of the picture it is the light, not motion."""
    confirm_s: Annotated[float, Interval(ge=0, le=10)] = 0.1
    """How long a change must have been there to count as motion; at least two frames."""
    hold_s: Annotated[float, Ge(0)] = 1.0
    """How long every frame is still looked at after the last motion, where that is done whole. Crops follow what was
    found there instead."""
    adapt_s: Annotated[float, POSITIVE] = 10.0
    """Time constant with which the background follows slow changes everywhere. What stops moving it takes in sooner."""
    settle_s: Annotated[float, POSITIVE] = 0.8
    """How long the background is learnt anew after a change of light; no motion is told meanwhile."""
    masks: tuple[Polygon, ...] = ()
    """Polygons in 0-1 of the frame in which motion is ignored (a tree, a clock, a road)."""

    def __post_init__(self) -> None:
        for x, y in (corner for polygon in self.masks for corner in polygon):
            if not (-1 <= x <= 2 and -1 <= y <= 2):  # drawn generously beyond the border is well; pixels are not
                raise ValueError(f"masks: [{x}, {y}] is far outside the picture; x and y are 0 to 1 of its sides")


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """What moved in one frame: ``boxes`` f32 (N,4) in frame pixels.

    ``moving`` stays True for a while after the last box. While ``settling`` nothing is known about motion.
    """

    boxes: F32
    moving: bool
    settling: bool = False


NOTHING = np.zeros((0, 4), np.float32)


class _Look:
    """A frame of a moment ago: the reduced picture, and 255 where it had changed."""

    __slots__ = ("_changed", "_joined", "at", "small")

    def __init__(self, at: float, small: Array, changed: Array) -> None:
        self.at, self.small, self._changed = at, small, changed
        self._joined: Array | None = None

    def joined(self) -> Array:
        """The changes, those near to each other as one patch; only worked out where something moves."""
        if self._joined is None:
            self._joined = cv2.dilate(self._changed, JOIN)
        return self._joined


class MotionGate:
    """Tells motion in one camera's frames. ``fps`` is what the camera is asked for."""

    def __init__(self, options: MotionOptions, fps: float = 10.0) -> None:
        self._options = options
        self._usual_gap_s = 1 / fps
        self.reset()

    def reset(self) -> None:
        """Forget the background, as after a restart of the camera."""
        self._shape: tuple[int, ...] = (0, 0)
        self._at = 0.0
        self._light = self._calm_light = (1.0, 0.0)
        self._moved_at = float("-inf")

    def update(self, luma: U8, stamp: Stamp) -> Motion:
        """Look at one luma plane ``(H,W)``."""
        now = stamp.captured
        step = max(1, -(-luma.shape[0] // self._options.height_px))
        rows = np.ascontiguousarray(luma[step // 2 :: step])  # rows first: memory is read in order, which is faster
        small = cv2.GaussianBlur(np.ascontiguousarray(rows[:, min(step // 2, luma.shape[1] - 1) :: step]), (3, 3), 0)
        if luma.shape != self._shape:
            self._begin(luma.shape, small, now)
            return Motion(NOTHING, False, True)
        gap = now - self._at if now > self._at else self._usual_gap_s
        self._at = now
        changed = self._changed(small)
        count = cv2.countNonZero(changed)
        if count > REFIT_PART * changed.size:
            self._light = _fitted(self._background, small, self._light)
            changed = self._changed(small)
            count = cv2.countNonZero(changed)
        settling = self._settle(changed, count, small, now)
        self._adapt(small, gap, now, settling)
        self._note(changed, small)
        boxes = self._moving(changed, small, gap, step) if count >= self._options.min_area * changed.size else NOTHING
        if settling:
            return Motion(NOTHING, False, True)
        if len(boxes):
            self._moved_at = now
        return Motion(boxes, now - self._moved_at <= self._options.hold_s)

    def _begin(self, shape: tuple[int, ...], small: Array, now: float) -> None:
        self._shape = shape
        self._background = small.astype(np.float32)
        self._light = self._calm_light = (1.0, 0.0)
        self._flicker = np.zeros_like(self._background)
        self._masked = _drawn(self._options.masks, small.shape) if self._options.masks else None
        self._before = small
        self._scratch = np.empty_like(small)
        self._at = self._refreshed_at = now
        self._settled_at = now + self._options.settle_s
        self._lit_at: float | None = None
        self._earlier: deque[_Look] = deque()
        self._set_threshold(small)

    def _changed(self, small: Array) -> Array:
        """255 where a pixel differs from the background, seen in the present light, by more than its threshold."""
        expected = cv2.convertScaleAbs(self._background, self._scratch, *self._light)
        return cv2.compare(cv2.absdiff(small, expected, expected), self._threshold, cv2.CMP_GT)

    def _settle(self, changed: Array, count: int, small: Array, now: float) -> bool:
        """Whether the light is changing."""
        (gain, offset), (calm_gain, calm_offset) = self._light, self._calm_light
        jumped = abs((gain - calm_gain) * self._middle + offset - calm_offset) > self._least
        if not jumped and self._spread(changed, count) < self._options.light_change:
            self._lit_at, self._calm_light = None, self._light
        elif self._lit_at is None:
            self._lit_at = now
        elif now - self._lit_at >= FLASH_S:
            self._background = small.astype(np.float32)
            self._light = self._calm_light = (1.0, 0.0)
            self._settled_at = now + self._options.settle_s
            self._lit_at = None
        return self._lit_at is not None or now < self._settled_at

    def _spread(self, changed: Array, count: int) -> float:
        """The part of the picture's blocks in which much has changed; 0 when too little has to tell."""
        if count < BLOCK_PART * self._options.light_change * changed.size:
            return 0.0
        block = min(BLOCK_PX, *changed.shape)
        rows, columns = changed.shape[0] // block, changed.shape[1] // block
        blocks = changed[: rows * block, : columns * block].reshape(rows, block, columns, block)
        return float(np.mean(blocks.mean(axis=(1, 3)) > 255 * BLOCK_PART))

    def _adapt(self, small: Array, gap: float, now: float, settling: bool) -> None:
        """Learn the background, each pixel's flicker and from it the thresholds."""
        before, self._before = self._before, small
        if self._lit_at is not None:
            return  # it may be a flash
        adapt_s = self._options.settle_s / 3 if settling else self._options.adapt_s
        cv2.accumulateWeighted(small, self._background, min(gap / adapt_s, 1.0))
        waited = now - self._refreshed_at
        if not settling and waited < REFRESH_S:
            return
        self._refreshed_at = now
        self._light = _fitted(self._background, small, self._light)
        step = cv2.threshold(cv2.absdiff(small, before), FLICKER_MOST, 0, cv2.THRESH_TRUNC)[1]
        if settling:  # too short a time to tell flicker from passing objects, but noise is the same everywhere
            self._flicker[:] = cv2.mean(step)[0]
        else:
            cv2.accumulateWeighted(step, self._flicker, min(waited / FLICKER_S, 1.0))
        self._set_threshold(small)

    def _set_threshold(self, small: Array) -> None:
        counts = cv2.calcHist([small], [0], None, [256], [0, 256]).ravel().cumsum()
        dark, bright = counts.searchsorted((0.05 * small.size, 0.95 * small.size))
        self._middle = float(bright + dark) / 2
        self._least = max(self._options.threshold * float(bright - dark), LEAST_LEVELS)
        self._threshold = cv2.convertScaleAbs(self._flicker, alpha=FLICKER_WEIGHT, beta=self._least)
        if self._masked is not None:
            self._threshold[self._masked] = 255

    def _note(self, changed: Array, small: Array) -> None:
        """Keep a frame, and those before it as far back as they may be needed."""
        earlier = self._earlier
        earlier.append(_Look(self._at, small, changed))
        while len(earlier) > 2 and self._at - earlier[1].at >= max(ACTIVE_S, self._options.confirm_s) - EPSILON_S:
            earlier.popleft()

    def _moving(self, changed: Array, small: Array, gap: float, step: int) -> F32:
        """Boxes in frame pixels around the changes that were there, close by, ``confirm_s`` ago too, and that move.

        What has stopped, or has left a hole in the background, differs from the background but not from the frame
        before: the background takes it in soon.
        """
        earlier = self._earlier
        if len(earlier) < 2:
            return NOTHING
        confirmed = cv2.bitwise_and(earlier[-1].joined(), self._there(*changed.shape))
        differs = cv2.absdiff(small, earlier[0].small, self._scratch)
        active = cv2.compare(differs, self._threshold, cv2.CMP_GT, differs)
        least, (most_y, most_x) = self._options.min_area * changed.size, self._shape
        boxes = []
        for outline in cv2.findContours(confirmed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]:
            x, y, width, height = cv2.boundingRect(outline)
            y2, x2 = y + height, x + width
            if cv2.countNonZero(changed[y:y2, x:x2]) < least:
                continue
            if cv2.countNonZero(active[y:y2, x:x2]) >= ACTIVE_PART * least:
                (left, right), (top, bottom) = _unjoined(x, width, small.shape[1]), _unjoined(y, height, small.shape[0])
                boxes.append((left * step, top * step, min(right * step, most_x), min(bottom * step, most_y)))
            elif self._lit_at is None:
                cv2.accumulateWeighted(small[y:y2, x:x2], self._background[y:y2, x:x2], min(gap / ABSORB_S, 1.0))
        return np.array(boxes, np.float32) if boxes else NOTHING

    def _there(self, height: int, width: int) -> Array:
        """What had changed ``confirm_s`` ago, widened by how far an object may have come since: after a silence of the
        camera that is anywhere in the picture, and no further."""
        for then in islice(reversed(self._earlier), 1, None):  # also where it is told to be no time ago
            if self._at - then.at >= self._options.confirm_s - EPSILON_S:
                break
        reach = min(int(SPEED * (self._at - then.at) * height), max(height, width))
        if reach <= 2 * JOIN_PX:
            return then.joined()
        return cv2.dilate(then.joined(), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))


def _unjoined(start: int, size: int, most: int) -> tuple[int, int]:
    """Start and end of a patch along one axis before joining made it wider, which it does not beyond the picture."""
    if size <= 2 * JOIN_PX:
        return start, start + size
    end = start + size
    return start and start + JOIN_PX, end if end == most else end - JOIN_PX


def _fitted(background: Array, small: Array, light: tuple[float, float]) -> tuple[float, float]:
    """Gain and offset that take the background to the present light: a cloud, dusk, the camera's exposure.

    Least squares over a sample of the pixels, twice, each time without those that fit badly: moving objects.
    """
    step = max(1, small.shape[0] // 12)
    x, y = (picture[::step, ::step].ravel().astype(np.float64) for picture in (background, small))
    gain, offset = light
    for _ in range(2):
        off = np.abs(gain * x + offset - y)
        good = off <= max(2 * float(np.partition(off, off.size // 2)[off.size // 2]), 2.0)
        u, v = x[good], y[good]
        mean_u, mean_v = float(u.sum()) / len(u), float(v.sum()) / len(u)
        spread = float(u @ u) - len(u) * mean_u**2
        gain = (float(u @ v) - len(u) * mean_u * mean_v) / spread if spread > len(u) else 1.0
        gain = min(max(gain, 0.2), 5.0)
        offset = mean_v - gain * mean_u
    return gain, offset


def _drawn(polygons: tuple[Polygon, ...], shape: tuple[int, ...]) -> Mask:
    """The polygons, given in 0-1, as a mask bool (H,W)."""
    drawn = np.zeros(shape, np.uint8)
    for polygon in polygons:
        corners = np.array(polygon) * (shape[1], shape[0])
        cv2.fillPoly(drawn, [np.round(corners).astype(np.int32)], 1)
    return drawn.astype(np.bool_)
