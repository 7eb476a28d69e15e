"""Ways of capture, by the name that a configuration calls them."""

from __future__ import annotations

from edgerun.plugins import Table
from edgerun.stages import Source

SOURCES: Table[Source] = Table(
    __name__,
    {
        "file": "file.File",
        "gstreamer": "gstreamer.Gstreamer",
        "http": "http.Http",
        "images": "images.Images",
        "jetson": "jetson.Jetson",
        "rtsp": "rtsp.Rtsp",
        "v4l2": "v4l2.V4l2",
    },
)
