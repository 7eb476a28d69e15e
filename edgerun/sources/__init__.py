"""Ways of capture, by the name that a configuration calls them."""

from __future__ import annotations

from edgerun.plugins import Plugin
from edgerun.sources.file import File, FileOptions
from edgerun.sources.http import Http, HttpOptions
from edgerun.sources.images import Images, ImagesOptions
from edgerun.sources.rtsp import Rtsp, RtspOptions
from edgerun.sources.v4l2 import V4l2, V4l2Options
from edgerun.stages import Source

SOURCES: dict[str, Plugin[Source]] = {
    "file": Plugin(FileOptions, File),
    "http": Plugin(HttpOptions, Http),
    "images": Plugin(ImagesOptions, Images),
    "rtsp": Plugin(RtspOptions, Rtsp),
    "v4l2": Plugin(V4l2Options, V4l2),
}
