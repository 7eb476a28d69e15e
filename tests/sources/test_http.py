"""MJPEG and polled JPEG from a real web server, with what goes wrong there."""

from __future__ import annotations

import itertools
import threading
from http.server import BaseHTTPRequestHandler

import cv2
import numpy as np
import pytest

from edgerun.errors import SourceError
from edgerun.sources.http import Http, HttpOptions
from edgerun.stages import Feed
from tests.servers.http_camera import Answer, HttpCamera, SilentServer
from tests.sources import level, levels, near

FOREVER = threading.Event()


def jpeg(n: int, size: tuple[int, int] = (64, 48)) -> bytes:
    picture = np.full((size[1], size[0], 3), level(n), np.uint8)
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1])


def stream(
    parts: list[bytes],
    *,
    lengths: bool = True,
    announced: str = "frame",
    fence: bytes = b"--frame",
    then_hang: bool = False,
) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={announced}")
        request.end_headers()
        for part in parts:
            length = f"Content-Length: {len(part)}\r\n".encode() if lengths else b""
            request.wfile.write(fence + b"\r\nContent-Type: image/jpeg\r\n" + length + b"\r\n" + part + b"\r\n")
        if then_hang:
            FOREVER.wait()
        request.wfile.write(fence + b"--\r\n")

    return answer


def single(picture: bytes, kind: str = "image/jpeg") -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(picture)))
        request.end_headers()
        request.wfile.write(picture)

    return answer


def source(url: str, fps: float = 0.0, timeout_s: float = 5.0) -> Http:
    return Http(HttpOptions(url=url, timeout_s=timeout_s), Feed("gate", fps))


@pytest.mark.parametrize("lengths", [True, False])
@pytest.mark.parametrize(
    ("announced", "fence"),
    [
        ("frame", b"--frame"),
        ('"frame"', b"--frame"),
        ("--frame", b"--frame"),
        ("--frame", b"----frame"),
        ("frame", b"--another"),
        ("", b"--frame"),
    ],
)
def test_a_stream_gives_its_pictures_whatever_it_calls_its_boundary(
    lengths: bool, announced: str, fence: bytes
) -> None:
    with HttpCamera(stream([jpeg(n) for n in range(8)], lengths=lengths, announced=announced, fence=fence)) as camera:
        frames = source(camera.url).frames()
        taken = list(itertools.islice(frames, 8))
        with pytest.raises(SourceError, match="ended the stream"):
            next(frames)
    assert all(abs(f - level(n)) <= 2 for n, f in enumerate(levels(taken)))
    assert [frame.stamp.seq for frame in taken] == list(range(8))
    assert taken[0].full_range and taken[0].planes[1].shape == (24, 32)


def test_pictures_of_another_size_are_followed() -> None:
    with HttpCamera(stream([jpeg(0), jpeg(1, (80, 60))])) as camera:
        frames = list(itertools.islice(source(camera.url).frames(), 2))
    assert [(f.stamp.width, f.stamp.height) for f in frames] == [(64, 48), (80, 60)]


def test_a_damaged_picture_is_left_out() -> None:
    with HttpCamera(stream([jpeg(0), b"no picture", jpeg(2)])) as camera:
        assert len(list(itertools.islice(source(camera.url).frames(), 2))) == 2


