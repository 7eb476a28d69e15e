"""RTSP against GStreamer's server: a camera that works, freezes, goes and comes back."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from typing import Literal

import pytest

from edgerun.errors import SourceError
from edgerun.sources.rtsp import Rtsp, RtspOptions
from edgerun.stages import Feed
from tests.servers import RtspServer, needs_rtsp_server
from tests.servers.http_camera import SilentServer
from tests.shared_media import SHARED, needs_shared


@pytest.fixture(scope="module")
def ball() -> Iterator[RtspServer]:
    with RtspServer() as server:
        yield server


def source(url: str, fps: float = 0.0, transport: Literal["tcp", "udp"] = "tcp", timeout_s: float = 5.0) -> Rtsp:
    options = RtspOptions(url=url, transport=transport, open_timeout_s=timeout_s, read_timeout_s=timeout_s)
    return Rtsp(options, Feed("yard", fps))


def refusal(rtsp: Rtsp) -> str:
    with pytest.raises(SourceError) as caught:
        next(rtsp.frames())
    assert caught.value.retriable
    return str(caught.value)


@needs_rtsp_server
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_pictures_come_in_the_decoders_planes(ball: RtspServer, transport: Literal["tcp", "udp"]) -> None:
    frames = list(itertools.islice(source(ball.url, transport=transport).frames(), 10))
    assert [frame.stamp.seq for frame in frames] == list(range(10))
    assert {(f.stamp.camera, f.stamp.width, f.stamp.height) for f in frames} == {("yard", 320, 240)}
    assert all(a.stamp.captured <= b.stamp.captured for a, b in itertools.pairwise(frames))
    assert [plane.shape for plane in frames[0].planes] == [(240, 320), (120, 160), (120, 160)]
    assert int(frames[-1].planes[0].max()) - int(frames[-1].planes[0].min()) > 100, "a bright ball on black"


@needs_rtsp_server
def test_no_more_frames_than_asked_for(ball: RtspServer) -> None:
    """At 15 fps, the sixth frame of 5 fps comes a second after the first."""
    frames = list(itertools.islice(source(ball.url, fps=5).frames(), 8))
    assert frames[-1].stamp.captured - frames[2].stamp.captured > 0.8


@needs_rtsp_server
def test_closing_from_another_thread_ends_the_stream(ball: RtspServer) -> None:
    rtsp = source(ball.url)
    frames = rtsp.frames()
    next(frames)
    threading.Timer(0.1, rtsp.close).start()
    assert len(list(frames)) < 100
    rtsp.close()
    assert list(rtsp.frames()) == [], "what is closed stays closed"


@needs_rtsp_server
def test_a_stalled_camera_is_given_up_and_comes_back() -> None:
    with RtspServer() as server:
        rtsp = source(server.url, timeout_s=1.0)
        frames = rtsp.frames()
        next(frames)
        server.freeze()
        with pytest.raises(SourceError, match="no answer within 1 s"):
            list(frames)
        assert "no answer within 1 s" in refusal(rtsp), "it accepts and says nothing"
        server.thaw()
        assert next(rtsp.frames()).stamp.seq > 0


@needs_rtsp_server
def test_a_camera_that_loses_power_comes_back() -> None:
    with RtspServer() as server:
        rtsp = source(server.url, timeout_s=1.0)
        frames = rtsp.frames()
        last = next(frames).stamp.seq
        server.stop()
        with pytest.raises(SourceError, match=r"ended the stream|cannot read|no answer"):
            for frame in frames:
                last = frame.stamp.seq
        assert "refuses the connection" in refusal(rtsp)
        server.start()
        assert next(rtsp.frames()).stamp.seq == last + 1


@needs_rtsp_server
def test_a_login_is_used_and_a_wrong_one_told_without_showing_it(capfd: pytest.CaptureFixture[str]) -> None:
    with RtspServer(login=("cam", "s3cret")) as server:
        address = server.url.removeprefix("rtsp://")
        next(source(f"rtsp://cam:s3cret@{address}").frames())
        said = refusal(source(f"rtsp://cam:s3cretwrong@{address}"))
        assert said == f"rtsp://cam:***@{address} refuses the user name or password"
        assert "refuses the user name or password" in refusal(source(server.url))
        assert "has no such stream; check the path" in refusal(source(f"rtsp://cam:s3cret@{address}/none"))
    said = refusal(source(f"rtsp://cam:s3cret@{address}"))
    assert said == f"rtsp://cam:***@{address} refuses the connection; check host and port"
    assert "s3cret" not in "".join(capfd.readouterr()), "FFmpeg's own log is silent"


@pytest.mark.parametrize(
    "words", [b"", b"RTSP/1.0 200 OK\r\n", b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 99\r\n\r\nv"]
)
def test_a_camera_that_falls_silent_while_opening_is_given_up(words: bytes) -> None:
    with SilentServer(words) as server:
        assert "no answer within 0.4 s" in refusal(source(f"rtsp://cam:s3cret@{server.address}/x", timeout_s=0.4))


def test_what_speaks_no_rtsp_is_told_in_words() -> None:
    with SilentServer(b"HTTP/1.1 400 Bad Request\r\n\r\n") as server:
        said = refusal(source(f"rtsp://cam:s3cret@{server.address}/x", timeout_s=0.4))
    assert "s3cret" not in said


def test_only_rtsp_addresses_are_taken() -> None:
    with pytest.raises(ValueError, match="must begin with rtsp:// or rtsps://"):
        RtspOptions(url="http://host/")
    assert "s3cret" not in repr(RtspOptions(url="rtsp://cam:s3cret@host/"))


@needs_rtsp_server
@needs_shared
def test_a_clip_goes_round_and_round() -> None:
    """What the server loops for whole-system tests: B-frames, long key frame intervals and all."""
    with RtspServer(SHARED / "media" / "bottle-detection.mp4") as server:
        frames = list(itertools.islice(source(server.url, fps=5).frames(), 5))
    assert {(f.stamp.width, f.stamp.height) for f in frames} == {(640, 360)}


def test_a_host_that_nobody_knows() -> None:
    """Is told as such; FFmpeg calls it an input or output error."""
    said = refusal(source("rtsp://cam:s3cret@nowhere.invalid/x"))
    assert said.startswith("rtsp://cam:***@nowhere.invalid/x has a host name that cannot be resolved")


@pytest.mark.parametrize("password", ["s3@nowhere.invalid/cret", "s3@nowhere.invalid#cret"])
def test_a_password_that_ends_the_host_is_not_laid_to_the_network(password: str) -> None:
    """With an @ before that, the host that is looked for is a part of the password: not to be shown."""
    said = refusal(source(f"rtsp://cam:{password}@10.0.0.5/x"))
    assert said.endswith("; in a password write # as %23, / as %2F and ? as %3F") and "10.0.0.5" in said
    assert "s3" not in said and "nowhere" not in said
