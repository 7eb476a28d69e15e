"""``edgerun health``: is the running daemon well? For update hooks (RAUC, Mender, greenboot) and for people."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any

from edgerun.cli.arguments import spare, zero_or_more
from edgerun.cli.run import DEFAULT_CONFIG
from edgerun.config import load_without_secrets, plugin_tables, state_dir_in
from edgerun.devices import look_around
from edgerun.errors import ConfigError, EdgerunError
from edgerun.logs import plain
from edgerun.runtime.health import bundle
from edgerun.runtime.health.control import ask
from edgerun.runtime.places import control_socket, state_dir

_SERVICE_SOCKET = Path("/run/edgerun/control.sock")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE")
    parser.add_argument(
        "--wait", type=zero_or_more, default=0.0, metavar="S", help="wait so many seconds for it to be well"
    )
    parser.add_argument("--json", action="store_true", help="all the daemon says of itself")
    parser.add_argument(
        "--bundle", type=Path, metavar="FILE.tar.gz", help="also write all that helps a helper, without passwords"
    )


def run(args: argparse.Namespace) -> int:
    if args.bundle:
        spare([args.config], args.bundle)
    until, folder = time.monotonic() + args.wait, cache(partial(_folder, args.config))
    while True:
        socket = _socket(args.config, folder)
        try:
            answer = ask(socket)
        except EdgerunError as error:
            answer = {"healthy": False, "wrong": [str(error)]}
        if answer["healthy"] or time.monotonic() >= until:
            break
        time.sleep(0.5)
    if args.bundle:
        _bundle(args.bundle, args.config, answer)
    if args.json:
        print(json.dumps(answer))
    else:
        _print(answer)
    return 0 if answer["healthy"] else 1


def _bundle(path: Path, config: Path, answer: dict[str, Any]) -> None:
    def devices() -> list[dict[str, Any]]:
        return [asdict(finding) for finding in look_around(plugin_tables()["engines"])]

    try:
        bundle.write(path, config, answer, devices)
    except OSError as error:
        raise EdgerunError(f"{path} cannot be written: {error.strerror}") from error
    print(f"{path} written; look through it before you give it away", file=sys.stderr)


def _folder(config: Path) -> Path:
    """Where the daemon keeps its state. Raises ConfigError for a file that was named and is not there."""
    if config.absolute() == DEFAULT_CONFIG and not config.exists():
        return state_dir("")
    try:
        return state_dir(load_without_secrets(config).state_dir)
    except ConfigError as error:
        if not config.exists():
            raise
        folder = state_dir(state_dir_in(config))  # where a daemon may well run on the one before
        print(f"{error}\nasking the daemon that keeps its state in {folder}", file=sys.stderr)
        return folder


def _socket(config: Path, folder: Callable[[], Path]) -> Path:
    """The service's, which is asked without a look at its secrets, or else that in the ``folder``."""
    if config.absolute() == DEFAULT_CONFIG and _SERVICE_SOCKET.exists():
        return _SERVICE_SOCKET
    return control_socket(folder())


def _print(answer: dict[str, Any]) -> None:
    print("healthy" if answer["healthy"] else "not healthy")
    for line in answer["wrong"]:
        print(f"  {plain(line)}", file=sys.stderr)
    for name, camera in answer.get("cameras", {}).items():
        why = plain(camera["reason"] or camera["overloaded"])
        print(f"  camera {name}: {camera['state']} {camera['fps']:g} fps {why}")
    for pid, cost in answer.get("processes", {}).items():
        print(f"  {cost['pss_mb']:7.1f} MB  {pid:>7}  {cost['command'][:90]}")
    if "pss_mb" in answer:
        print(f"  {answer['pss_mb']:7.1f} MB  in all (PSS)")