@pytest.mark.parametrize("polled", [True, False])
def test_half_a_picture_is_none(polled: bool) -> None:
    """What the decoder has no bytes for it fills with what it finds, as parts of the picture before."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        half = jpeg(0)[: len(jpeg(0)) // 2]
        kind = "image/jpeg" if polled else "multipart/x-mixed-replace; boundary=frame"
        length = f"Content-Length: {len(jpeg(0))}\r\n"
        body = length if polled else f"\r\n--frame\r\n{length}"
        request.wfile.write(f"HTTP/1.0 200 OK\r\nContent-Type: {kind}\r\n{body}\r\n".encode() + half)

    with HttpCamera(answer) as camera:
        assert "broke off in the middle of a picture" in refusal(camera.url)


def test_a_stream_of_rubbish_is_given_up() -> None:
    with (
        HttpCamera(stream([b"no picture"] * 30, then_hang=True)) as camera,
        pytest.raises(SourceError, match="sends no JPEG picture"),
    ):
        next(source(camera.url).frames())


def test_pictures_that_would_take_all_memory_are_given_up() -> None:
    """Less than a megabyte each on the wire."""
    huge = bytes(cv2.imencode(".jpg", np.zeros((9000, 9000), np.uint8))[1])
    with (
        HttpCamera(stream([huge] * 12)) as camera,
        pytest.raises(SourceError, match="sends no JPEG picture of 50 megapixels at most"),
    ):
        next(source(camera.url).frames())


def test_a_single_picture_is_fetched_again_at_the_cameras_rate() -> None:
    with HttpCamera(single(jpeg(3))) as camera:
        frames = list(itertools.islice(source(camera.url, fps=20).frames(), 4))
        assert camera.requests == 4
    assert [frame.stamp.seq for frame in frames] == [0, 1, 2, 3]
    assert frames[3].stamp.captured - frames[0].stamp.captured > 0.1  # the first may come late


@pytest.mark.parametrize(("fps", "apart_s"), [(0.1, 10.0), (0.0, 1.0)])
def test_a_single_picture_is_asked_for_no_more_often(
    fps: float, apart_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    class NoTime(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waited.append(timeout or 0.0)
            return False

    with HttpCamera(single(jpeg(3))) as camera:
        with monkeypatch.context() as patched:
            patched.setattr(threading, "Event", NoTime)
            gate = source(camera.url, fps)
        list(itertools.islice(gate.frames(), 3))
    assert waited == pytest.approx([apart_s] * 2, abs=0.5)


def test_an_empty_picture_is_left_out() -> None:
    """What a camera answers while it starts."""
    pictures = iter([b"", *(jpeg(n) for n in range(3))])

    def answer(request: BaseHTTPRequestHandler) -> None:
        single(next(pictures))(request)

    with HttpCamera(answer) as camera:
        assert near(levels(itertools.islice(source(camera.url, fps=50).frames(), 3)), [0, 1, 2])


@pytest.mark.parametrize(
    "schemes",
    [
        ["basic"],
        ["digest"],
        ["digest MD5"],
        ["digest SHA-256"],
        ["digest SHA-256", "digest MD5"],
        ["digest SHA3-512", "digest md5"],
        ["negotiate", "digest"],
        ["negotiate", "basic"],
        ["digest SHA3-512", "basic"],
        ["digest MD5, opaque=, =, stale, "],
    ],
)
def test_a_login_in_the_url_is_used(schemes: list[str]) -> None:
    """Whichever of those that the camera offers is known, in their order; also on the page that it leads to."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        if request.path == "/snap":
            request.send_response(302)
            request.send_header("Location", "/elsewhere")
            request.end_headers()
        else:
            single(jpeg(0))(request)

    with HttpCamera(answer, login=("cam", "p@ssü/1"), schemes=schemes) as camera:
        next(source(f"http://cam:p%40ss%C3%BC%2F1@{camera.address}/snap").frames())


def test_a_user_without_a_password_is_a_login_too() -> None:
    with HttpCamera(single(jpeg(0)), login=("cam", ""), schemes=["basic"]) as camera:
        next(source(f"http://cam@{camera.address}/snap").frames())


def refusal(url: str, timeout_s: float = 5.0) -> str:
    with pytest.raises(SourceError) as caught:
        next(source(url, timeout_s=timeout_s).frames())
    assert caught.value.retriable
    assert "s3cret" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("scheme", ["basic", "digest"])
def test_a_wrong_password_is_told_without_showing_it(scheme: str) -> None:
    with HttpCamera(single(jpeg(0)), login=("cam", "right"), schemes=[scheme]) as camera:
        said = refusal(f"http://cam:s3cret@{camera.address}/snap")
        assert said == f"http://cam:***@{camera.address}/snap refuses the user name or password"
        assert "refuses the user name or password" in refusal(camera.url)


