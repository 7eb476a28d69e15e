"""The page ``docs/performance.md``: what was measured here, and what others published for smaller machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgerun.bench.figures import Section, markdown
from edgerun.bench.machine import sentence

_INTRO = """\
# Performance

Made by one command; the figures are of one machine on one day, so read the ratios, not the milliseconds:

    {command}

Each figure is the median of several rounds, with the least and the most in brackets. Where there is a floor (the
engine's bare loop, decoding and resizing by hand), it was measured in the same rounds, in turns: the daemon's processes
are stopped while the floor runs. "Against it" is figure by floor, or figure less floor, round by round.

The daemon is the full one, as `edgerun run` starts it: capture, tracker, a zone, a line, two rules, alerts to disk,
MQTT to a broker and a subscriber of another process. Motion gate and regions are off where each frame is to be
inferred once, as the floor does it; in the still scene the gate is on.

Machine: {machine}.
"""


ELSEWHERE = """\
## What to expect on smaller machines

None of these figures is ours: they are what others published, for one inference alone unless said otherwise, and tell
the order of magnitude. `edgerun bench` on the machine itself tells the truth.

| machine | model | published | by |
| --- | --- | --- | --- |
| Raspberry Pi 4, CPU (TensorFlow Lite) | SSD MobileNet v2 / v1 0.75 | 112.6 / 82.7 ms | [aallan/benchmarking-ml-on-the-edge](https://github.com/aallan/benchmarking-ml-on-the-edge) |
| Raspberry Pi 5, CPU (TensorFlow Lite) | SSD MobileNet v2 / v1 0.75 | 23.5 / 16.9 ms | the same |
| Coral on USB 3 | SSD MobileNet v2 / v1 0.75 | 18.2 / 14.9 ms | the same |
| Coral on USB 2 | SSD MobileNet v2 / v1 0.75 | 58.1 / 49.3 ms | the same |
| Coral, the chip alone | SSD MobileNet v1 / v2, MobileDet, EfficientDet-Lite0 | 6.5 / 7.3, 9.1, 37.4 ms | [coral.ai](https://coral.ai/models/object-detection/) |
| Jetson Orin Nano Super, TensorRT | YOLO11n at 640: FP32, FP16, INT8 | 7.6, 4.9, 3.9 ms (INT8 lost much of its accuracy: measure it) | [Ultralytics' Jetson guide](https://docs.ultralytics.com/guides/nvidia-jetson/) |
| Jetson Orin Nano, TensorRT | YOLOv8n: FP16, INT8 | 7.3, 5.8 ms | [the0807/YOLOv8-ONNX-TensorRT](https://github.com/the0807/YOLOv8-ONNX-TensorRT) |
| Intel N100, OpenVINO on its GPU | MobileNet v2, YOLOv9s at 320 | about 15, 30 ms | [Frigate's hardware page](https://docs.frigate.video/frigate/hardware/) |

What they mean for cameras: a Pi 4 does 9-12 inferences a second on one engine with the models above, so two cameras at
5 fps; a Pi 5 about 40 to 60, a Coral on USB 3 about 55 to 65. The motion gate and the regions decide how many of them are
needed. On USB 2 the bus is the limit, not the Coral.
"""


def page(machine: dict[str, Any], sections: Sequence[Section], command: str) -> str:
    """The Markdown page."""
    parts = [_INTRO.format(command=command, machine=sentence(machine)), *map(markdown, sections)]
    return "\n".join([*parts, ELSEWHERE])
