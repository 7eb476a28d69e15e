"""The full daemon as a process, with a real broker and a subscriber, for as long as a measurement takes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgerun.bench.subscriber import Subscriber
from edgerun.errors import EdgerunError
from edgerun.records import dataclass

DEVICE = "bench"
_MOSQUITTO = "listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n"
_STOP_S = 10.0
_PROGRAM_FOLDERS = ":/usr/sbin:/usr/local/sbin"
_ZONES: dict[str, Any] = {
    "zones": {"path": {"polygon": [[0.0, 0.45], [1.0, 0.35], [1.0, 0.75], [0.0, 0.85]]}},
    "lines": {"crossing": {"from": [0.5, 0.15], "to": [0.5, 1.0]}},
    "rules": [
        {"name": "visitor", "when": "enter", "zone": "path"},
        {"name": "crossing", "when": "cross", "line": "crossing"},
    ],
}
"""What a camera is usually asked: the full path is measured, rules and alerts included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A configuration to measure. ``regions`` and ``motion`` off: each frame is inferred once, as the floor does."""

    clip: Path
    model: Path | None = None
    cameras: int = 1
    fps: float = 10.0
    pace: bool = True
    workers: int = 1
    spare: bool = False
    motion: bool = False
    labels: Path | None = None

    def text(self, folder: Path, port: int, embedded: bool) -> str:
        """The configuration file (JSON is YAML)."""
        source = {"type": "file", "path": str(self.clip.resolve()), "loop": True, "pace": self.pace}
        camera = {
            "source": source,
            "fps": self.fps,
            "motion": {"enabled": self.motion},
            "regions": {"mode": "off"},
            "frozen_s": 0,
            **_ZONES,
        }
        # a held daemon must not look hung when it is let go
        model: dict[str, Any] = {"workers": self.workers, "spare": self.spare, "deadline_s": 600}
        if self.model is not None:
            model |= {"path": str(self.model.resolve())}
            if self.labels is not None:
                model |= {"labels": str(self.labels.resolve())}
        config = {
            "device": DEVICE,
            "state_dir": str(folder),
            "mqtt": {"host": "127.0.0.1", "port": port, "embedded": embedded},
            "model": model,
            "cameras": {f"camera-{number}": camera for number in range(self.cameras)},
        }
        return json.dumps(config)

    def but(self, **changed: Any) -> Setup:
        return replace(self, **changed)


class Broker:
    """Mosquitto where it is installed; else the daemon's own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + _PROGRAM_FOLDERS)
        self._process: subprocess.Popen[bytes] | None = None
        if self._program is not None:
            settings = folder / "mosquitto.conf"
            settings.write_text(_MOSQUITTO.format(port=self.port), encoding="utf-8")
            self._process = subprocess.Popen([self._program, "-c", str(settings)], stderr=subprocess.DEVNULL)

    @property
    def embedded(self) -> bool:
        return self._process is None

    @property
    def name(self) -> str:
        return "the embedded broker (Mosquitto is not installed)" if self.embedded else "Mosquitto on this machine"

    def close(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()


class Service:
    """One daemon and its subscriber."""

    def __init__(self, setup: Setup, broker: Broker, folder: Path, command: Sequence[str] = ()) -> None:
        self.setup = setup
        state = folder / "state"
        state.mkdir(exist_ok=True)
        self._config = folder / "edgerun.yaml"
        self._config.write_text(setup.text(state, broker.port, broker.embedded), encoding="utf-8")
        self._log = (folder / "daemon.log").open("ab")
        subscribes_first = not broker.embedded
        if subscribes_first:
            self.subscriber = Subscriber(broker.port, f"edgerun/{DEVICE}/+/detections")
        self.began = time.time()
        program = command or [sys.executable, "-m", "edgerun", "run"]
        self._process = subprocess.Popen([*program, "-c", str(self._config)], stderr=self._log, stdout=self._log)
        if not subscribes_first:
            self.subscriber = Subscriber(broker.port, f"edgerun/{DEVICE}/+/detections")

    @property
    def pid(self) -> int:
        return self._process.pid

    def serving(self) -> float:
        """Seconds from the start of the process to its first detections at the subscriber. Raises EdgerunError."""
        try:
            self.subscriber.wait_for(1)
        except TimeoutError as error:
            raise EdgerunError(
                f"the daemon published nothing (status {self._process.poll()}): {self._said()}"
            ) from error
        return self.subscriber.since(0)[0].at - self.began

    def _said(self) -> str:
        self._log.flush()
        return Path(self._log.name).read_text(encoding="utf-8", errors="replace")[-500:]

    def health(self) -> Mapping[str, Any]:
        from edgerun.runtime.health.control import ask
        from edgerun.runtime.places import control_socket

        return ask(control_socket(self._config.parent / "state"))

    def close(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.subscriber.close()
        self._log.close()


@contextmanager
def serving(setup: Setup, broker: Broker, folder: Path, command: Sequence[str] = ()) -> Iterator[Service]:
    """A daemon that has published its first detections."""
    service = Service(setup, broker, folder, command)
    try:
        service.serving()
        yield service
    finally:
        service.close()


def free_port() -> int:
    """One of this machine's that nothing listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
