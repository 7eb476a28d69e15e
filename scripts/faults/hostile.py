"""Row 20: hostile model files for the running daemon, and how exposed its unit is."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from faults.hostile_files import hostile_catalogue, hostile_files
from faults.row import Outcome, Row, Terms
from tests.daemon_process import CLIP, REPOSITORY, DaemonProcess, wait_for
from tests.outages import camera, clip
from tests.servers.mosquitto import Mosquitto
from tests.subscriber import Subscriber

_MODEL = CLIP.with_name("person-ssdlite-int8.tflite")
_UNIT = REPOSITORY / "systemd" / "edgerun.service"
_START_S = 4.0
"""What a model may take to load here; some are made never to end."""
_STAYS = "the configuration stays as it was: "


def _play(terms: Terms) -> Outcome:
    folder = terms.folder / "models"
    folder.mkdir()
    files = list(hostile_files(folder, _MODEL, terms.chance))
    if terms.short:
        files = files[:: len(files) // 6]
    with (
        Mosquitto(terms.folder / "broker") as broker,
        Subscriber(broker.port) as subscriber,
    ):
        base: dict[str, Any] = {
            "device": "pi",
            "state_dir": str(terms.folder / "state"),
            "mqtt": {"host": "127.0.0.1", "port": broker.port},
            "cameras": {"gate": camera(clip())},
        }
        with DaemonProcess(terms.folder / "daemon", base) as daemon:
            daemon.ready()
            said = {what: _told(daemon, base, path) for what, path in _numbered(files)}
            alive = daemon.process.poll() is None
            subscriber.wait("/gate/detections", 10, time.monotonic())
            children = len(daemon.engines())
            status = daemon.stop()
    said |= _pulled(folder)
    for what, sentence in said.items():
        terms.say(f"{what}: {sentence}")
    unclear = [what for what, sentence in said.items() if not _is_one_sentence(sentence)]
    escaped = [str(path) for path in terms.folder.rglob("*escaped*")]
    exposure = _exposure()
    figure = (
        f"{len(said)} hostile models: daemon {'alive' if alive else 'DEAD'}, frames go on, {children} engine process; "
        f"{sum(one == _TAKEN for one in said.values())} were loaded after all; without a clear sentence: "
        f"{', '.join(unclear) or 'none'}; escaped: {', '.join(escaped) or 'none'}; unit exposure "
        f"{'not measured' if exposure is None else f'{exposure:.1f}'}; scripts/audit looks for the rest"
    )
    well = alive and status == 0 and children == 1 and not unclear and not escaped
    return Outcome(figure, well and (exposure is None or exposure <= 2.0))


def _numbered(files: list[tuple[str, Path]]) -> Iterator[tuple[str, Path]]:
    """Names by which each of them can be told apart."""
    for number, (what, path) in enumerate(files, 1):
        yield f"{number} {what}", path


_TAKEN = "taken"


def _told(daemon: DaemonProcess, base: dict[str, Any], path: Path) -> str:
    """What the daemon says of a reload with this model; ``_TAKEN``, and it goes back, when it can be loaded."""
    notes, lines = len(daemon.notes), len(daemon.lines)
    daemon.write({**base, "model": {"path": str(path), "start_s": _START_S}})
    daemon.signal(signal.SIGHUP)
    wait_for(lambda: "READY=1" in str(daemon.notes[notes:]), 60, daemon.log)
    refusals = [line.partition(_STAYS)[2] for line in daemon.lines[lines:] if _STAYS in line]
    return refusals[-1] if refusals else _TAKEN


def _pulled(folder: Path) -> dict[str, str]:
    """What ``edgerun models pull`` says of hostile entries of a catalogue."""
    store = folder.parent / "store"
    store.mkdir()
    said = {}
    for name in hostile_catalogue(store, _MODEL):
        before = {path.name for path in store.iterdir()}
        command = [sys.executable, "-m", "edgerun", "models", "pull", name]
        environ = {**os.environ, "EDGERUN_MODELS": str(store)}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ, cwd=REPOSITORY)
        new = {path.name for path in store.iterdir()} - before
        said[f"pull {name}"] = f"LEFT {new}" if new or not done.returncode else done.stderr.strip()
    return said


def _is_one_sentence(said: str) -> bool:
    return 0 < len(said) < 500 and "\n" not in said and "Traceback" not in said and not said.startswith("LEFT")


def _exposure() -> float | None:
    if shutil.which("systemd-analyze") is None:
        return None
    command = ["systemd-analyze", "security", "--offline=yes", str(_UNIT)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    match = re.search(r"exposure level[^:]*: ([\d.]+)", found.stdout)
    return float(match[1]) if match else None


ROWS = [Row(20, "hostile models, the unit's exposure", "0 daemon deaths, exposure <= 2.0", _play)]
