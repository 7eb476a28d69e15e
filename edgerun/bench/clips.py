"""Clips to measure with, made from one: the same pictures at another rate, or one picture that stands still."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import av

_NOISE_LEVELS = 1.5
"""Standard deviation of the noise in a still scene, in grey levels: a good sensor by day, after its own filter."""
_SAMPLED = 10
"""Every so many-th picture counts for the scene with nobody in it."""
_TIME_BASE = 90_000


def retimed(clip: Path, folder: Path, fps: float) -> Path:
    """The clip's packets as they are, at ``fps`` pictures a second. For codecs without reordered pictures, the rest
    keep their order of decoding."""
    import av

    made = folder / f"{clip.stem}-{fps:g}.mkv"
    if made.exists():
        return made
    with av.open(str(clip)) as source, av.open(str(made), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        step = (stream.average_rate or Fraction(25)) / Fraction(fps).limit_denominator(1000)
        base = stream.time_base or Fraction(1, _TIME_BASE)
        for number, packet in enumerate(source.demux(stream)):
            if not packet.size:
                continue
            pts = packet.pts if packet.pts is not None else round(number / (stream.average_rate or 25) / base)
            dts = packet.dts if packet.dts is not None else pts
            packet.time_base = Fraction(1, _TIME_BASE)
            packet.pts, packet.dts = round(pts * base * step * _TIME_BASE), round(dts * base * step * _TIME_BASE)
            packet.stream = copy
            target.mux(packet)
    return made


def still(clip: Path, folder: Path, fps: int, seconds: float) -> Path:
    """The clip's scene with nobody in it (the median of its pictures) for ``seconds``, with a sensor's noise.

    H.264 the way cameras send it: a key frame every four seconds, no reordering."""
    import av

    made = folder / f"{clip.stem}-still-{fps}.mp4"
    if made.exists():
        return made
    with av.open(str(clip)) as source:
        pictures = [one.to_ndarray(format="yuv420p") for one in islice(source.decode(video=0), 0, None, _SAMPLED)]
    picture = np.median(pictures, axis=0)
    noise = np.random.default_rng(0)

    def noisy() -> av.VideoFrame:
        shown = np.clip(picture + noise.normal(0, _NOISE_LEVELS, picture.shape), 0, 255).astype(np.uint8)
        return av.VideoFrame.from_ndarray(shown, format="yuv420p")

    options = {"preset": "veryfast", "tune": "zerolatency", "crf": "26"}
    return _encoded(made, fps, options, (noisy() for _ in range(round(fps * seconds))))


def full_hd(clip: Path, folder: Path, fps: int, seconds: float) -> Path:
    """The clip's pictures at 1920x1080 as H.264."""
    import av

    made = folder / f"{clip.stem}-1080p-{fps}.mp4"
    if made.exists():
        return made
    with av.open(str(clip)) as source:
        pictures = islice(source.decode(video=0), math.ceil(fps * seconds))
        larger = (picture.reformat(1920, 1080, "yuv420p") for picture in pictures)
        return _encoded(made, fps, {"preset": "fast", "bf": "0"}, larger)


def _encoded(made: Path, fps: int, options: dict[str, str], pictures: Iterator[av.VideoFrame]) -> Path:
    """H.264 of pictures of one size, with a key frame every four seconds."""
    import av

    with av.open(str(made), "w") as target:
        stream = target.add_stream("libx264", rate=fps, options=options)
        stream.gop_size, stream.pix_fmt = 4 * fps, "yuv420p"
        for number, picture in enumerate(pictures):
            if number == 0:
                stream.width, stream.height = picture.width, picture.height
            picture.pts, picture.time_base = number, Fraction(1, fps)
            target.mux(stream.encode(picture))
        target.mux(stream.encode(None))
    return made
