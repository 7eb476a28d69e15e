"""A recorded clip as a camera, or as fast as it can be read."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Annotated

from edgerun.errors import SourceError
from edgerun.folders import expanded
from edgerun.limits import NOT_EMPTY, Ge
from edgerun.records import dataclass
from edgerun.sources._av import Opening, VideoInput
from edgerun.sources._pace import ClipClock, Limiter
from edgerun.stages import Feed
from edgerun.types import Frame

_LONGEST_GAP_S = 30.0
"""Less than after which a camera is taken to hang (``stuck_s``), and is begun anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOptions:
    path: Annotated[str, NOT_EMPTY]
    """The video file, in any container and codec FFmpeg reads."""
    loop: bool = False
    """Begin again at the end, with time going on; otherwise the camera ends with its clip."""
    pace: bool = True
    """Give frames at the clip's own pace, as a camera would, with gaps of 30 s at most. Without it they come as fast as
    they are taken, with the clip's own times, and every run is the same."""
    recorded_at_s: Annotated[float, Ge(0)] = 0.0
    """Unix time of the clip's first frame, used by schedules and messages where it is not paced."""


class File:
    """``seq`` is the frame's place in the clip, from 0 (exact where it is not paced), rising on through loops."""

    def __init__(self, options: FileOptions, feed: Feed) -> None:
        self._options = options
        self._feed = feed
        self._closed = threading.Event()

    def frames(self) -> Iterator[Frame]:
        options = self._options
        clock = ClipClock(options.pace, options.recorded_at_s, self._closed, _LONGEST_GAP_S)
        limiter = Limiter(self._feed.fps)
        offset_s, first, seq = 0.0, 0, None
        url = str(expanded(options.path).absolute())  # else `2026-11-23T10:00.mp4` would name a protocol
        opening = Opening(url=url, name=options.path, retriable=False)
        while not self._closed.is_set():
            with VideoInput(opening, wait_for=clock.wait_for, from_s=offset_s) as video:
                for picture in video.pictures(limiter, self._closed, may_skip=options.pace):
                    seq = first + picture.index
                    captured, wall = clock.stamp(picture.time_s)
                    if self._closed.is_set():
                        return
                    yield picture.frame(self._feed.camera, seq, captured, wall)
                if (seq is None or not video.count) and not self._closed.is_set():
                    raise SourceError(f"{options.path} holds no picture that can be decoded", retriable=False)
                offset_s, first = video.end_s, first + video.count
            if not options.loop:
                return

    def close(self) -> None:
        self._closed.set()
