"""Clips to measure with, made from one: the same pictures at another rate, or one picture that stands still."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np

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
    with av.open(str(made), "w") as target:
        stream = target.add_stream(
            "libx264", rate=fps, options={"preset": "veryfast", "tune": "zerolatency", "crf": "26"}
        )
        stream.width, stream.height, stream.pix_fmt = picture.shape[1], picture.shape[0] * 2 // 3, "yuv420p"
        stream.gop_size = 4 * fps
        for number in range(round(fps * seconds)):
            noisy = np.clip(picture + noise.normal(0, _NOISE_LEVELS, picture.shape), 0, 255).astype(np.uint8)
            shown = av.VideoFrame.from_ndarray(noisy, format="yuv420p")
            shown.pts, shown.time_base = number, Fraction(1, fps)
            target.mux(stream.encode(shown))
        target.mux(stream.encode(None))
    return made


def full_hd(clip: Path, folder: Path, fps: int, seconds: float) -> Path:
    """The clip's pictures at 1920x1080 as H.264."""
    import av

    made = folder / f"{clip.stem}-1080p-{fps}.mp4"
    if made.exists():
        return made
    with av.open(str(clip)) as source, av.open(str(made), "w") as target:
        stream = target.add_stream("libx264", rate=fps, options={"preset": "fast", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        stream.gop_size = 4 * fps
        for number, picture in enumerate(source.decode(video=0)):
            if number >= fps * seconds:
                break
            larger = picture.reformat(1920, 1080, "yuv420p")
            larger.pts, larger.time_base = number, Fraction(1, fps)
            target.mux(stream.encode(larger))
        target.mux(stream.encode(None))
    return made
