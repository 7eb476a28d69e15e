"""The command line: one command per file, imported only when it is asked for.

Each command's module has ``configure(parser)`` and ``run(args) -> exit status``.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from edgerun import __version__
from edgerun.cli.ending import FAILED, end_well_on_signals, ended, heed_signals
from edgerun.errors import ConfigError, EdgerunError, ModelError

COMMANDS = {
    "run": "the daemon: cameras in, detections and alerts out",
    "check": "validate a configuration; loads nothing",
    "demo": "the whole system with no set-up: bundled clip, bundled detector, embedded broker",
    "detect": "detections of still images",
    "replay": "a camera's pipeline over a recorded clip, the same every time",
    "devices": "accelerators, engines and cameras: what is there, and what to do where not",
    "models": "the model catalogue and store",
    "bench": "performance, as ratios against the floor measured in the same run",
    "watch": "a live view of what a device publishes",
    "schema": "the schemas of configuration and messages",
    "health": "is the running daemon healthy?",
}

EXIT_CONFIG = 78
"""EX_CONFIG of sysexits.h; the unit does not restart on it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. Errors are one line on stderr, never a traceback."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["run"]:
        end_well_on_signals()
    else:
        heed_signals()
    return ended(lambda: _run(words))


def _run(words: list[str]) -> int:
    if words[:1] == ["--version"]:
        print(f"edgerun {__version__}")
        return 0
    if not words or words[0] not in COMMANDS:
        return _usage(words)
    import argparse  # only now, as signals are to be heeded first

    command = importlib.import_module(f"edgerun.cli.{words[0]}")
    parser = argparse.ArgumentParser(prog=f"edgerun {words[0]}", description=COMMANDS[words[0]])
    command.configure(parser)
    try:
        return int(command.run(parser.parse_args(words[1:])))
    except EdgerunError as error:
        from edgerun.logs import hide_urls, plain_lines  # not before the command has begun what takes long

        print(f"edgerun: {plain_lines(hide_urls(str(error)))}", file=sys.stderr)
        unusable = isinstance(error, ConfigError | ModelError) and not error.retriable
        return EXIT_CONFIG if unusable else FAILED


def _usage(words: list[str]) -> int:
    asked = words[:1] in ([], ["-h"], ["--help"], ["help"])
    out = sys.stdout if asked else sys.stderr
    if not asked:
        print(f"edgerun: there is no command {words[0]!r}", file=out)
    print("usage: edgerun COMMAND ...   (edgerun COMMAND --help tells more)\n", file=out)
    for name, purpose in COMMANDS.items():
        print(f"  {name:8} {purpose}", file=out)
    return 0 if asked else 2
