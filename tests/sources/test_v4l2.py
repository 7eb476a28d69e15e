"""Cameras on this machine: what is listed, and what is said where one cannot be used."""

from __future__ import annotations

import itertools
import os
import threading
from pathlib import Path

import pytest

from edgerun.errors import SourceError
from edgerun.sources.v4l2 import V4l2, V4l2Options, _Readiness, list_cameras
from edgerun.stages import Feed


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


@pytest.mark.skipif(os.geteuid() == 0, reason="root may use any device")
def test_a_camera_of_someone_else() -> None:
    assert "add it to the group `video`" in str(refusal("/dev/kmsg"))


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
    ready.wait()
    os.read(held, 7)
    closed.set()
    ready.wait()
    os.close(held)


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
