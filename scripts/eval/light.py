"""What changes of light do to a scene in which nobody moves: motion alarms and rules that fire.

    python scripts/eval/light.py

The scene is the median of a clip's frames, with a little noise, for 30 seconds at 10 frames per second. `late` counts
frames that show motion more than a second after the switch, or at all where there is none.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from ap import SHARED, frames
from regions import Eyes

from edgerun.motion import MotionOptions
from edgerun.pipeline import Pipeline, PipelineOptions
from edgerun.regions import RegionOptions
from edgerun.rules import RuleOptions
from edgerun.tracking import TrackerOptions
from edgerun.types import Frame, Stamp
from edgerun.zones import LineOptions, ZoneOptions

FPS, COUNT, SWITCH = 10.0, 300, 150
Planes: TypeAlias = list[npt.NDArray[np.float64]]
Light: TypeAlias = Callable[[int, Planes], Planes]

RULES = (
    RuleOptions(name="enter", when="enter", zone="all"),
    RuleOptions(name="exit", when="exit", zone="all"),
    RuleOptions(name="dwell", when="dwell", zone="all", seconds=1),
    RuleOptions(name="count", when="count", zone="all", at_least=1),
    RuleOptions(name="cross", when="cross", line="middle"),
)


def still(_: int, planes: Planes) -> Planes:
    return planes


def sunset(number: int, planes: Planes) -> Planes:
    """Down to a quarter of the light over the whole time; the colours fade as well."""
    part = 1 - 0.75 * number / COUNT
    return [planes[0] * part, *(128 + (plane - 128) * part for plane in planes[1:])]


def grey(number: int, planes: Planes) -> Planes:
    """To infrared: another contrast, no colour, much noise."""
    if number < SWITCH:
        return planes
    noise = np.random.default_rng(number).normal(0, 6, planes[0].shape)
    return [40 + 0.6 * planes[0] + noise, *(np.full_like(plane, 128) for plane in planes[1:])]


def flash(number: int, planes: Planes) -> Planes:
    return [planes[0] * 0.4 + 150, *planes[1:]] if number == SWITCH else planes


def evaluate(light: Light, scene: Planes, eyes: Eyes) -> tuple[int, int, int, int]:
    """Frames with motion, those of them that are late, inferences and events."""
    options = PipelineOptions(
        fps=FPS, labels=("person",), motion=MotionOptions(), regions=RegionOptions(), tracker=TrackerOptions(),
        zones={"all": ZoneOptions(polygon=((0, 0), (1, 0), (1, 1), (0, 1)))},
        lines={"middle": LineOptions(from_=(0.5, 0), to=(0.5, 1))}, rules=RULES, ground=None, place=None,
    )  # fmt: skip
    pipeline = Pipeline(options, ("person",), eyes.size)
    moving = late = inferences = events = 0
    for number in range(COUNT):
        lit = light(number, scene)
        noise = np.random.default_rng(COUNT + number).normal(0, 1.5, lit[0].shape)
        planes = tuple(np.clip(plane, 0, 255).astype(np.uint8) for plane in (lit[0] + noise, *lit[1:]))
        height, width = planes[0].shape
        frame = Frame(Stamp("light", number, number / FPS, number / FPS, width, height), "i420", planes)
        look = pipeline.look(frame)
        result = pipeline.finish(look, [(eyes.see(frame, region), region) for region in look.regions])
        shown = any(region.reason == "motion" for region in look.regions)
        moving += shown
        late += shown and not SWITCH <= number <= SWITCH + FPS
        inferences += len(look.regions)
        events += len(result.events)
    return moving, late, inferences, events


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, default=SHARED / "media" / "vtest.avi")
    parser.add_argument("--model", default="person-ssdlite-int8", metavar="NAME|FILE")
    parser.add_argument("--label", default="person")
    args = parser.parse_args()
    some = [frame.planes for number, frame in frames(args.video, range(1, 801)) if number % 20 == 1]
    scene = [np.median([planes[i] for planes in some], axis=0) for i in range(3)]
    eyes = Eyes(args.model, args.label)
    print(f"{'light':10} {'motion':>8} {'late':>8} {'looks':>8} {'events':>8}")
    for light in (still, sunset, grey, flash):
        counts = evaluate(light, scene, eyes)
        print(f"{light.__name__:10} " + " ".join(f"{count:8}" for count in counts))


if __name__ == "__main__":
    main()
