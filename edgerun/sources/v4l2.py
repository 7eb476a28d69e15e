"""A camera on this machine (USB or CSI) over Video4Linux2."""

from __future__ import annotations

import itertools
import os
import select
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from edgerun.errors import SourceError
from edgerun.kernel import text
from edgerun.limits import NOT_EMPTY, POSITIVE, Ge
from edgerun.records import dataclass
from edgerun.sources._av import Opening, VideoInput
from edgerun.sources._pace import Limiter
from edgerun.stages import Feed
from edgerun.types import Frame

_BY_ID = Path("/dev/v4l/by-id")
_CLASS = Path("/sys/class/video4linux")
_LOOK_S = 0.25
"""How often a silent camera's thread looks whether it was closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class V4l2Options:
    device: Annotated[str, NOT_EMPTY] = "/dev/video0"
    """``/dev/video0``, or better a name from ``/dev/v4l/by-id`` (with or without the folder), which stays with the
    camera when others are plugged in. ``edgerun devices`` lists both."""
    width: Annotated[int, Ge(0)] = 640
    """Picture width in pixels; with height 0, what the camera is set to."""
    height: Annotated[int, Ge(0)] = 480
    """Picture height in pixels."""
    rate_fps: Annotated[float, Ge(0)] = 0.0
    """Pictures per second the camera is asked for; 0 leaves it to the camera."""
    pixel_format: Literal["auto", "mjpeg", "yuyv"] = "auto"
    """What the camera sends: ``mjpeg`` allows large pictures over USB 2, ``yuyv`` needs no decoding."""
    open_timeout_s: Annotated[float, POSITIVE] = 5.0
    """How long the first picture may take."""
    read_timeout_s: Annotated[float, POSITIVE] = 5.0
    """How long the camera may be silent before it is given up."""


@dataclass(frozen=True, slots=True)
class Camera:
    """A capture device of this machine: its node, what it calls itself, and its lasting name ("" without one)."""

    path: str
    name: str
    by_id: str


def list_cameras(classes: Path = _CLASS, by_id: Path = _BY_ID) -> list[Camera]:
    """The cameras that Linux knows, without opening any. A camera's further nodes (metadata) are left out."""
    lasting = {link.resolve().name: link.name for link in sorted(by_id.glob("*"))} if by_id.is_dir() else {}
    cameras = []
    for node in sorted(classes.glob("video*"), key=lambda n: (len(n.name), n.name)):
        if text(node / "index") not in ("", "0"):
            continue
        cameras.append(Camera(f"/dev/{node.name}", text(node / "name"), lasting.get(node.name, "")))
    return cameras


class V4l2:
    """Frames are stamped when they are decoded; ``seq`` counts the frames given."""

    def __init__(self, options: V4l2Options, feed: Feed) -> None:
        self._options = options
        self._feed = feed
        self._closed = threading.Event()
        self._seq = itertools.count()

    def frames(self) -> Iterator[Frame]:
        device = self._device()
        ready = _Readiness(device, self._options.read_timeout_s, self._closed)
        with VideoInput(self._opening(device), ready.wait) as video:
            for picture in video.pictures(Limiter(self._feed.fps), self._closed):
                yield picture.frame(self._feed.camera, next(self._seq), time.monotonic(), time.time())
        if not self._closed.is_set():
            raise SourceError(f"the camera {device} is gone")

    def close(self) -> None:
        self._closed.set()

    def _device(self) -> str:
        wanted = self._options.device
        path = Path(wanted) if "/" in wanted else _BY_ID / wanted
        if not path.exists():
            raise SourceError(f"there is no camera {path}; `edgerun devices` lists those that are there")
        if not path.is_char_device():
            raise SourceError(f"{path} is not a camera's device node", retriable=False)
        if not os.access(path, os.R_OK | os.W_OK):
            raise SourceError(f"{path} may not be used by this user; add it to the group `video`")
        return str(path)

    def _opening(self, device: str) -> Opening:
        options = self._options
        # Not to block (AVFMT_FLAG_NONBLOCK): a wedged camera would hold a blocking read for ever
        asked = {"fflags": "+4"}
        if options.width and options.height:
            asked["video_size"] = f"{options.width}x{options.height}"
        if options.rate_fps:
            asked["framerate"] = f"{options.rate_fps:g}"
        if options.pixel_format != "auto":
            asked["input_format"] = {"mjpeg": "mjpeg", "yuyv": "yuyv422"}[options.pixel_format]
        return Opening(
            url=device,
            name=f"the camera {device}",
            file_format="video4linux2,v4l2",
            options=asked,
            open_timeout_s=options.open_timeout_s,
            read_timeout_s=options.read_timeout_s,
        )


class _Readiness:
    """Waits until the camera has a picture, so that the read itself never does."""

    def __init__(self, device: str, timeout_s: float, closed: threading.Event) -> None:
        self._device = device
        self._timeout_s = timeout_s
        self._closed = closed
        self._poll: select.poll | None = None

    def wait(self) -> bool:
        """False when closed. Raises SourceError after the timeout."""
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(_descriptor_of(self._device), select.POLLIN)
        deadline = time.monotonic() + self._timeout_s
        while not self._closed.is_set():
            if self._poll.poll(1000 * _LOOK_S):
                return True
            if time.monotonic() > deadline:
                raise SourceError(f"the camera {self._device} sent nothing for {self._timeout_s:g} s")
        return False


def _descriptor_of(device: str) -> int:
    """The descriptor by which FFmpeg holds the device: a camera streams through one only."""
    node = os.path.realpath(device)
    for link in Path("/proc/self/fd").iterdir():
        if os.path.realpath(link) == node:
            return int(link.name)
    raise SourceError(f"the camera {device} is gone")
