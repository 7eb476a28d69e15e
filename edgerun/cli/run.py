"""``edgerun run``: the daemon."""

from __future__ import annotations

import argparse
from pathlib import Path

DEFAULT_CONFIG = Path("/etc/edgerun/edgerun.yaml")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c", "--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help=f"default: {DEFAULT_CONFIG}"
    )


def run(args: argparse.Namespace) -> int:
    from edgerun.runtime import early

    begun = early.begin(args.config)
    from edgerun.runtime.daemon import Daemon  # while the processes just begun do their part

    return Daemon(args.config, begun).run()
