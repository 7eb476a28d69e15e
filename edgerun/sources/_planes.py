"""Decoded pictures as I420 planes, without a copy where that is possible."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from edgerun.records import dataclass
from edgerun.types import U8, Frame, Stamp

if TYPE_CHECKING:
    import av
    from av.video.plane import VideoPlane

_READ_AS_THEY_ARE = frozenset(("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "nv12", "nv21", "gray"))
_VIDEO_RANGE, _JPEG_RANGE = 1, 2
"""FFmpeg's colour ranges, by number since their enumeration would need the library at import."""
_BT601 = 5
"""FFmpeg's number of the matrix by which I420 becomes BGR here."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A decoded picture: I420 ``planes`` (views where that is possible), ``time_s`` on the stream's clock, and
    ``index``, how many came before it in the stream."""

    planes: tuple[U8, U8, U8]
    full_range: bool
    time_s: float = 0.0
    index: int = 0

    def frame(self, camera: str, seq: int, captured: float, wall: float) -> Frame:
        height, width = self.planes[0].shape
        return Frame(Stamp(camera, seq, captured, wall, width, height), "i420", self.planes, self.full_range)


class PlaneReader:
    """Turns decoded pictures of any pixel format into I420 planes, without a copy where the format allows."""

    def __init__(self) -> None:
        from av.video.reformatter import Interpolation, VideoReformatter

        self._reformatter = VideoReformatter()
        self._how: dict[str, Any] = {
            "interpolation": Interpolation.FAST_BILINEAR,
            "src_colorspace": _BT601,  # whatever the stream names, which may be one that FFmpeg does not convert
            "dst_colorspace": _BT601,
            "threads": 1,  # else some are started for each frame
        }
        self._no_colour = np.empty((0, 0), np.uint8)

    def read(self, picture: av.VideoFrame) -> tuple[tuple[U8, U8, U8], bool]:
        """The planes Y (H,W), U and V (H/2,W/2), upright, and whether luma has the full range. Raises FFmpegError for a
        pixel format of which it cannot make them."""
        planes, full = self._read(picture)
        return (_upright(planes, *_matrix(picture)) if picture.rotation else planes), full

    def _read(self, picture: av.VideoFrame) -> tuple[tuple[U8, U8, U8], bool]:
        kind, told = picture.format.name, picture.color_range
        full = kind.startswith("yuvj") or told == _JPEG_RANGE or (kind == "gray" and told != _VIDEO_RANGE)
        if kind in _READ_AS_THEY_ARE:
            return self._views(picture, kind), full
        full = full and not picture.format.is_rgb
        color_range = _JPEG_RANGE if full else _VIDEO_RANGE
        kind = "yuvj420p" if full else "yuv420p"  # before PyAV 17 the range alone is not heeded
        how = {**self._how, "format": kind, "src_color_range": color_range, "dst_color_range": color_range}
        return self._views(self._reformatter.reformat(picture, **how), "yuv420p"), full

    def _views(self, picture: av.VideoFrame, kind: str) -> tuple[U8, U8, U8]:
        width, height = picture.width, picture.height
        half_width, half_height = (width + 1) // 2, (height + 1) // 2
        planes = picture.planes
        luma = _view(planes[0], height, width)
        if kind == "gray":
            if self._no_colour.shape != (half_height, half_width):
                self._no_colour = np.full((half_height, half_width), 128, np.uint8)
            return luma, self._no_colour, self._no_colour
        if kind in ("nv12", "nv21"):
            pairs = _view(planes[1], half_height, 2 * half_width)
            first, second = np.ascontiguousarray(pairs[:, ::2]), np.ascontiguousarray(pairs[:, 1::2])
            return (luma, first, second) if kind == "nv12" else (luma, second, first)
        step = 2 if kind.endswith("422p") else 1  # every second row of 4:2:2 chroma is 4:2:0's, near enough
        return luma, _view(planes[1], half_height, half_width, step), _view(planes[2], half_height, half_width, step)


def _matrix(picture: av.VideoFrame) -> tuple[float, float, float, float]:
    """How it is to be shown: x' = ax + cy, y' = bx + dy (ISO/IEC 14496-12, 8.3.2), of any scale."""
    try:
        beside: Any = picture.side_data  # whatever PyAV's types say
        a, b, _, c, d, *_ = np.frombuffer(bytes(beside["DISPLAYMATRIX"]), np.int32).tolist()
    except ValueError:  # PyAV does not know all that can stand beside it, as EXIF data does
        turn = math.radians(picture.rotation)
        a, b, c, d = math.cos(turn), -math.sin(turn), math.sin(turn), math.cos(turn)
    return a, b, c, d


def _upright(planes: tuple[U8, U8, U8], a: float, b: float, c: float, d: float) -> tuple[U8, U8, U8]:
    """Copies turned as a matrix says, to the nearest quarter turn, and mirrored or not."""
    lies = abs(b) + abs(c) > abs(a) + abs(d)
    across, down = (c, b) if lies else (a, d)
    steps = slice(None, None, -1 if down < 0 else 1), slice(None, None, -1 if across < 0 else 1)
    y, u, v = (np.ascontiguousarray((plane.T if lies else plane)[steps]) for plane in planes)
    return y, u, v


def _view(plane: VideoPlane, height: int, width: int, step: int = 1) -> U8:
    """Every ``step``-th row of a plane, in the decoder's own memory; it lives as long as the view."""
    view: U8 = np.ndarray((height, width), np.uint8, buffer=memoryview(plane), strides=(step * plane.line_size, 1))
    return view
