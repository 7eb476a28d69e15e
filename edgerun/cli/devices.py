"""``edgerun devices``: what this machine has, why something is not there, and what to do about it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgerun.cli.detect import model_choice
from edgerun.config import plugin_tables
from edgerun.devices import Finding, in_short, look_around
from edgerun.models import resolve
from edgerun.runtime.inference import preference, trial
from edgerun.runtime.inference.engines import candidates, head_chooser
from edgerun.runtime.inference.preference import in_words
from edgerun.runtime.inference.trial import Verdict

_TITLES = {
    "accelerator": "Accelerators",
    "processor": "Processor",
    "engine": "Engines",
    "camera": "Cameras",
    "warning": "Warnings",
}

_NETWORK_CAMERAS = (
    "write the address of one into the configuration: of its smaller stream, which costs a fraction to decode and "
    "shows as much to a model (often .../stream2, subtype=1, Channels/102 or ..._sub)"
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--model", default="", metavar="M", help="also try a model out on every engine that may run it")
    parser.add_argument("--labels", default="", metavar="FILE", help="labels of a model file")
    parser.add_argument("--head", default="auto", metavar="H", help="the head of a model file")
    parser.set_defaults(engine="auto")


def run(args: argparse.Namespace) -> int:
    """0: that something is missing is an answer, not a failure; with a model 1 where no engine runs it."""
    findings = [*look_around(plugin_tables()["engines"]), *_cameras()]
    told: dict[str, Any] = {"devices": [asdict(finding) for finding in findings]}
    verdicts = try_out(args) if args.model else []
    if args.model:
        told |= {"model": args.model, "engines": [asdict(verdict) for verdict in verdicts]}
    if args.json:
        print(json.dumps(told, ensure_ascii=False))
    elif args.model:
        print(f"{args.model}, run by each engine that may, best first:")
        for verdict in verdicts:
            print(f"  {'yes' if verdict.agrees else 'no ':3} {verdict.engine} ({verdict.file}): {in_words(verdict)}")
    else:
        if not (sys.stdout.isatty() and _as_table(findings)):
            print(*lines(findings), sep="\n")
        print(f"\nIn short: {in_short(findings)}.")
        if any("pip install" in finding.remedy for finding in findings):
            print(f"Here pip is {Path(sys.executable).with_name('pip')}.")
    return 1 if args.model and not any(verdict.agrees for verdict in verdicts) else 0


def try_out(args: argparse.Namespace) -> list[Verdict]:
    """What came of each engine, best first; remembered for the daemon's ``engine: auto``. Raises ConfigError or
    ModelError."""
    choice = model_choice(args)
    model = resolve(choice.name, choice.path, choice.labels)
    engines = candidates(model, None)
    verdicts = trial.try_out(engines, head_chooser(model, choice.head))
    preference.remember(model, engines, verdicts)
    return [verdicts[number] for number in trial.ranking(engines, verdicts)]


def lines(findings: Sequence[Finding]) -> Iterable[str]:
    """The same for a terminal without rich, and for a file."""
    for kind, title in _TITLES.items():
        group = [finding for finding in findings if finding.kind == kind]
        if group:
            yield f"{title}:"
        for finding in group:
            yield f"  {'yes' if finding.present else 'no ':3} {finding.name}: {finding.says}"
            if finding.remedy:
                yield f"      -> {finding.remedy}"


def _as_table(findings: Sequence[Finding]) -> bool:
    """Print it with rich; False without rich."""
    try:
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        return False
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "", "what is there", "what to do"):
        table.add_column(heading)
    for kind, title in _TITLES.items():
        group = [finding for finding in findings if finding.kind == kind]
        if group:
            table.add_section()
            table.add_row("", Text(title, style="bold"))
        for finding in group:
            mark = Text("✓", style="green") if finding.present else Text("–", style="red")
            table.add_row(mark, Text(finding.name), Text(finding.says), Text(finding.remedy, style="cyan"))
    Console().print(table)
    return True


def _cameras() -> Iterable[Finding]:
    from edgerun.sources.v4l2 import list_cameras

    cameras = list_cameras()
    for camera in cameras:
        lasting = f"; /dev/v4l/by-id/{camera.by_id} stays the same when it is replugged" if camera.by_id else ""
        yield Finding("camera", camera.path, True, f"{camera.name}{lasting}")
    if not cameras:
        yield Finding("camera", "USB and CSI cameras", False, "no /dev/video* that captures", "plug one in")
    yield Finding("camera", "network cameras", False, "not looked for", _NETWORK_CAMERAS)
