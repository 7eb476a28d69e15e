"""A network camera over RTSP: H.264, H.265, MJPEG or whatever else FFmpeg decodes."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from dataclasses import field
from typing import Annotated, Literal

from edgerun.errors import SourceError
from edgerun.limits import POSITIVE
from edgerun.records import dataclass
from edgerun.sources._address import need_scheme, redacted
from edgerun.sources._av import Opening, VideoInput
from edgerun.sources._pace import Limiter
from edgerun.stages import Feed
from edgerun.types import Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class RtspOptions:
    url: str = field(repr=False)
    """``rtsp://user:password@host:554/path`` (or ``rtsps://``). Escape ``@``, ``/`` and ``:`` in the password as
    ``%40``, ``%2F`` and ``%3A``. The camera's second, smaller stream is usually the better choice."""
    transport: Literal["tcp", "udp"] = "tcp"
    """How pictures travel: ``tcp`` loses none, ``udp`` is for cameras that speak nothing else."""
    open_timeout_s: Annotated[float, POSITIVE] = 5.0
    """How long connecting may take before the camera counts as unreachable."""
    read_timeout_s: Annotated[float, POSITIVE] = 5.0
    """How long the stream may be silent before it is given up; a blocked ``close`` ends after it, too."""

    def __post_init__(self) -> None:
        need_scheme(self.url, "rtsp", "rtsps")


class Rtsp:
    """Frames are stamped when they are decoded; ``seq`` counts the frames given."""

    def __init__(self, options: RtspOptions, feed: Feed) -> None:
        self._options = options
        self._feed = feed
        self._closed = threading.Event()
        self._seq = itertools.count()

    def frames(self) -> Iterator[Frame]:
        options = self._options
        opening = Opening(
            url=options.url,
            name=redacted(options.url),
            options={
                "rtsp_transport": options.transport,
                "allowed_media_types": "video",
                # Look at the stream for 0.2 s, not 5, before decoding it. `fflags nobuffer` would lose what was looked
                # at, the first key frame with it, and leave the camera dark until the next one.
                "probesize": "200000",
                "analyzeduration": "200000",
                "max_delay": "200000",  # of packets put back in order over UDP
            },
            open_timeout_s=options.open_timeout_s,
            read_timeout_s=options.read_timeout_s,
        )
        with VideoInput(opening) as video:
            for picture in video.pictures(Limiter(self._feed.fps), self._closed):
                yield picture.frame(self._feed.camera, next(self._seq), time.monotonic(), time.time())
        if not self._closed.is_set():
            raise SourceError(f"{opening.name} ended the stream")

    def close(self) -> None:
        self._closed.set()
