"""The values that flow through edgerun. No behaviour beyond shape checks.

Boxes are always ``x1 y1 x2 y2`` in pixels of the original frame, unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from edgerun.records import dataclass

Array: TypeAlias = npt.NDArray[Any]
"""A tensor whose dtype a TensorSpec tells."""
F32: TypeAlias = npt.NDArray[np.float32]
F64: TypeAlias = npt.NDArray[np.float64]
I32: TypeAlias = npt.NDArray[np.int32]
I64: TypeAlias = npt.NDArray[np.int64]
Index: TypeAlias = npt.NDArray[np.intp]
U8: TypeAlias = npt.NDArray[np.uint8]
Mask: TypeAlias = npt.NDArray[np.bool_]
Details: TypeAlias = npt.NDArray[np.object_]
"""An array of Detail."""

Box: TypeAlias = tuple[int, int, int, int]
"""A part of the frame, x1 y1 x2 y2 in whole pixels."""
PixelFormat: TypeAlias = Literal["i420", "bgr24", "rgb24"]
ColorOrder: TypeAlias = Literal["rgb", "bgr"]
FitMode: TypeAlias = Literal["stretch", "letterbox", "letterbox-topleft"]
EventKind: TypeAlias = str
"""The rule kind that raised the event: ``enter``, ``exit``, ``dwell``, ``cross``, ..."""
Phase: TypeAlias = Literal["start", "end", "instant"]


@dataclass(frozen=True, slots=True)
class Stamp:
    """When and where a frame was taken.

    ``captured`` is in seconds on a monotonic clock (the clip's own clock in a replay), ``wall`` in
    seconds since the Unix epoch; all logic uses ``captured``, only messages and schedules use ``wall``.
    """

    camera: str
    seq: int
    captured: float
    wall: float
    width: int
    height: int


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture in the decoder's own planes.

    ``i420``: planes ``(Y (H,W), U (H/2,W/2), V (H/2,W/2))``, rows may be strided views (odd sizes round up);
    ``bgr24``/``rgb24``: one plane ``(H,W,3)``. All uint8. The planes may be views of the decoder's memory:
    they stay valid as long as the Frame is referenced, and must not be written to. ``full_range`` tells I420 luma of
    0-255 (JPEG's) from video's 16-235.
    """

    stamp: Stamp
    pixel_format: PixelFormat
    planes: tuple[U8, ...]
    full_range: bool = False

    @staticmethod
    def of_bgr(picture: U8, camera: str, seq: int = 0, captured: float = 0.0, wall: float = 0.0) -> Frame:
        """Of a picture (H,W,3) that is BGR already."""
        height, width = picture.shape[:2]
        return Frame(Stamp(camera, seq, captured, wall, width, height), "bgr24", (picture,))


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output tensor. ``real = (stored - zero_point) * scale``; scale 0.0 means not quantized.

    A dimension of -1 is only known at run time.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float = 0.0
    zero_point: int = 0


@dataclass(frozen=True, slots=True)
class ModelIO:
    """What a loaded model takes and gives, and what its file says about itself."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def channels_first(self) -> bool:
        """True for NCHW image inputs, False for NHWC."""
        shape = self.inputs[0].shape
        return len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 3)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the image input in pixels."""
        shape = self.inputs[0].shape
        height, width = (shape[2], shape[3]) if self.channels_first else (shape[1], shape[2])
        return width, height

    @property
    def batch(self) -> int:
        """How many pictures one inference takes."""
        return self.inputs[0].shape[0]

    def of_one(self) -> ModelIO:
        """What each picture of a batch takes and gives, as if it were alone.

        Raises ValueError for an output that does not have a row for each picture.
        """
        if self.batch == 1:
            return self
        rows = (self.batch,)
        if mixed := [spec.name for spec in self.outputs if spec.shape[:1] != rows]:
            raise ValueError(f"The outputs {', '.join(mixed)} do not tell the {self.batch} pictures of a batch apart")
        inputs, outputs = (
            tuple(replace(spec, shape=(1, *spec.shape[1:])) if spec.shape[:1] == rows else spec for spec in specs)
            for specs in (self.inputs, self.outputs)
        )
        return ModelIO(inputs, outputs, self.metadata)


@dataclass(frozen=True, slots=True)
class InputLayout:
    """How a head's models want their picture: ``tensor = (pixel - mean) / std`` per channel, in ``color`` order.

    Fully quantized inputs get ``round(tensor / scale) + zero_point`` by their own TensorSpec.
    """

    color: ColorOrder = "rgb"
    fit: FitMode = "stretch"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    pad_value: int = 114


@dataclass(frozen=True, slots=True)
class Fit:
    """How a frame (or a crop of it) was laid into a tensor: ``tensor_xy = frame_xy * scale + pad``.

    Pads are in tensor pixels and negative for a crop's offset. ``region`` is the part of the frame that was
    looked at, x1 y1 x2 y2 in frame pixels.
    """

    scale_x: float
    scale_y: float
    pad_x: float
    pad_y: float
    region: tuple[float, float, float, float]

    def to_frame(self, xy: F32) -> F32:
        """Boxes ``(N,4)`` or points ``(N,2)`` in tensor pixels to frame pixels, clipped to the region looked at."""
        scale, pad, low, high = _affine(self)
        columns = xy.shape[1]
        placed: F32 = xy - pad[:columns]
        placed /= scale[:columns]
        np.maximum(placed, low[:columns], out=placed)
        return np.minimum(placed, high[:columns], out=placed)


@lru_cache(maxsize=64)
def _affine(fit: Fit) -> tuple[F32, F32, F32, F32]:
    """Scale, pad and bounds for x y x y, each f32 (4,): the same few fits come over and over."""
    rows = (fit.scale_x, fit.scale_y), (fit.pad_x, fit.pad_y), fit.region[:2], fit.region[2:]
    scale, pad, low, high = np.array([row * 2 for row in rows], np.float32)
    return scale, pad, low, high


@dataclass(frozen=True, slots=True, eq=False)
class Detail:
    """What some models tell of a thing beyond its box, in frame pixels: ``polygon`` x y f32 (P,2) around it, its
    ``keypoints`` x y and, for most models, score f32 (K,2) or (K,3) in the model's order."""

    polygon: F32 | None = None
    keypoints: F32 | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """N boxes of one frame: ``xyxy`` f32 (N,4), ``score`` f32 (N,) in 0-1, ``class_id`` i32 (N,), and ``details``, an
    array (N,) of Detail where the model finds more than boxes."""

    xyxy: F32
    score: F32
    class_id: I32
    details: Details | None = None

    def __post_init__(self) -> None:
        n = len(self.score)
        if self.xyxy.shape != (n, 4) or self.class_id.shape != (n,):
            raise ValueError(f"shapes disagree: {self.xyxy.shape}, {self.score.shape}, {self.class_id.shape}")
        if self.details is not None and self.details.shape != (n,):
            raise ValueError(f"{n} boxes and {len(self.details)} details")

    def __len__(self) -> int:
        return len(self.score)

    def take(self, index: Mask | I64 | I32) -> Detections:
        """The rows that a mask or an index array selects."""
        details = None if self.details is None else self.details[index]
        return Detections(self.xyxy[index], self.score[index], self.class_id[index], details)

    @staticmethod
    def joined(parts: Sequence[Detections]) -> Detections:
        """The rows of all parts, one after the other. Raises ValueError without a part."""
        details = None
        if any(part.details is not None for part in parts):
            details = np.concatenate(
                [np.full(len(part), Detail()) if part.details is None else part.details for part in parts]
            )
        return Detections(
            np.concatenate([part.xyxy for part in parts]),
            np.concatenate([part.score for part in parts]),
            np.concatenate([part.class_id for part in parts]),
            details,
        )

    @staticmethod
    def empty() -> Detections:
        return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32))


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """Where each of M tracks was first seen, ``xyxy`` f32 (M,4), and how many seconds ago, ``ago_s`` f64 (M,)."""

    xyxy: F32
    ago_s: F64


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """M confirmed tracks: as Detections, plus ``track_id`` i64 (M,) and ``seen`` bool (M,), False while coasting.

    ``past`` comes in frames in which a track is told of for the first time: it was followed before it was confirmed.
    """

    xyxy: F32
    score: F32
    class_id: I32
    track_id: I64
    seen: Mask
    past: Past | None = None

    def __post_init__(self) -> None:
        n = len(self.track_id)
        if self.xyxy.shape != (n, 4) or not len(self.score) == len(self.class_id) == len(self.seen) == n:
            raise ValueError("the arrays of Tracks differ in length")

    def __len__(self) -> int:
        return len(self.track_id)

    @staticmethod
    def empty() -> Tracks:
        none = Detections.empty()
        return Tracks(none.xyxy, none.score, none.class_id, np.zeros(0, np.int64), np.zeros(0, np.bool_))


@dataclass(frozen=True, slots=True)
class TrackedObject:
    """One confirmed track as an event tells of it. ``xyxy`` in frame pixels."""

    track_id: int
    label: str
    score: float
    xyxy: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Event:
    """What a rule has to say. ``episode`` ties a start to its end and is never reused by one rule book.

    ``zone``, ``line`` and ``direction`` are empty where the rule has none.
    """

    kind: EventKind
    rule: str
    phase: Phase
    episode: int
    stamp: Stamp
    zone: str = ""
    line: str = ""
    direction: str = ""
    objects: tuple[TrackedObject, ...] = ()
    count: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    """One MQTT message. ``expiry_s`` 0 means it never expires; ``correlation`` ties an answer to its request."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    expiry_s: int = 0
    correlation: bytes = b""


GapReason: TypeAlias = Literal["evicted", "damaged"]


@dataclass(frozen=True, slots=True)
class Gap:
    """A range of an alert's ``seq``, both ends included, of which ``count`` will never be delivered."""

    first: int
    last: int
    count: int
    reason: GapReason
    wall: float
