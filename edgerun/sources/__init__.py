"""Ways of capture, by the name that a configuration calls them."""

from __future__ import annotations

from edgerun.plugins import Plugin
from edgerun.sources.file import File, FileOptions
from edgerun.sources.gstreamer import Gstreamer, GstreamerOptions
from edgerun.sources.http import Http, HttpOptions
from edgerun.sources.images import Images, ImagesOptions
from edgerun.sources.jetson import Jetson, JetsonOptions
from edgerun.sources.rtsp import Rtsp, RtspOptions
from edgerun.sources.v4l2 import V4l2, V4l2Options
from edgerun.stages import Source

SOURCES: dict[str, Plugin[Source]] = {
    "file": Plugin(FileOptions, File),
    "gstreamer": Plugin(GstreamerOptions, Gstreamer),
    "http": Plugin(HttpOptions, Http),
    "images": Plugin(ImagesOptions, Images),
    "jetson": Plugin(JetsonOptions, Jetson),
    "rtsp": Plugin(RtspOptions, Rtsp),
    "v4l2": Plugin(V4l2Options, V4l2),
}
