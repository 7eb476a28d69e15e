"""What the sources that decode with PyAV share: opening with timeouts, decoding, planes without a copy."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from edgerun.errors import SourceError
from edgerun.records import dataclass
from edgerun.sources._address import resolves
from edgerun.sources._pace import Limiter
from edgerun.types import U8, Frame, Stamp

if TYPE_CHECKING:
    import av
    from av.video.codeccontext import VideoCodecContext
    from av.video.plane import VideoPlane

_READ_AS_THEY_ARE = frozenset(("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "nv12", "nv21", "gray"))
_VIDEO_RANGE, _JPEG_RANGE = 1, 2
"""FFmpeg's colour ranges, by number since their enumeration would need the library at import."""
_TRIAL_FRAMES = 16
"""Frames decoded in full before some may be skipped: enough to know the stream's own rate."""
MEGAPIXELS = 50
"""Larger pictures are not decoded, as a few of them would take all memory; an 8K camera's have 33."""
_BOUNDS = {"max_pixels": f"{MEGAPIXELS}000000"}
_NO_PICTURE_S = 30.0
"""A live stream whose packets give no picture for this long is given up; longer than any key frame interval."""


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
        import av
        from av.video.reformatter import Interpolation, VideoReformatter

        self._reformatter = VideoReformatter()
        self._how: dict[str, Any] = {"interpolation": Interpolation.FAST_BILINEAR}
        if int(av.__version__.split(".")[0]) >= 17:  # older ones have no threads, newer ones start some for each frame
            self._how["threads"] = 1
        self._no_colour = np.empty((0, 0), np.uint8)

    def read(self, picture: av.VideoFrame) -> tuple[tuple[U8, U8, U8], bool]:
        """The planes Y (H,W), U and V (H/2,W/2), and whether luma has the full range."""
        kind = picture.format.name
        full = kind.startswith("yuvj") or picture.color_range == _JPEG_RANGE
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


def _view(plane: VideoPlane, height: int, width: int, step: int = 1) -> U8:
    """Every ``step``-th row of a plane, in the decoder's own memory; it lives as long as the view."""
    view: U8 = np.ndarray((height, width), np.uint8, buffer=memoryview(plane), strides=(step * plane.line_size, 1))
    return view


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What FFmpeg is to open. ``name`` is what errors call it, free of secrets."""

    url: str = field(repr=False)
    name: str
    file_format: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    open_timeout_s: float | None = None
    read_timeout_s: float | None = None
    retriable: bool = True


class VideoInput:
    """One opened video. Used by one thread, as a context manager; all its errors are SourceErrors."""

    def __init__(self, opening: Opening, ready: Callable[[], bool] | None = None, from_s: float = 0.0) -> None:
        """``ready`` is called before each read and returns when there is something to read; False ends the video.
        ``from_s`` is the time of the first picture."""
        import av

        av.logging.set_level(None)  # FFmpeg's own log would print addresses with their passwords
        self._ready = ready
        self._opening = opening
        self._reader = PlaneReader()
        started = time.monotonic()
        try:
            self._container = av.open(
                opening.url,
                format=opening.file_format,
                options={**opening.options, **_BOUNDS},
                timeout=(opening.open_timeout_s, opening.read_timeout_s),
            )
        except (av.FFmpegError, ValueError, OSError) as error:
            raise _failure("open", opening, error, time.monotonic() - started) from None
        if not self._container.streams.video:
            self._container.close()
            raise SourceError(f"{opening.name} holds no video", retriable=opening.retriable)
        self._stream = self._container.streams.video[0]
        codec: VideoCodecContext | None = self._stream.codec_context
        if codec is None:  # whatever PyAV's types say
            self._container.close()
            raise SourceError(f"{opening.name} holds video that nothing here can decode", retriable=opening.retriable)
        _restrain(codec)
        self._codec = codec
        self._tick = self._stream.time_base or Fraction(0)
        self._frame_s = 1 / float(self._stream.average_rate or 25)
        self._zero: float | None = None
        self._last = from_s - self._frame_s
        self.count = 0
        """Pictures the stream had so far, those left out undecoded by packet included."""

    @property
    def end_s(self) -> float:
        """When the last picture that has come so far ends."""
        return self._last + self._frame_s

    def __enter__(self) -> VideoInput:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def pictures(self, limiter: Limiter, closed: threading.Event, *, may_skip: bool = True) -> Iterator[Picture]:
        """Pictures that are due, until the stream ends or ``closed`` is set.

        ``may_skip`` leaves out undecoded what is not needed: packets of codecs where each stands for itself, and
        pictures no other refers to where the rest still keeps the beat. Raises SourceError.
        """
        intra_only = may_skip and bool(limiter.interval_s) and self._codec.codec.intra_only
        thinning = _Thinning(self._codec, limiter.interval_s) if may_skip and not intra_only else None
        alive = time.monotonic()
        for packet in self._packets():
            if closed.is_set():
                return
            if intra_only and packet.size and not limiter.due(self._time_of(packet.pts)):
                self.count += 1
                alive = time.monotonic()
                continue
            if self._opening.read_timeout_s and time.monotonic() - alive > _NO_PICTURE_S:
                raise SourceError(f"{self._opening.name} sends nothing that can be decoded")
            for decoded in self._decoded(packet):
                alive = time.monotonic()
                index, self.count = self.count, self.count + 1
                time_s = self._last if intra_only else self._time_of(decoded.pts)
                if thinning:
                    thinning.saw(time_s)
                if decoded.is_corrupt or not (intra_only or limiter.due(time_s)):
                    continue
                planes, full_range = self._reader.read(decoded)
                yield Picture(planes, full_range, time_s, index)
                if closed.is_set():
                    return

    def _time_of(self, pts: int | None) -> float:
        """When it was on the stream's clock; where the stream gives no time, one frame after the last."""
        if pts is None:
            self._last += self._frame_s
            return self._last
        seconds = pts * self._tick.numerator / self._tick.denominator
        if self._zero is None:
            self._zero = seconds - max(self._last + self._frame_s, 0.0)
        self._last = seconds - self._zero
        return self._last

    def _packets(self) -> Iterator[av.Packet[Any]]:
        import av

        packets = self._container.demux(self._stream)
        while True:
            if self._ready and not self._ready():
                return
            started = time.monotonic()
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                if self._ready and isinstance(error, av.BlockingIOError):  # woken for nothing
                    packets = self._container.demux(self._stream)
                    continue
                raise _failure("read", self._opening, error, time.monotonic() - started) from None
            if packet is None:
                return
            # An empty one ends the decoder; but with a time it is a picture that the camera left out or damaged.
            if packet.size or (packet.pts is None and packet.dts is None):
                yield packet

    def _decoded(self, packet: av.Packet[Any]) -> list[av.VideoFrame]:
        """The pictures of a packet; none where it is damaged, since the next key frame heals the stream."""
        import av

        try:
            pictures = self._codec.decode(packet if packet.size else None)
        except (av.InvalidDataError, av.EOFError):
            return []
        except av.FFmpegError:
            said = f"sends pictures that are damaged, or have more than {MEGAPIXELS} megapixels"
            raise SourceError(f"{self._opening.name} {said}", retriable=self._opening.retriable) from None
        return pictures


