"""A real RTSP camera to test against: GStreamer's server, looping an H.264 clip or a generated picture.

Run by the system's Python, whose PyGObject knows GStreamer (Debian: gir1.2-gst-rtsp-server-1.0):

    /usr/bin/python3 rtsp_server.py [--clip FILE.mp4] [--size 320x240] [--rate 15] [--user U --password P] [--port N]

Prints ``port N`` once it listens; serves ``rtsp://127.0.0.1:N/stream`` until it is killed.
The clip is not decoded: its access units are read once and sent in a loop with rising timestamps.
"""

from __future__ import annotations

import argparse
from typing import Any

import gi  # type: ignore[import-not-found, unused-ignore]  # the system's Python has it, without types

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstRtspServer", "1.0")
# GstApp only registers the types of appsrc and appsink
from gi.repository import GLib, Gst, GstApp, GstRtspServer  # type: ignore[import-not-found, unused-ignore]  # noqa: E402, F401

PAY = "rtph264pay name=pay0 pt=96 config-interval=1"


def access_units(path: str) -> tuple[Any, list[tuple[bytes, int, int, int]]]:
    """The clip's caps and its access units as (bytes, pts, dts, duration)."""
    pipeline = Gst.parse_launch(
        f'filesrc location="{path}" ! qtdemux ! h264parse config-interval=-1 '
        "! video/x-h264,stream-format=byte-stream,alignment=au ! appsink name=sink sync=false"
    )
    sink = pipeline.get_by_name("sink")
    pipeline.set_state(Gst.State.PLAYING)
    units, caps = [], None
    while sample := sink.emit("pull-sample"):
        caps, buffer = sample.get_caps(), sample.get_buffer()
        units.append((buffer.extract_dup(0, buffer.get_size()), buffer.pts, buffer.dts, buffer.duration))
    pipeline.set_state(Gst.State.NULL)
    if not units:
        raise SystemExit(f"no H.264 video in {path}")
    return caps, units


def looping_clip(path: str) -> Any:
    """A factory whose media play the clip from its beginning, for ever."""
    caps, units = access_units(path)
    last = max(units, key=lambda unit: unit[1])
    length = last[1] + last[3] - min(unit[1] for unit in units)

    def configure(_factory: Any, media: Any) -> None:
        sent = 0

        def feed(source: Any, _size: int) -> None:
            nonlocal sent
            turn, index = divmod(sent, len(units))
            sent += 1
            content, pts, dts, duration = units[index]
            buffer = Gst.Buffer.new_wrapped(content)
            buffer.pts, buffer.duration = pts + turn * length, duration
            buffer.dts = dts + turn * length if dts != Gst.CLOCK_TIME_NONE else dts
            source.emit("push-buffer", buffer)

        source = media.get_element().get_by_name("clip")
        source.set_property("caps", caps)
        source.connect("need-data", feed)

    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(f"( appsrc name=clip format=time max-bytes=400000 ! h264parse ! {PAY} )")
    factory.connect("media-configure", configure)
    return factory


def moving_ball(size: str, rate: int) -> Any:
    """A factory of a generated picture, encoded live."""
    width, height = size.split("x")
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(
        "( videotestsrc is-live=true pattern=ball "
        f"! video/x-raw,format=I420,width={width},height={height},framerate={rate}/1 "
        f"! x264enc tune=zerolatency speed-preset=ultrafast key-int-max={rate} ! h264parse ! {PAY} )"
    )
    return factory


def require_login(server: Any, factory: Any, user: str, password: str) -> None:
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("viewer", "media.factory.access", True)
    permissions.add_permission_for_role("viewer", "media.factory.construct", True)
    factory.set_permissions(permissions)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clip")
    parser.add_argument("--size", default="320x240")
    parser.add_argument("--rate", type=int, default=15)
    parser.add_argument("--user")
    parser.add_argument("--password", default="")
    parser.add_argument("--port", default="0")
    args = parser.parse_args()
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(args.port)
    factory = looping_clip(args.clip) if args.clip else moving_ball(args.size, args.rate)
    factory.set_shared(True)
    if args.user:
        require_login(server, factory, args.user, args.password)
    server.get_mount_points().add_factory("/stream", factory)
    if not server.attach(None):
        raise SystemExit(f"cannot listen on port {args.port}")
    print(f"port {server.get_bound_port()}", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
