"""A camera or stream through NVIDIA's ``jetson_utils`` on a Jetson: decoded and converted by its hardware.

The library comes with NVIDIA's jetson-inference; the package of the same name on PyPI is another one.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from dataclasses import field
from typing import Annotated, Any, Literal

import numpy as np

from edgerun.errors import SourceError
from edgerun.limits import NOT_EMPTY, POSITIVE, Ge
from edgerun.records import dataclass
from edgerun.sources._address import redacted
from edgerun.sources._pace import Limiter
from edgerun.stages import Feed
from edgerun.types import Frame, Stamp

_LOOK_MS = 250
"""How often a silent camera's thread looks whether it was closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JetsonOptions:
    uri: Annotated[str, NOT_EMPTY] = field(default="csi://0", repr=False)
    """``csi://0``, ``v4l2:///dev/video0``, ``rtsp://user:password@host/path``, ``rtp://@:1234`` or ``file://...``."""
    width: Annotated[int, Ge(0)] = 0
    """Picture width in pixels that the camera is asked for; 0 leaves it to the camera."""
    height: Annotated[int, Ge(0)] = 0
    """Picture height in pixels; 0 leaves it to the camera."""
    rate_fps: Annotated[float, Ge(0)] = 0.0
    """Pictures per second the camera is asked for; 0 leaves it to the camera."""
    codec: Literal["", "h264", "h265", "vp8", "vp9", "mpeg2", "mpeg4", "mjpeg"] = ""
    """What a stream is encoded in, where it does not say so itself (``rtp://``)."""
    flip: Literal[
        "none",
        "counterclockwise",
        "rotate-180",
        "clockwise",
        "horizontal",
        "vertical",
        "upper-right-diagonal",
        "upper-left-diagonal",
    ] = "none"
    """How the picture is turned, for a camera that hangs the other way up."""
    latency_ms: Annotated[int, Ge(0)] = 200
    """How long a network stream is buffered against jitter."""
    open_timeout_s: Annotated[float, POSITIVE] = 10.0
    """How long the first picture may take."""
    read_timeout_s: Annotated[float, POSITIVE] = 5.0
    """How long the camera may be silent before it is given up."""


class Jetson:
    """Frames are RGB, stamped when they are captured; ``seq`` counts the frames given."""

    def __init__(self, options: JetsonOptions, feed: Feed) -> None:
        self._options = options
        self._feed = feed
        self._name = redacted(options.uri)
        self._closed = threading.Event()
        self._seq = itertools.count()

    def frames(self) -> Iterator[Frame]:
        library = _library()
        options = self._options
        wishes = {
            "width": options.width,
            "height": options.height,
            "framerate": options.rate_fps,
            "codec": options.codec,
            "flipMethod": options.flip,
            "latency": options.latency_ms,
        }
        try:
            camera = library.videoSource(options.uri, options={key: wish for key, wish in wishes.items() if wish})
        except Exception:  # noqa: BLE001 - the bindings raise nothing narrower, with the whole address in its text
            raise SourceError(f"{self._name} cannot be opened by jetson_utils; its log says why") from None
        limiter = Limiter(self._feed.fps)
        try:
            for image in self._images(camera):
                if limiter.due(time.monotonic()):
                    yield self._frame(library, image)
        finally:
            camera.Close()

    def close(self) -> None:
        self._closed.set()

    def _images(self, camera: Any) -> Iterator[Any]:
        limit_s = self._options.open_timeout_s
        heard = time.monotonic()
        while not self._closed.is_set():
            try:
                image = camera.Capture(format="rgb8", timeout=_LOOK_MS)
            except Exception:  # noqa: BLE001 - a bare Exception stands for the end of the stream and for every error
                raise SourceError(f"{self._name} ended the stream or failed") from None
            if image is not None:
                yield image
                limit_s, heard = self._options.read_timeout_s, time.monotonic()
            elif time.monotonic() - heard > limit_s:
                raise SourceError(f"{self._name}: no answer within {limit_s:g} s")

    def _frame(self, library: Any, image: Any) -> Frame:
        library.cudaDeviceSynchronize()
        rgb = np.array(library.cudaToNumpy(image), np.uint8, order="C")  # the image lies in a ring that is reused
        height, width = rgb.shape[:2]
        stamp = Stamp(self._feed.camera, next(self._seq), time.monotonic(), time.time(), width, height)
        return Frame(stamp, "rgb24", (rgb,))


def _library() -> Any:
    """NVIDIA's jetson_utils. Raises SourceError in words where it, or its compiled half, is not there."""
    try:
        import jetson_utils  # type: ignore[import-not-found, unused-ignore]  # only on a Jetson
    except ImportError:
        jetson_utils = None
    if not hasattr(jetson_utils, "videoSource") or not getattr(jetson_utils, "HAS_JETSON_UTILS_EXT", True):
        found = "another package of that name is installed" if jetson_utils else "it is not installed"
        raise SourceError(
            f"this needs NVIDIA's jetson_utils, built by jetson-inference on the Jetson itself; {found} here",
            retriable=False,
        )
    return jetson_utils
