"""``edgerun devices``: what this machine has, why something is not there, and what to do about it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from edgerun.devices import Finding, look_around

_TITLES = {
    "accelerator": "Accelerators",
    "processor": "Processor",
    "engine": "Engines",
    "camera": "Cameras",
    "warning": "Warnings",
}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    """Always 0: that something is missing is an answer, not a failure."""
    from edgerun.config import plugin_tables

    findings = [*look_around(plugin_tables()["engines"]), *_cameras()]
    if args.json:
        print(json.dumps({"devices": [asdict(finding) for finding in findings]}, ensure_ascii=False))
    elif not (sys.stdout.isatty() and _as_table(findings)):
        for line in lines(findings):
            print(line)
    return 0


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
        remedy = "plug one in; network cameras are not listed, write their address into the configuration"
        yield Finding("camera", "USB and CSI cameras", False, "no /dev/video* that captures", remedy)