@pytest.mark.parametrize("code", [401, 403])
def test_a_login_that_another_server_wants_is_told(code: int) -> None:
    """It is sent to the one in the URL alone, also where plain HTTP leads to HTTPS: nothing may be wrong with it."""

    def elsewhere(request: BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", f"http://{other.address}/snap?pwd=s3cret&n=1")
        request.end_headers()

    with HttpCamera(lambda request: request.send_error(code)) as other, HttpCamera(elsewhere) as camera:
        said = refusal(f"http://cam:s3cret@{camera.address}/")
        assert "password" not in said
        assert f"leads to another address, to which no login is sent: http://{other.address}/snap?" in said
        assert said.endswith("n=1; write that one in `url`")


def test_other_answers_are_told_in_words() -> None:
    with HttpCamera(lambda request: request.send_error(404)) as camera:
        assert "has no such page; check the path" in refusal(camera.url)
    with HttpCamera(lambda request: request.send_error(503, "Busy")) as camera:
        assert "answers 503 Busy" in refusal(camera.url)
    with HttpCamera(lambda request: request.send_error(500, "So " * 9999)) as camera:
        assert len(refusal(camera.url)) < 200
    with HttpCamera(single(b"<html>", f"{'text' * 9999}/html")) as camera:
        assert len(refusal(camera.url)) < 200
    with HttpCamera(single(b"<html>", "text/html")) as camera:
        assert "gives text/html, which is neither" in refusal(camera.url)
    with HttpCamera(single(b"\x89PNG\r\n\x1a\n", "image/png")) as camera:
        assert "gives image/png; choose JPEG" in refusal(camera.url)
    with HttpCamera(single(jpeg(0)), login=("cam", "x"), schemes=["negotiate", "digest SHA3-512"]) as camera:
        assert "asks for a kind of login" in refusal(f"http://cam:s3cret@{camera.address}/")
    assert "refuses the connection" in refusal(camera.url)
    assert "host name that nobody knows" in refusal("http://cam:s3cret@nowhere.invalid/")


@pytest.mark.parametrize("place", ["ftp://127.0.0.1:1/snap.jpg", "file:///etc/passwd", "/again", ""])
def test_a_camera_that_leads_nowhere_is_told_in_words(place: str) -> None:
    """Python would fetch over FTP, too, what is then no answer over HTTP."""

    def elsewhere(request: BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", place)
        request.end_headers()

    with HttpCamera(elsewhere) as camera:
        said = refusal(camera.url)
        assert "leads on to what is no address over HTTP, or round in a circle" in said
        assert "\n" not in said


def test_what_comes_beside_another_address_is_not_waited_for() -> None:
    """It need not end: a camera could fill all memory with it."""

    def elsewhere(request: BaseHTTPRequestHandler) -> None:
        if request.path == "/still":
            single(jpeg(3))(request)
            return
        request.send_response(302)
        request.send_header("Location", "/still")
        request.send_header("Content-Length", str(1 << 40))
        request.end_headers()
        request.wfile.write(bytes(1000))
        FOREVER.wait()

    with HttpCamera(elsewhere) as camera:
        assert near(levels(itertools.islice(source(camera.url).frames(), 1)), [3])


def test_what_cannot_be_is_told_in_words() -> None:
    def endless(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n")
        request.wfile.write(b"--b\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n")

    def astray(address: bytes) -> Answer:
        def answer(request: BaseHTTPRequestHandler) -> None:
            request.wfile.write(b"HTTP/1.0 302 Found\r\nLocation: " + address + b"\r\n\r\n")

        return answer

    for answer in (endless, astray(b"http://[::1/"), astray(b"http://[::1]:99999999999999999999/")):
        with HttpCamera(answer) as camera:
            assert "does not answer as HTTP wants it" in refusal(camera.url)
    for host in ("[::1", "a" * 70):
        assert "has a URL that cannot be" in refusal(f"http://cam:s3cret@{host}/")


def test_a_camera_that_accepts_and_says_nothing_is_given_up() -> None:
    with SilentServer() as server:
        assert "gives no picture within 0.3 s" in refusal(f"http://cam:s3cret@{server.address}/", timeout_s=0.3)


@pytest.mark.parametrize("polled", [False, True])
def test_a_camera_that_stops_within_a_picture_is_given_up(polled: bool) -> None:
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 9000\r\n\r\n\xff\xd8\xff"
        if polled
        else b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=x\r\n\r\n"
        b"--x\r\nContent-Length: 9000\r\n\r\n\xff\xd8\xff"
    )
    with SilentServer(head) as server:
        assert "gives no picture within 0.3 s" in refusal(f"http://{server.address}/", timeout_s=0.3)


def test_closing_wakes_a_reader_that_waits_for_a_silent_camera() -> None:
    """With a timeout of an hour, only ``close`` can end it."""
    with HttpCamera(stream([jpeg(0)], then_hang=True)) as camera:
        gate = source(camera.url, timeout_s=3600.0)
        frames = gate.frames()
        next(frames)
        threading.Timer(0.1, gate.close).start()
        assert list(frames) == []
        gate.close()


def test_closing_while_it_connects_ends_it() -> None:
    """Though the camera answers then, with a stream that has no end."""
    asked, may_answer, is_over = threading.Event(), threading.Event(), threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked.set()
        may_answer.wait(10)
        while not is_over.wait(0.01):
            stream([jpeg(0)])(request)

    with HttpCamera(answer) as camera:
        gate = source(camera.url)
        reader = threading.Thread(target=list, args=(gate.frames(),))
        reader.start()
        assert asked.wait(10)
        gate.close()
        may_answer.set()
        reader.join(5)
        is_over.set()
        assert not reader.is_alive()


def test_closing_ends_polling() -> None:
    with HttpCamera(single(jpeg(0))) as camera:
        gate = source(camera.url, fps=0.001)
        frames = gate.frames()
        next(frames)
        threading.Timer(0.1, gate.close).start()
        assert list(frames) == []


def test_frames_beyond_the_rate_are_left_out() -> None:
    with HttpCamera(stream([jpeg(n) for n in range(20)])) as camera, pytest.raises(SourceError, match="ended"):
        for n, frame in enumerate(source(camera.url, fps=0.5).frames()):
            assert n < 2 and frame.stamp.seq == n


def test_only_web_addresses_are_taken() -> None:
    with pytest.raises(ValueError, match="must begin with http:// or https://"):
        HttpOptions(url="rtsp://host/")
    assert "s3cret" not in repr(HttpOptions(url="http://cam:s3cret@host/"))
