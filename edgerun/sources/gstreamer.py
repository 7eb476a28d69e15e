"""Any live GStreamer pipeline as a camera: vendor decoders, CSI cameras, odd protocols.

Needs PyGObject and GStreamer of the system (Debian: python3-gi, gir1.2-gst-plugins-base-1.0), which a virtual
environment sees when it was made with ``--system-site-packages``.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from dataclasses import field
from typing import Annotated, Any

import numpy as np

from edgerun.errors import SourceError
from edgerun.limits import NOT_EMPTY, POSITIVE
from edgerun.records import dataclass
from edgerun.sources._address import redacted
from edgerun.sources._pace import Limiter
from edgerun.stages import Feed
from edgerun.types import U8, Frame, Stamp

_SINK = "edgerun"
_TAIL = f"videoconvert ! video/x-raw,format=I420 ! appsink name={_SINK} max-buffers=1 drop=true sync=false"
_FULL_RANGE = 1
"""GST_VIDEO_COLOR_RANGE_0_255, which has no name that Python can say."""
_LOOK_NS = 250_000_000
"""How often a silent pipeline's thread looks whether it failed or was closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GstreamerOptions:
    pipeline: Annotated[str, NOT_EMPTY] = field(repr=False)
    """A live pipeline in the words of ``gst-launch-1.0`` that ends in raw video in main memory, for example
    ``nvarguscamerasrc ! nvvidconv ! video/x-raw,format=I420``. What follows it is added here."""
    open_timeout_s: Annotated[float, POSITIVE] = 10.0
    """How long the first picture may take."""
    read_timeout_s: Annotated[float, POSITIVE] = 5.0
    """How long the pipeline may be silent before it is given up."""


class Gstreamer:
    """Frames are stamped when they are taken from the pipeline; ``seq`` counts the frames given."""

    def __init__(self, options: GstreamerOptions, feed: Feed) -> None:
        self._options = options
        self._feed = feed
        self._closed = threading.Event()
        self._seq = itertools.count()

    def frames(self) -> Iterator[Frame]:
        gst, video, failure = _bindings()
        try:
            pipeline = gst.parse_launch(f"{self._options.pipeline} ! {_TAIL}")
        except failure as error:
            raise SourceError(f"the GStreamer pipeline cannot be built: {redacted(error.message)}") from None
        limiter = Limiter(self._feed.fps)
        pipeline.set_state(gst.State.PLAYING)
        try:
            for sample in self._samples(gst, pipeline):
                buffer = sample.get_buffer()
                time_s = time.monotonic() if buffer.pts == gst.CLOCK_TIME_NONE else buffer.pts / 1e9
                if limiter.due(time_s):
                    yield self._frame(gst, video, sample)
        finally:
            pipeline.set_state(gst.State.NULL)

    def close(self) -> None:
        self._closed.set()

    def _samples(self, gst: Any, pipeline: Any) -> Iterator[Any]:
        sink, bus = pipeline.get_by_name(_SINK), pipeline.get_bus()
        limit_s = self._options.open_timeout_s
        heard = time.monotonic()
        while not self._closed.is_set():
            if sample := sink.emit("try-pull-sample", _LOOK_NS):
                yield sample
                limit_s, heard = self._options.read_timeout_s, time.monotonic()
                continue
            if message := bus.pop_filtered(gst.MessageType.ERROR | gst.MessageType.EOS):
                if message.type == gst.MessageType.EOS:
                    raise SourceError("the GStreamer pipeline ended")
                # the debug text beside it may hold addresses with passwords
                raise SourceError(f"the GStreamer pipeline failed: {redacted(message.parse_error()[0].message)}")
            if time.monotonic() - heard > limit_s:
                raise SourceError(f"the GStreamer pipeline gave no picture for {limit_s:g} s")

    def _frame(self, gst: Any, video: Any, sample: Any) -> Frame:
        buffer = sample.get_buffer()
        layout = video.VideoInfo.new_from_caps(sample.get_caps())
        placed = video.buffer_get_video_meta(buffer) or layout  # a decoder may pad its rows
        mapped, memory = buffer.map(gst.MapFlags.READ)
        if not mapped:
            raise SourceError("the GStreamer pipeline gave a picture that is not in main memory")
        try:
            content = np.frombuffer(bytes(memory.data), np.uint8)
        finally:
            buffer.unmap(memory)
        width, height = layout.width, layout.height
        half = ((height + 1) // 2, (width + 1) // 2)
        planes = tuple(
            _plane(content[offset:], shape, stride)
            for offset, shape, stride in zip(
                list(placed.offset)[:3], [(height, width), half, half], list(placed.stride)[:3], strict=True
            )
        )
        stamp = Stamp(self._feed.camera, next(self._seq), time.monotonic(), time.time(), width, height)
        return Frame(stamp, "i420", planes, int(layout.colorimetry.range) == _FULL_RANGE)


def _plane(content: U8, shape: tuple[int, int], stride: int) -> U8:
    return np.lib.stride_tricks.as_strided(content, shape, (stride, 1), writeable=False)


def _bindings() -> tuple[Any, Any, Any]:
    """GStreamer's core and video modules, and what they raise. Raises SourceError in words where they are not there."""
    try:
        import gi  # type: ignore[import-not-found, unused-ignore]  # the system's, without types

        gi.require_version("Gst", "1.0")
        gi.require_version("GstVideo", "1.0")
        from gi.repository import GLib, Gst, GstVideo  # type: ignore[import-not-found, unused-ignore]  # as above
    except (ImportError, ValueError) as error:
        raise SourceError(
            "GStreamer's Python bindings are not there: install python3-gi and gir1.2-gst-plugins-base-1.0, and make "
            f"edgerun's virtual environment with --system-site-packages ({error})",
            retriable=False,
        ) from None
    Gst.init(None)
    return Gst, GstVideo, GLib.Error
