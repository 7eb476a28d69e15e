"""Clips that are put together in an unusual way."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import pytest

from edgerun.errors import SourceError
from edgerun.sources.file import File, FileOptions
from edgerun.stages import Feed
from edgerun.types import Frame
from tests.sources import write_clip


def frames_of(clip: Path) -> list[Frame]:
    return list(File(FileOptions(path=str(clip), pace=False), Feed("porch", 0)).frames())


@pytest.mark.parametrize("name", ["2026-11-23T10:00:00.mp4", "file:a.mp4", "-a.mp4"])
def test_a_colon_in_a_name_does_not_make_a_protocol_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write_clip(tmp_path / "a.mp4", count=3).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert len(frames_of(Path(name))) == 3


def test_the_time_of_clips_put_together_goes_on(tmp_path: Path) -> None:
    """Each of them counts from its own beginning."""
    part = write_clip(tmp_path / "a.ts", count=20, rate=10).read_bytes()
    clip = tmp_path / "both.ts"
    clip.write_bytes(part + part)
    frames = frames_of(clip)
    assert [frame.stamp.captured for frame in frames] == pytest.approx([n / 10 for n in range(40)], abs=1e-3)


@pytest.mark.parametrize("loop", [False, True])
def test_a_clip_of_pictures_that_cannot_be_decoded_is_told_in_words(tmp_path: Path, loop: bool) -> None:
    clip = write_clip(tmp_path / "a.mp4")
    content = bytearray(clip.read_bytes())
    at = content.index(b"mdat")
    size = int.from_bytes(content[at - 4 : at], "big") - 8
    content[at + 4 : at + 4 + size] = bytes(size)
    clip.write_bytes(content)
    with pytest.raises(SourceError, match="holds no picture that can be decoded") as caught:
        next(File(FileOptions(path=str(clip), pace=False, loop=loop), Feed("porch", 0)).frames())
    assert not caught.value.retriable


def test_a_clip_that_is_closed_before_its_first_picture_just_ends(tmp_path: Path) -> None:
    film = File(FileOptions(path=str(write_clip(tmp_path / "a.mp4"))), Feed("porch", 0))
    film.close()
    assert list(film.frames()) == []


def boxes_of(content: bytes) -> list[bytes]:
    """Of an MP4, or of what one of its boxes holds (ISO/IEC 14496-12, 4.2)."""
    found = []
    while content:
        (size,) = struct.unpack_from(">I", content)
        found.append(content[:size])
        content = content[size:]
    return found


def test_a_cover_is_not_taken_for_the_clip(tmp_path: Path) -> None:
    """Not where it comes first, either: what is told about a clip may stand before its streams."""
    clip = tmp_path / "a.mp4"
    with av.open(str(clip), "w") as container:
        film, cover = container.add_stream("mpeg4", rate=10), container.add_stream("mjpeg", rate=10)
        assert isinstance(film, av.VideoStream) and isinstance(cover, av.VideoStream)
        film.width, film.height, film.pix_fmt = 96, 64, "yuv420p"
        cover.width, cover.height, cover.pix_fmt = 48, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        for stream, picture in ((film, av.VideoFrame(96, 64, "yuv420p")), (cover, av.VideoFrame(48, 48, "yuvj420p"))):
            container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
    *others, movie = boxes_of(clip.read_bytes())
    inside = sorted(boxes_of(movie[8:]), key=lambda box: box[4:8] == b"trak")
    clip.write_bytes(b"".join([*others, movie[:8], *inside]))
    with av.open(str(clip)) as container:
        assert [stream.width for stream in container.streams.video] == [48, 96]
    assert [frame.stamp.width for frame in frames_of(clip)] == [96]
