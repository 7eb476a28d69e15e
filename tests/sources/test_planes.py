"""Pictures of every pixel format become the same I420 planes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from edgerun.sources._av import JpegReader
from edgerun.sources._planes import PlaneReader
from edgerun.sources.file import File, FileOptions
from edgerun.stages import Feed
from edgerun.types import U8

SIZES = [(320, 240), (322, 242), (321, 241)]


def scene(width: int, height: int) -> U8:
    seed = np.random.default_rng(3).integers(30, 220, (4, 5, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(seed, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def made(pixel_format: str, size: tuple[int, int], color_range: int = 1) -> av.VideoFrame:
    picture = av.VideoFrame.from_ndarray(scene(*size), format="bgr24")
    return picture.reformat(format=pixel_format, dst_color_range=color_range)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "pixel_format",
    ["yuv420p", "yuv422p", "yuv444p", "nv12", "nv21", "yuyv422", "uyvy422", "yuv420p10le", "yuv411p", "bgr24", "rgba"],
)
def test_every_format_gives_the_planes_of_420(pixel_format: str, size: tuple[int, int]) -> None:
    wanted, _ = PlaneReader().read(made("yuv420p", size))
    planes, full_range = PlaneReader().read(made(pixel_format, size))
    half = ((size[1] + 1) // 2, (size[0] + 1) // 2)
    assert [plane.shape for plane in planes] == [(size[1], size[0]), half, half]
    assert not full_range
    for plane, other in zip(planes, wanted, strict=True):
        assert np.abs(plane.astype(int) - other).mean() < 1.5


@pytest.mark.parametrize("pixel_format", ["yuvj420p", "yuvj422p", "yuvj444p"])
def test_full_range_is_told(pixel_format: str) -> None:
    planes, full_range = PlaneReader().read(made(pixel_format, (320, 240), 2))
    wanted, _ = PlaneReader().read(made("yuvj420p", (320, 240), 2))
    assert full_range
    assert np.abs(planes[0].astype(int) - wanted[0]).mean() < 1.0
    assert np.abs(planes[1].astype(int) - wanted[1]).mean() < 1.5


@pytest.mark.parametrize("pixel_format", ["yuv422p", "yuyv422", "yuv444p", "yuv420p10le", "bgr24"])
def test_the_matrix_that_a_stream_names_does_not_matter(pixel_format: str) -> None:
    """Nor whether FFmpeg converts it: it knows none of those that are only reserved, of YCgCo and of ICtCp."""
    wanted, _ = PlaneReader().read(made(pixel_format, (64, 48)))
    for matrix in range(19):
        picture = made(pixel_format, (64, 48))
        picture.colorspace = matrix
        planes, _ = PlaneReader().read(picture)
        assert all(np.array_equal(plane, other) for plane, other in zip(planes, wanted, strict=True))


def test_grey_pictures_have_no_colour_and_the_full_range_where_they_do_not_tell() -> None:
    """As a camera's at night: its black and white are those of a JPEG."""
    planes, full_range = PlaneReader().read(made("gray", (64, 48), 0))
    assert all((plane == 128).all() and plane.shape == (24, 32) for plane in planes[1:])
    assert full_range and not PlaneReader().read(made("gray", (64, 48), 1))[1]
    _, encoded = cv2.imencode(".jpg", scene(64, 48)[:, :, 0])
    picture = JpegReader().read(bytes(encoded))
    assert picture is not None and picture.full_range


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuvj420p", "yuv422p"])
def test_planes_are_the_decoders_own_memory(pixel_format: str) -> None:
    picture = made(pixel_format, (322, 242))
    planes, _ = PlaneReader().read(picture)
    before = int(planes[0][5, 7])
    content = bytearray(bytes(picture.planes[0]))
    content[5 * picture.planes[0].line_size + 7] = before ^ 0xFF
    picture.planes[0].update(bytes(content))
    assert planes[0][5, 7] == before ^ 0xFF


def test_planes_outlive_the_picture_they_came_from() -> None:
    reader = PlaneReader()
    kept = [reader.read(made(kind, (128, 96)))[0] for kind in ("yuv420p", "yuyv422") for _ in range(20)]
    for planes in kept:
        assert np.abs(planes[0].astype(int) - kept[0][0]).mean() < 1.5


@pytest.mark.parametrize("sampling", ["420", "422", "444", "440", "411"])
def test_jpegs_of_every_sampling_are_read(sampling: str) -> None:
    factor = getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{sampling}")
    _, encoded = cv2.imencode(".jpg", scene(320, 240), [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor])
    picture = JpegReader().read(bytes(encoded))
    assert picture is not None and picture.full_range
    wanted, _ = PlaneReader().read(made("yuvj420p", (320, 240), 2))
    assert np.abs(picture.planes[0].astype(int) - wanted[0]).mean() < 2.0
    assert np.abs(picture.planes[2].astype(int) - wanted[2]).mean() < 2.0


@pytest.mark.parametrize("encoded", [b"", b"hello", b"\xff\xd8\xff\xd9"])
def test_what_is_no_jpeg_gives_nothing(encoded: bytes) -> None:
    assert JpegReader().read(encoded) is None


@pytest.mark.parametrize(
    ("matrix", "turned"),
    [
        ((1, 0, 0, 1), lambda plane: plane),
        ((0, 1, -1, 0), lambda plane: np.rot90(plane, -1)),
        ((-1, 0, 0, -1), lambda plane: plane[::-1, ::-1]),
        ((0, -1, 1, 0), np.rot90),
        ((-1, 0, 0, 1), np.fliplr),
        ((0, 1, 1, 0), np.transpose),
    ],
)
def test_a_clip_is_turned_as_its_display_matrix_says(
    tmp_path: Path, matrix: tuple[int, int, int, int], turned: Callable[[U8], U8]
) -> None:
    clip = tmp_path / "a.mp4"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        container.mux(stream.encode(made("yuv420p", (96, 64))))
        container.mux(stream.encode(None))
    camera = File(FileOptions(path=str(clip), pace=False), Feed("porch", 0))
    (lying,) = camera.frames()
    content = bytearray(clip.read_bytes())
    a, b, c, d = (value << 16 for value in matrix)
    struct.pack_into(">5i", content, content.index(b"tkhd") + 44, a, b, 0, c, d)  # ISO/IEC 14496-12, 8.3.2
    clip.write_bytes(content)
    (frame,) = camera.frames()
    assert (frame.stamp.height, frame.stamp.width) == turned(lying.planes[0]).shape
    for plane, other in zip(frame.planes, lying.planes, strict=True):
        assert np.array_equal(plane, turned(other))


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_jpeg_is_turned_as_its_exif_data_says(orientation: int) -> None:
    plain = bytes(cv2.imencode(".jpg", scene(96, 64))[1])
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">HHHIHHI", 1, 0x112, 3, 1, orientation, 0, 0)
    turned = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + plain[2:]
    picture = JpegReader().read(turned)
    assert picture is not None
    wanted = np.asarray(cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_GRAYSCALE))
    assert picture.planes[0].shape == wanted.shape
    assert np.abs(picture.planes[0].astype(int) - wanted).mean() < 2.0
