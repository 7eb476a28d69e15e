"""Capture, from real clips and real servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from edgerun.types import Frame


def write_clip(
    path: Path,
    codec: str = "libx264",
    *,
    count: int = 30,
    rate: int = 10,
    size: tuple[int, int] = (96, 64),
    pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None,
) -> Path:
    """A clip whose n-th picture has luma ``level(n)`` all over."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = pixel_format
        for n in range(count):
            planes = np.full((size[1] * 3 // 2, size[0]), 128, np.uint8)
            planes[: size[1]] = level(n)
            picture = av.VideoFrame.from_ndarray(planes, format="yuv420p").reformat(format=pixel_format)
            picture.pts = n
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def level(n: int) -> int:
    return 40 + n * 7 % 150


def levels(frames: Iterator[Frame] | list[Frame]) -> list[int]:
    """Which pictures these are, by their luma."""
    return [round(float(frame.planes[0].mean())) for frame in frames]


def near(found: list[int], numbers: list[int]) -> bool:
    """Whether the pictures found are those of these numbers, give or take what encoding does."""
    return len(found) == len(numbers) and all(abs(f - level(n)) <= 2 for f, n in zip(found, numbers, strict=True))
