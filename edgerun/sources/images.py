"""Still pictures: how one is read, and a folder of them as a camera."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np

from edgerun.errors import SourceError
from edgerun.folders import expanded
from edgerun.limits import NOT_EMPTY, POSITIVE, Ge
from edgerun.records import dataclass
from edgerun.sources._av import MEGAPIXELS
from edgerun.sources._pace import ClipClock, Limiter
from edgerun.stages import Feed
from edgerun.types import U8, Frame

log = logging.getLogger(__name__)

_MOST_BYTES = MEGAPIXELS * 1_000_000 * 8 + 1_000_000
"""A picture with 16 bits for each of its four channels, not packed, and what is told about it."""
_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesOptions:
    path: Annotated[str, NOT_EMPTY]
    """A folder, whose pictures are taken in order of their names, or a pattern such as ``/data/*.jpg``."""
    rate_fps: Annotated[float, POSITIVE] = 1.0
    """How many pictures make a second of the camera's time."""
    loop: bool = False
    """Begin again at the end, with the pictures that are there then, and with time going on."""
    pace: bool = True
    """Give pictures at that rate. Without it they come as fast as they are taken, with times counted by the rate."""
    recorded_at_s: Annotated[float, Ge(0)] = 0.0
    """Unix time of the first picture, used by schedules and messages where it is not paced."""


class Images:
    """``seq`` is the picture's place in the order, from 0, rising on through loops."""

    def __init__(self, options: ImagesOptions, feed: Feed) -> None:
        self._options = options
        self._feed = feed
        self._closed = threading.Event()
        self._bad: set[Path] = set()

    def frames(self) -> Iterator[Frame]:
        options = self._options
        clock = ClipClock(options.pace, options.recorded_at_s, self._closed)
        limiter = Limiter(self._feed.fps)
        seq = 0
        self._bad.clear()
        while not self._closed.is_set():
            paths = _pictures(options.path)
            self._bad &= set(paths)
            for path in paths:
                time_s = seq / options.rate_fps
                if limiter.due(time_s):
                    captured, wall = clock.stamp(time_s)
                    if self._closed.is_set():
                        return
                    bgr = self._picture(path, paths)
                    if bgr is not None:
                        yield Frame.of_bgr(bgr, self._feed.camera, seq, captured, wall)
                seq += 1
            if not options.loop:
                return

    def _picture(self, path: Path, paths: list[Path]) -> U8 | None:
        """None for what is no picture, which is told once. Raises SourceError when none of the paths is one."""
        try:
            found = picture(path)
        except SourceError as error:
            if path not in self._bad:
                log.warning("camera %s passes over what is no picture: %s", self._feed.camera, error)
            self._bad.add(path)
            if len(self._bad) == len(paths):
                raise
            return None
        self._bad.discard(path)  # as once it was uploaded whole
        return found

    def close(self) -> None:
        self._closed.set()


def picture(path: Path) -> U8:
    """A picture as BGR (H,W,3), turned as its EXIF data says. Raises SourceError for what is none, or is too large."""
    os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = f"{MEGAPIXELS}000000"  # OpenCV asks for it with the first picture
    import cv2

    try:
        bgr = cv2.imdecode(np.frombuffer(_content(path), np.uint8), cv2.IMREAD_COLOR)
    except (cv2.error, OSError, ValueError):
        bgr = None
    if bgr is None:
        raise SourceError(
            f"{path} is not there, or is no picture of {MEGAPIXELS} megapixels at most that can be read (JPEG, PNG, "
            "WebP, BMP, TIFF)",
            retriable=False,
        )
    return np.asarray(bgr, np.uint8)


def _content(path: Path) -> bytes:
    """What a file holds, read here as OpenCV dies of a name that is not UTF-8. Raises OSError, and ValueError where it
    is more than any picture has, or where it is no file."""
    if not path.is_file():
        raise ValueError("is no file")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > _MOST_BYTES:
            raise ValueError("is too large")
        return file.read(size)


def _pictures(path: str) -> list[Path]:
    """Raises SourceError where there are none."""
    place = expanded(path)
    try:
        if place.is_dir():
            found = [file for file in place.iterdir() if file.suffix.lower() in _SUFFIXES]
        else:
            found = list(place.parent.glob(place.name))
    except (OSError, ValueError) as error:
        raise SourceError(f"the pictures at {path} cannot be listed: {error}", retriable=False) from None
    if not found:
        raise SourceError(f"there are no pictures at {path}", retriable=False)
    return sorted(found)
