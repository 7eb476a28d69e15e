"""Row 20: hostile model files for the running daemon, and how exposed its unit is."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from faults.row import Outcome, Row, Terms
from tests.daemon_process import CLIP, REPOSITORY, DaemonProcess, wait_for
from tests.outages import camera, clip
from tests.servers.mosquitto import Mosquitto
from tests.subscriber import Subscriber

_MODEL = CLIP.with_name("person-ssdlite-int8.tflite")
_UNIT = REPOSITORY / "systemd" / "edgerun.service"


def _hostile(terms: Terms, number: int) -> Path:
    """A model file cut short, with bits turned, or of another kind."""
    content = bytearray(_MODEL.read_bytes())
    path = terms.folder / f"hostile-{number}.tflite"
    match number % 4:
        case 0:
            del content[terms.chance.randrange(len(content)) :]
        case 1:
            for _ in range(200):
                content[terms.chance.randrange(len(content))] ^= terms.chance.randrange(1, 256)
        case 2:
            for _ in range(20):
                content[terms.chance.randrange(4096)] ^= terms.chance.randrange(1, 256)
        case _:
            content[8:] = terms.chance.randbytes(20_000)
    path.write_bytes(content)
    return path


def _play(terms: Terms) -> Outcome:
    count = terms.times(50, 4)
    with (
        Mosquitto(terms.folder / "broker") as broker,
        Subscriber(broker.port) as subscriber,
    ):
        base: dict[str, Any] = {
            "device": "pi",
            "mqtt": {"host": "127.0.0.1", "port": broker.port},
            "cameras": {"gate": camera(clip())},
        }
        with DaemonProcess(terms.folder / "daemon", base) as daemon:
            daemon.ready()

            for number in range(count):
                choice = {"path": str(_hostile(terms, number)), "start_s": 20}
                before = len(daemon.notes)
                daemon.config.write_text(json.dumps({**base, "model": choice}))
                daemon.signal(signal.SIGHUP)
                wait_for(lambda n=before: "READY=1" in str(daemon.notes[n:]), 60, daemon.log)  # type: ignore[misc]  # bound now

            alive = daemon.process.poll() is None
            subscriber.wait("/gate/detections", 10, time.monotonic())
            children = len(daemon.engines())
            status = daemon.stop()
    exposure = _exposure()
    told = "not measured" if exposure is None else f"{exposure:.1f}"
    figure = (
        f"{count} hostile models: daemon {'alive' if alive else 'DEAD'}, frames go on, {children} engine process; unit "
        f"exposure {told}; scripts/audit looks for the rest"
    )
    return Outcome(figure, alive and status == 0 and children == 1 and (exposure is None or exposure <= 2.0))


def _exposure() -> float | None:
    if shutil.which("systemd-analyze") is None:
        return None
    command = ["systemd-analyze", "security", "--offline=yes", str(_UNIT)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    match = re.search(r"exposure level[^:]*: ([\d.]+)", found.stdout)
    return float(match[1]) if match else None


ROWS = [Row(20, "hostile models, the unit's exposure", "0 daemon deaths, exposure <= 2.0", _play)]
