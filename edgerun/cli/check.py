"""``edgerun check``: is this configuration good? Loads nothing that it names."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgerun.cli import EXIT_CONFIG
from edgerun.remembered import content, recall

if TYPE_CHECKING:
    from edgerun.config.text import Problem


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="the configuration")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _problems(path: Path) -> list[Problem]:
    """Reads the file once; what is known to be good is not checked again."""
    try:
        text = content(path)
    except OSError:
        text = None  # why, is told as all that is wrong with a file
    if text is not None and recall(path, text) is not None:
        return []
    from edgerun.config import problems

    return problems(path, text)


def run(args: argparse.Namespace) -> int:
    """0 for a good file, 78 for a bad one. What only this machine lacks, such as an environment variable, is told on
    stderr and does not count."""
    file = str(args.file)
    found = _problems(args.file)
    wrong = [problem for problem in found if not problem.missing_here]
    lacking = [problem for problem in found if problem.missing_here]
    if args.json:
        told = {
            "file": file,
            "ok": not wrong,
            "problems": [{"line": p.line, "path": p.path, "message": p.message} for p in wrong],
            "warnings": [{"line": p.line, "path": p.path, "message": p.message} for p in lacking],
        }
        print(json.dumps(told, ensure_ascii=False))
        return EXIT_CONFIG if wrong else 0
    for problem in lacking:
        print(f"{problem.text(file)} (only a warning here; the daemon will need it)", file=sys.stderr)
    for problem in wrong:
        print(problem.text(file))
    if not wrong:
        print(f"{file}: ok")
    return EXIT_CONFIG if wrong else 0
