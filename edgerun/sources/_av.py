"""What the sources that decode with PyAV share: opening with timeouts, reading, decoding."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from edgerun.errors import SourceError
from edgerun.folders import unseen
from edgerun.records import dataclass
from edgerun.sources._address import resolves, unescaped
from edgerun.sources._pace import Limiter, LiveClock, Thinning
from edgerun.sources._planes import Picture, PlaneReader
from edgerun.types import U8

if TYPE_CHECKING:
    import av
    from av.video.codeccontext import VideoCodecContext

MEGAPIXELS = 50
"""Larger pictures are not decoded, as a few of them would take all memory; an 8K camera's have 33."""
_BOUNDS = {"max_pixels": f"{MEGAPIXELS}000000"}
_NO_PICTURE_S = 30.0
"""A live stream whose packets give no picture for this long is given up; longer than any key frame interval."""

_ANEW_S = 1.0
"""A stream's clock that goes back by more begins anew; by less, its pictures are out of order."""


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

    def failed(self, words: str) -> SourceError:
        """What went wrong, in words that follow its name."""
        return SourceError(f"{self.name} {words}", retriable=self.retriable)


class VideoInput:
    """One opened video. Used by one thread, as a context manager; all its errors are SourceErrors."""

    def __init__(
        self,
        opening: Opening,
        ready: Callable[[], bool] | None = None,
        wait_for: Callable[[float], None] | None = None,
        from_s: float = 0.0,
    ) -> None:
        """``ready`` is called before each read and returns when there is something to read; False ends the video.
        ``wait_for`` is called with the time at which a packet is to be decoded: half a picture's before its own.
        ``from_s`` is the time of the first picture."""
        import av

        av.logging.set_level(None)  # FFmpeg's own log would print addresses with their passwords
        self._ready, self._wait_for = ready, wait_for
        self._opening = opening
        self._reader = PlaneReader()
        started = time.monotonic()
        try:
            self._container = av.open(
                opening.url,
                format=opening.file_format,
                options={**opening.options, **_BOUNDS},
                timeout=(opening.open_timeout_s, opening.read_timeout_s),
                **_lenient(av.__version__),
            )
        except (av.FFmpegError, ValueError, OSError) as error:
            raise _failure("open", opening, error, time.monotonic() - started) from None
        cover = av.stream.Disposition.attached_pic
        stream = next((video for video in self._container.streams.video if not video.disposition & cover), None)
        codec: VideoCodecContext | None = None if stream is None else stream.codec_context  # whatever PyAV's types say
        if stream is None or codec is None:
            self._container.close()
            raise opening.failed("holds no video" if stream is None else "holds video that nothing here can decode")
        _restrain(codec)
        self._stream, self._codec = stream, codec
        tick = stream.time_base or Fraction(0)
        self._tick = tick.numerator, tick.denominator  # once: PyAV's own tell each in a call
        self._frame_s = 1 / float(stream.average_rate or 25)
        self._zero: float | None = None
        self._live = LiveClock() if opening.read_timeout_s else None
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
        thinning = Thinning(self._codec, limiter.interval_s) if may_skip and not intra_only else None
        alive = time.monotonic()
        for packet in self._packets():
            if closed.is_set():
                return
            if intra_only and packet.size and not limiter.due(self._time_of(packet.pts)):
                self.count += 1
                alive = time.monotonic()
                continue
            if self._opening.read_timeout_s and time.monotonic() - alive > _NO_PICTURE_S:
                raise self._opening.failed("sends nothing that can be decoded")
            if self._wait_for and packet.dts is not None and self._zero is not None:
                self._wait_for(self._seconds(packet.dts) - self._zero - self._frame_s / 2)
            for decoded in self._decoded(packet):
                alive = time.monotonic()
                index, self.count = self.count, self.count + 1
                time_s = self._last if intra_only else self._time_of(decoded.pts)
                if thinning:
                    thinning.saw(time_s)
                if decoded.is_corrupt or not (intra_only or limiter.due(time_s)):
                    continue
                yield Picture(*self._planes(decoded), time_s, index)
                if closed.is_set():
                    return

    def _time_of(self, pts: int | None) -> float:
        """When it was on the stream's clock, or on ours where that of a live stream is no good."""
        told_s = self._told(pts)
        return self._live.time_of(told_s, time.monotonic()) if self._live else told_s

    def _told(self, pts: int | None) -> float:
        """When it was on the stream's clock, never before the last; where the stream gives no time, or begins to count
        anew as recordings do that were put together, one frame after the last."""
        if pts is None:
            self._last += self._frame_s
            return self._last
        seconds = self._seconds(pts)
        if self._zero is None or seconds - self._zero < self._last - _ANEW_S:
            self._zero = seconds - max(self._last + self._frame_s, 0.0)
        self._last = max(seconds - self._zero, self._last)
        return self._last

    def _seconds(self, ticks: int) -> float:
        numerator, denominator = self._tick
        return ticks * numerator / denominator

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
            return self._codec.decode(packet if packet.size else None)
        except (av.InvalidDataError, av.EOFError):
            return []
        except av.FFmpegError:
            said = f"sends pictures that are damaged, or have more than {MEGAPIXELS} megapixels"
            raise self._opening.failed(said) from None

    def _planes(self, decoded: av.VideoFrame) -> tuple[tuple[U8, U8, U8], bool]:
        import av

        try:
            return self._reader.read(decoded)
        except av.FFmpegError:
            said = f"sends pictures of the format {decoded.format.name}, which cannot be read here"
            raise self._opening.failed(said) from None


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


def _lenient(version: str) -> dict[str, Any]:
    """What makes PyAV take titles and names in any encoding, which nothing here reads; from 19 on it does by itself."""
    return {"metadata_errors": "replace"} if int(version.partition(".")[0]) < 19 else {}


def _restrain(codec: VideoCodecContext) -> None:
    """Frame threads would hold pictures back, and a thread for each core would cost every other camera."""
    codec.options = dict(_BOUNDS)
    codec.thread_count = 1
    codec.thread_type = "NONE"


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
            hidden = unseen(opening.url) if isinstance(error, av.PermissionError) else ""
            return opening.failed(f"{words}{hidden}")
    if getattr(error, "errno", 0) == errno.EIO and not resolves(opening.url):
        words = "has a host name that cannot be resolved; check the URL and the network's DNS"
        return opening.failed(f"{words}{unescaped(opening.url)}")
    reason = getattr(error, "strerror", None) or type(error).__name__
    return SourceError(f"cannot {doing} {opening.name}: {reason}", retriable=opening.retriable)