class JpegReader:
    """Decodes single JPEG pictures."""

    def __init__(self) -> None:
        import av

        av.logging.set_level(None)
        self._codec = av.CodecContext.create("mjpeg", "r")
        _restrain(self._codec)
        self._reader = PlaneReader()

    def read(self, encoded: bytes) -> Picture | None:
        """None where it is no JPEG, a damaged one or one that is too large."""
        import av

        if not encoded:  # for the decoder that would be the end, after which it takes nothing more
            return None
        try:
            pictures = self._codec.decode(av.Packet(encoded))
        except av.FFmpegError:
            return None
        return Picture(*self._reader.read(pictures[0])) if pictures else None


def _restrain(codec: VideoCodecContext) -> None:
    """Frame threads would hold pictures back, and a thread for each core would cost every other camera."""
    codec.options = dict(_BOUNDS)
    codec.thread_count = 1
    codec.thread_type = "NONE"


class _Thinning:
    """Lets the decoder leave out pictures that no other refers to, as long as the rest keeps the beat.

    Whether it does is seen from what comes out: with gaps of up to half an interval, the picture nearest to each
    beat is near enough. Where a gap is longer, everything is decoded from then on.
    """

    def __init__(self, codec: VideoCodecContext, interval_s: float) -> None:
        self._codec = codec
        self._interval_s = interval_s
        self._last: float | None = None
        self._seen = 0
        self._longest = 0.0

    def saw(self, time_s: float) -> None:
        """Tell of each picture that came out of the decoder."""
        if not self._interval_s or self._seen < 0:
            return
        gap = time_s - self._last if self._last is not None else 0.0
        self._last = time_s
        if not 0 <= gap <= 10 * self._interval_s:  # the clock jumped
            return
        self._seen += 1
        self._longest = max(self._longest, gap)
        if self._seen == _TRIAL_FRAMES and self._longest <= self._interval_s / 4:
            self._codec.skip_frame = "NONREF"
        elif self._seen > _TRIAL_FRAMES and gap > self._interval_s / 2:
            self._codec.skip_frame = "DEFAULT"
            self._seen = -1


def _failure(doing: str, opening: Opening, error: Exception, waited_s: float) -> SourceError:
    """A SourceError in words; never the vendor's own text, which holds the whole address."""
    import av

    limit_s = opening.open_timeout_s if doing == "open" else opening.read_timeout_s
    if limit_s and waited_s >= 0.95 * limit_s:
        # an interrupted RTSP handshake is reported as invalid data, so the time tells
        return SourceError(f"{opening.name}: no answer within {limit_s:g} s", retriable=opening.retriable)
    for kinds, words in (
        ((av.HTTPUnauthorizedError, av.HTTPForbiddenError), "refuses the user name or password"),
        (av.HTTPNotFoundError, "has no such stream; check the path in its URL"),
        (av.ConnectionRefusedError, "refuses the connection; check host and port"),
        (av.FileNotFoundError, "does not exist"),
        (av.PermissionError, "may not be read by this user"),
        (av.InvalidDataError, "does not give a video that can be decoded"),
    ):
        if isinstance(error, kinds):
            return SourceError(f"{opening.name} {words}", retriable=opening.retriable)
    if getattr(error, "errno", 0) == errno.EIO and not resolves(opening.url):
        words = "has a host name that cannot be resolved; check the URL and the network's DNS"
        return SourceError(f"{opening.name} {words}", retriable=opening.retriable)
    reason = getattr(error, "strerror", None) or type(error).__name__
    return SourceError(f"cannot {doing} {opening.name}: {reason}", retriable=opening.retriable)
