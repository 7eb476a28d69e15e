"""Folders of pictures."""

from __future__ import annotations

import itertools
import os
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgerun.errors import SourceError
from edgerun.sources.images import Images, ImagesOptions, picture
from edgerun.stages import Feed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for n, name in enumerate(["b.png", "a.JPG", "c.bmp"]):
        cv2.imwrite(str(tmp_path / name), np.full((20 + n, 30, 3), 50 * n, np.uint8))
    (tmp_path / "notes.txt").write_text("not a picture")
    return tmp_path


def unpaced(path: str, *, loop: bool = False, fps: float = 0.0) -> Images:
    return Images(ImagesOptions(path=path, rate_fps=2, loop=loop, pace=False, recorded_at_s=1000), Feed("shelf", fps))


def test_pictures_come_in_the_order_of_their_names(folder: Path) -> None:
    frames = list(unpaced(str(folder)).frames())
    assert [(f.stamp.height, int(f.planes[0][0, 0, 0])) for f in frames] == [(21, 50), (20, 0), (22, 100)]
    assert [(f.stamp.seq, f.stamp.captured, f.stamp.wall) for f in frames] == [
        (0, 0.0, 1000.0),
        (1, 0.5, 1000.5),
        (2, 1.0, 1001.0),
    ]
    assert frames[0].pixel_format == "bgr24"


def test_a_pattern_picks_pictures(folder: Path) -> None:
    assert [frame.stamp.height for frame in unpaced(str(folder / "*.[pb]*")).frames()] == [20, 22]


def test_a_loop_goes_on_and_a_lower_rate_leaves_out(folder: Path) -> None:
    frames = list(itertools.islice(unpaced(str(folder), loop=True, fps=1).frames(), 4))
    assert [frame.stamp.seq for frame in frames] == [0, 2, 4, 6]


def test_each_round_takes_what_is_there_then(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As in a folder that a camera uploads to."""
    frames = unpaced(str(folder), loop=True).frames()
    assert [next(frames).stamp.height for _ in range(3)] == [21, 20, 22]
    (folder / "b.png").unlink()
    cv2.imwrite(str(folder / "d.png"), np.zeros((23, 30, 3), np.uint8))
    assert [next(frames).stamp.height for _ in range(4)] == [21, 22, 23, 21]
    assert caplog.text == ""


def test_closing_ends_a_paced_folder(folder: Path) -> None:
    images = Images(ImagesOptions(path=str(folder), rate_fps=0.01), Feed("shelf", 0))
    frames = images.frames()
    next(frames)
    threading.Timer(0.1, images.close).start()
    assert list(frames) == []


def test_nothing_to_see_is_told_in_words(folder: Path) -> None:
    for path in (folder / "*.webp", folder / "none"):
        with pytest.raises(SourceError, match="there are no pictures at") as caught:
            next(unpaced(str(path)).frames())
        assert not caught.value.retriable
    for name in (
        "~nobody-of-this-name/shelf",
        "a" * 300,
        "a" * 300 + "/*.png",
        "a**.png",
    ):  # some Pythons raise, others do not
        with pytest.raises(SourceError, match=r"the(re are no)? pictures at"):
            next(unpaced(name).frames())
    with pytest.raises(SourceError, match=r"notes\.txt is not there, or is no picture"):
        next(unpaced(str(folder / "*.txt")).frames())


def test_a_file_that_is_no_picture_is_passed_over(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is told of once, and the others are seen in each round."""
    whole = [frame.stamp.seq for frame in unpaced(str(folder)).frames()]
    (folder / "0.png").write_bytes(b"half a download")
    frames = Images(ImagesOptions(path=str(folder), loop=True, pace=False), Feed("shelf", 0)).frames()
    count = len(whole)
    seen = [next(frames).stamp.seq for _ in range(2 * count)]
    assert seen == [*range(1, count + 1), *range(count + 2, 2 * count + 2)]
    assert caplog.text.count("0.png") == 1


def test_pictures_that_were_half_there_once_are_pictures_again(folder: Path) -> None:
    """As where a camera writes over the same few: each is come upon half-written one day."""
    paths = sorted(path for path in folder.iterdir() if path.suffix != ".txt")
    frames = Images(ImagesOptions(path=str(folder), loop=True, pace=False), Feed("shelf", 0)).frames()
    for path in paths:
        whole = path.read_bytes()
        path.write_bytes(whole[:20])
        assert len({next(frames).stamp.seq % len(paths) for _ in range(4)}) == 2
        path.write_bytes(whole)
        assert len({next(frames).stamp.seq % len(paths) for _ in range(6)}) == 3


def test_what_never_ends_is_no_picture(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.mkfifo(folder / "0.png")
    assert len(list(unpaced(str(folder)).frames())) == 3
    assert "0.png is not there, or is no picture" in caplog.text


def test_a_name_that_is_no_text_is_as_good_as_any(folder: Path) -> None:
    """OpenCV ends the whole process when it is given one."""
    (folder / "a.JPG").rename(folder / os.fsdecode(b"n\xff.jpg"))
    assert [frame.stamp.height for frame in unpaced(str(folder)).frames()] == [20, 22, 21]


@pytest.mark.parametrize("turned", [False, True])
def test_a_picture_is_turned_as_its_exif_data_says(folder: Path, turned: bool) -> None:
    orientation = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    segment = b"Exif\0\0" + orientation
    marked = b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment if turned else b""
    content = (folder / "a.JPG").read_bytes()
    (folder / "a.JPG").write_bytes(content[:2] + marked + content[2:])
    assert picture(folder / "a.JPG").shape == ((30, 21, 3) if turned else (21, 30, 3))


def test_what_holds_no_picture_is_told_in_words(folder: Path) -> None:
    (folder / "empty.png").touch()
    with (folder / "huge.png").open("wb") as file:
        file.truncate(10**12)
    for name in ("empty.png", "huge.png", "", "none.png", "a" * 300, "a\0.png"):
        with pytest.raises(SourceError, match="is not there, or is no picture"):
            picture(folder / name)
