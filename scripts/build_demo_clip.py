"""Cut the bundled demo clip out of OpenCV's sample ``vtest.avi`` and encode it as H.264.

    python scripts/build_demo_clip.py ../shared/media/vtest.avi

The part chosen shows persons who come in from both sides, cross the square, and stop to talk.
"""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path

import av

ASSETS = Path(__file__).resolve().parents[1] / "edgerun" / "assets"
FPS = 10


def cut(source: Path, target: Path, first: int, last: int, quality: int) -> None:
    """Write frames ``first`` to ``last`` (from 1) of ``source``, with a keyframe every two seconds."""
    as_cameras = {"bf": "0", "refs": "1"}  # no picture refers to one that is shown later, or to more than one
    options = {"crf": str(quality), "preset": "veryslow", "keyint_min": str(FPS), "threads": "1", **as_cameras}
    with av.open(str(source)) as reader, av.open(str(target), "w", options={"movflags": "+faststart"}) as writer:
        shown = reader.streams.video[0]
        made = writer.add_stream("libx264", rate=FPS, options=options)
        made.width, made.height, made.pix_fmt = shown.width, shown.height, "yuv420p"
        made.gop_size = 2 * FPS
        for number, frame in enumerate(reader.decode(shown), 1):
            if first <= number <= last:
                frame.pts, frame.time_base = number - first, Fraction(1, FPS)
                writer.mux(made.encode(frame))
        writer.mux(made.encode(None))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path, help="vtest.avi")
    parser.add_argument("--out", type=Path, default=ASSETS / "demo.mp4")
    parser.add_argument("--first", type=int, default=111)
    parser.add_argument("--last", type=int, default=340)
    parser.add_argument("--quality", type=int, default=31, help="x264's crf: lower is better and larger")
    args = parser.parse_args()
    cut(args.clip, args.out, args.first, args.last, args.quality)
    print(f"{args.out}: {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
