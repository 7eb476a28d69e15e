"""Cameras on this machine: what is listed, and what is said where one cannot be used."""

from __future__ import annotations

import errno
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import pytest

from edgerun.errors import SourceError
from edgerun.sources import v4l2
from edgerun.sources._av import Opening, VideoInput
from edgerun.sources.v4l2 import V4l2, V4l2Options, _Readiness, list_cameras
from edgerun.stages import Feed
from edgerun.types import Frame
from tests.sources import write_clip

NOBODY = 65534


def refusal(device: str) -> SourceError:
    with pytest.raises(SourceError) as caught:
        next(V4l2(V4l2Options(device=device, open_timeout_s=1.0), Feed("desk", 5)).frames())
    return caught.value


def test_a_camera_that_is_not_plugged_in() -> None:
    error = refusal("/dev/video99")
    assert str(error) == "there is no camera /dev/video99; `edgerun devices` lists those that are there"
    assert error.retriable, "it may be plugged in later"
    assert "/dev/v4l/by-id/usb-Acme-index0" in str(refusal("usb-Acme-index0"))


def test_what_is_no_camera(tmp_path: Path) -> None:
    file = tmp_path / "video0"
    file.write_bytes(b"")
    error = refusal(str(file))
    assert "is not a camera's device node" in str(error) and not error.retriable
    assert "the camera /dev/null" in str(refusal("/dev/null"))


@pytest.fixture
def nobody() -> Iterator[None]:
    """Not root, who may use any device."""
    users = os.getresuid()
    if users[1] == 0:
        os.setresuid(NOBODY, NOBODY, 0)
    yield
    os.setresuid(*users)


def test_a_camera_of_someone_else(nobody: None) -> None:
    assert "add it to the group `video`" in str(refusal("/dev/console"))


def test_the_wait_for_a_picture_ends_in_time(tmp_path: Path) -> None:
    """With a pipe in the camera's place: silence, a picture, and closing."""
    device = tmp_path / "video0"
    os.mkfifo(device)
    held = os.open(device, os.O_RDWR)
    closed = threading.Event()
    ready = _Readiness(str(device), 0.3, closed)
    with pytest.raises(SourceError, match=r"sent nothing for 0\.3 s"):
        ready.wait()
    os.write(held, b"picture")
    assert ready.wait()
    os.read(held, 7)
    closed.set()
    assert not ready.wait()
    os.close(held)


def test_closing_a_silent_camera_ends_its_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera that has been wedged since its last picture, played by a pipe that nobody writes to."""
    device, clip = tmp_path / "video0", write_clip(tmp_path / "a.mp4", count=1)
    os.mkfifo(device)
    held = os.open(device, os.O_RDWR)
    monkeypatch.setattr(V4l2, "_device", lambda _: str(device))
    monkeypatch.setattr(v4l2, "VideoInput", partial(_Wedged, clip))
    camera = V4l2(V4l2Options(read_timeout_s=60), Feed("desk", 5))
    frames: list[Frame] = []
    reader = threading.Thread(target=lambda: frames.extend(camera.frames()), daemon=True)
    reader.start()
    camera.close()
    reader.join(20)
    assert not reader.is_alive()
    assert frames == []
    os.close(held)


class _Wedged(VideoInput):
    """Opens the clip; what it reads from then on is what a driver says that has no picture."""

    def __init__(self, clip: Path, opening: Opening, ready: Callable[[], bool]) -> None:
        super().__init__(Opening(url=str(clip), name=opening.name), ready)
        self._container.close()
        silent: Any = SimpleNamespace(demux=self._nothing, close=lambda: None)
        self._container = silent

    @staticmethod
    def _nothing(_: object) -> Iterator[av.Packet[Any]]:
        raise av.BlockingIOError(errno.EAGAIN, "there is no picture")
        yield


def test_cameras_are_listed_with_their_lasting_names(tmp_path: Path) -> None:
    classes, by_id, dev = tmp_path / "class", tmp_path / "by-id", tmp_path / "dev"
    for number, name, index in [(0, "HD Webcam", 0), (1, "HD Webcam", 1), (10, "Second", 0), (2, "Capture card", 0)]:
        node = classes / f"video{number}"
        node.mkdir(parents=True)
        (node / "name").write_text(f"{name}\n")
        (node / "index").write_text(f"{index}\n")
    by_id.mkdir()
    dev.mkdir()
    (by_id / "usb-Acme_HD_Webcam-video-index0").symlink_to(dev / "video0")
    cameras = [(camera.path, camera.name, camera.by_id) for camera in list_cameras(classes, by_id)]
    assert cameras == [
        ("/dev/video0", "HD Webcam", "usb-Acme_HD_Webcam-video-index0"),
        ("/dev/video2", "Capture card", ""),
        ("/dev/video10", "Second", ""),
    ]
    assert list_cameras(tmp_path / "none", tmp_path / "none") == []


@pytest.mark.device
@pytest.mark.skipif(not list_cameras(), reason="no camera is plugged in")
@pytest.mark.parametrize("pixel_format", ["mjpeg", "yuyv"])
def test_a_real_camera(pixel_format: str) -> None:
    options = V4l2Options(device=list_cameras()[0].path, pixel_format=pixel_format)  # type: ignore[arg-type]  # both are literals
    frames = list(itertools.islice(V4l2(options, Feed("desk", 5)).frames(), 5))
    assert len({frame.planes[0].tobytes() for frame in frames}) > 1, "a real picture has noise"
