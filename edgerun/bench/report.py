"""The page ``docs/performance.md``: what was measured here, and what others published for smaller machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgerun.bench.figures import Section, markdown
from edgerun.bench.machine import sentence

_INTRO = """\
# Performance

Made by one command; the figures are of one machine on one day, so read the ratios, not the milliseconds:

    scripts/bench-report --clip CLIP --model COCO_SSD.tflite --labels LABELS

Each figure is the median of several rounds, with the least and the most in brackets. Where there is a floor (the
engine's bare loop, decoding and resizing by hand), it was measured in the same rounds, in turns: the daemon's processes
are stopped while the floor runs. "Against it" is figure by floor, or figure less floor, round by round.

The daemon is the full one, as `edgerun run` starts it: capture, tracker, a zone, a line, two rules, alerts to disk,
MQTT to a broker and a subscriber of another process. Motion gate and regions are off where each frame is to be
inferred once, as the floor does it; in the still scene and where memory is counted, the gate is on.

Machine: {machine}.
"""


_ELSEWHERE = """\
What to expect on a Raspberry Pi, a Coral, a Jetson or an N100: see [machines.md](machines.md).
"""


def page(machine: dict[str, Any], sections: Sequence[Section]) -> str:
    """The Markdown page."""
    parts = [_INTRO.format(machine=sentence(machine)), *map(markdown, sections)]
    return "\n".join([*parts, _ELSEWHERE])
