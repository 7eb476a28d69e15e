"""``edgerun bench``: performance, always beside the floor that is measured in the same run."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgerun.cli.arguments import above_zero, whole_from
from edgerun.errors import ConfigError

if TYPE_CHECKING:
    from edgerun.bench.figures import Section
    from edgerun.bench.workplace import Workplace

SUBJECTS = {
    "pipeline": "the whole daemon: saturated, several cameras, overload, kill -9, a still scene, a busy thread",
    "latency": "decoded frame to subscriber at 10 and 30 fps",
    "motion": "the motion gate",
    "tracker": "the tracker with 5, 20 and 50 objects",
    "decode": "1080p H.264 to a tensor",
    "outbox": "committing an alert",
    "start": "process to first detections; edgerun check",
    "memory": "PSS of every process",
    "power": "what the machine draws, where it tells",
}
SCENES = ("saturated", "cameras", "overload", "kills", "idle", "hog")
_SHORT = (2, 1.5)
_FULL = (5, 4.0)


def configure(parser: argparse.ArgumentParser) -> None:
    told = "; ".join(f"{name}: {what}" for name, what in SUBJECTS.items())
    parser.add_argument("subject", nargs="?", choices=SUBJECTS, help=f"{told}. Default: a short pass over all")
    parser.add_argument("--scene", choices=SCENES, help="only this part of pipeline")
    parser.add_argument("--clip", type=Path, help="what to look at (default: the bundled clip)")
    parser.add_argument("--model", type=Path, help="a model file (default: the bundled one)")
    parser.add_argument("--labels", type=Path, help="its labels")
    parser.add_argument(
        "--repeats", type=whole_from(1), metavar="N", help=f"rounds (default: {_FULL[0]}, short: {_SHORT[0]})"
    )
    parser.add_argument("--seconds", type=above_zero, metavar="S", help="length of one measurement in a round")
    parser.add_argument(
        "--starts", type=whole_from(0), default=0, metavar="N", help="with start: so many more, counted"
    )
    parser.add_argument("--peer-python", type=Path, metavar="PYTHON", help="a Python with roboflow's trackers")
    parser.add_argument(
        "--found", type=Path, nargs="+", default=[], metavar="FILE", help="what --json wrote before, for the report"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there; - is stdout")
    parser.add_argument("--report", type=Path, metavar="FILE", help="a Markdown page, of full rounds or of --found")


def run(args: argparse.Namespace) -> int:
    from edgerun.bench import machine
    from edgerun.bench.figures import table
    from edgerun.bench.report import page

    for given in (args.clip, args.model, args.labels, args.peer_python, *args.found):
        if given is not None and not given.exists():
            raise ConfigError(f"{given} is not there")
    for target in (args.json, args.report):  # asked before anything is measured, which takes long
        if target is not None and str(target) != "-":
            _refuse_unwritable(target)
    out = sys.stderr if args.json and str(args.json) == "-" else sys.stdout
    before = [_told(file) for file in args.found]
    described = before[0][0] if before else machine.describe()
    print(machine.sentence(described) + "\n", file=out)
    sections = [section for _, told in before for section in told]
    for section in () if before else _measured(args):
        sections.append(section)
        print(table(section), file=out, flush=True)
    if args.json:
        text = json.dumps({"machine": described, "sections": [one.record() for one in sections]}, indent=1) + "\n"
        sys.stdout.write(text) if str(args.json) == "-" else args.json.write_text(text, encoding="utf-8")
    if args.report:
        args.report.write_text(page(described, sections), encoding="utf-8")
    return 0


def _refuse_unwritable(target: Path) -> None:
    """Raises ConfigError. What is in it stays, and what was not there is not there afterwards."""
    if not target.parent.is_dir():
        raise ConfigError(f"{target} cannot be written: there is no folder {target.parent}")
    is_new = not os.path.lexists(target)
    try:
        target.open("a").close()
        if is_new:
            target.unlink()
    except OSError as error:
        raise ConfigError(f"{target} cannot be written: {error.strerror}") from error


def _told(file: Path) -> tuple[dict[str, Any], list[Section]]:
    """The machine and its figures, as ``--json`` wrote them. Raises ConfigError."""
    from edgerun.bench.figures import Section

    try:
        told = json.loads(file.read_text("utf-8"))
        return told["machine"], [Section.of(one) for one in told["sections"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{file} is not what --json wrote: {type(error).__name__}: {error}") from error


def _measured(args: argparse.Namespace) -> Iterator[Section]:
    """Each section as soon as it is measured."""
    from edgerun.bench.workplace import workplace

    repeats, seconds = _FULL if args.subject or args.report else _SHORT
    with workplace(args.clip, args.model, args.labels, args.repeats or repeats, args.seconds or seconds) as place:
        for measure in _measures(args):
            load = os.getloadavg()[0]
            section = measure(place)
            section.remarks.append(f"The machine's load average when this began: {load:.1f}.")
            yield section


def _measures(args: argparse.Namespace) -> Iterator[Callable[[Workplace], Section]]:
    from edgerun.bench import memory, parts, pipeline, power, start, tracker

    single: dict[str, Callable[[Workplace], Section]] = {
        "latency": pipeline.latency,
        "motion": parts.motion,
        "tracker": partial(tracker.tracker, peer_python=args.peer_python),
        "decode": parts.decode,
        "outbox": parts.outbox,
        "start": partial(start.start, times=args.starts),
        "memory": memory.memory,
        "power": power.power,
    }
    for subject in [args.subject] if args.subject else SUBJECTS:
        if subject == "pipeline":
            yield from (measure for scene, measure in pipeline.SCENES.items() if args.scene in (None, scene))
        else:
            yield single[subject]
