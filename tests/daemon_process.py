"""The daemon as systemd runs it: a real process with a notify socket, whose log, descriptors and children are seen."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from edgerun.runtime.health.control import ask
from edgerun.runtime.health.footprint import engine_pids

REPOSITORY = Path(__file__).resolve().parents[1]
CLIP = REPOSITORY / "edgerun" / "assets" / "demo.mp4"
MODEL = CLIP.with_name("person-ssdlite-int8.tflite")
NOBODY = {"host": "127.0.0.1", "port": 1}
"""A broker's address at which none listens."""
T = TypeVar("T")


def wait_for(condition: Callable[[], T], timeout_s: float, what: Callable[[], object] | str = "") -> T:
    """The condition's first true value. Raises AssertionError, with ``what`` in its words, when time runs out."""
    until = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() > until:
            raise AssertionError(f"not within {timeout_s:g} s: {what() if callable(what) else what}")
        time.sleep(0.02)
    return found


class DaemonProcess:
    """``edgerun run`` on ``config``, started and ended as often as asked. ``notes`` are its notifications, each with
    the monotonic second at which it came."""

    def __init__(self, folder: Path, config: Mapping[str, Any], *, program: str = "edgerun") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.config = folder / "edgerun.yaml"
        self.write({"state_dir": str(folder / "state"), **config})
        self.notes: list[tuple[float, str]] = []
        self.lines: list[str] = []
        self.environ = dict(os.environ)
        self._program = program
        self._short = tempfile.mkdtemp(prefix="edgerun-")  # a Unix socket's path has room for 107 bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._threads: list[threading.Thread] = []
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(f"{self._short}/notify")
        threading.Thread(target=self._collect_notes, daemon=True).start()

    def write(self, config: Mapping[str, Any]) -> None:
        """Replace the configuration file, as an editor does."""
        fresh = self.config.with_suffix(".new")
        fresh.write_text(json.dumps(config, indent=1))  # which is YAML, too
        fresh.replace(self.config)

    def start(self) -> None:
        environ = {**self.environ, "NOTIFY_SOCKET": f"{self._short}/notify", "RUNTIME_DIRECTORY": self._short}
        environ["WATCHDOG_USEC"] = "30000000"
        self._process = subprocess.Popen(
            [sys.executable, "-m", self._program, "run", "-c", str(self.config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environ,
            cwd=REPOSITORY,
        )
        reader = threading.Thread(target=self._collect_lines, args=(self._process,), daemon=True)
        reader.start()
        self._threads.append(reader)

    def ready(self, timeout_s: float = 30.0) -> None:
        """Start, and wait for the first frame to be through."""
        before = len(self.notes)
        self.start()
        wait_for(lambda: self._ended() or "READY=1" in str(self.notes[before:]), timeout_s, self.log)
        assert not self._ended(), self.log()

    def _ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "not started"
        return self._process

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self, timeout_s: float = 10.0) -> int:
        """SIGTERM; the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def wait(self, timeout_s: float) -> int:
        """The exit status of a daemon that ends by itself; its log is complete then."""
        status = self.process.wait(timeout_s)
        for thread in self._threads:
            thread.join(5)
        return status

    def kill(self) -> None:
        """SIGKILL, as the kernel does when memory runs out."""
        self.process.kill()
        self.process.wait()

    def log(self) -> str:
        return "\n".join(self.lines)

    def said(self, words: str) -> int:
        """How many lines of the log hold these words."""
        return sum(words in line for line in list(self.lines))

    def noted(self, words: str) -> list[float]:
        """When notifications with these words came."""
        return [at for at, text in list(self.notes) if words in text]

    def engines(self) -> list[int]:
        """Process ids of the engine's children."""
        return engine_pids(self.pid)

    def engine(self) -> int:
        """Process id of the only one, once those that are on trial beside it have gone."""
        wait_for(lambda: len(self.engines()) == 1, 40, self.log)
        return self.engines()[0]

    def health(self) -> dict[str, Any]:
        return ask(Path(self._short) / "control.sock")

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Another edgerun command, run where it finds this daemon."""
        environ = {**self.environ, "RUNTIME_DIRECTORY": self._short}
        command = [sys.executable, "-m", "edgerun", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environ, cwd=REPOSITORY)

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def threads(self) -> list[str]:
        """Names of the threads, sorted."""
        tasks = Path(f"/proc/{self.pid}/task")
        return sorted((task / "comm").read_text().strip() for task in tasks.iterdir())

    def _collect_notes(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                text = self._notify.recv(4096).decode()
                self.notes.append((time.monotonic(), text))

    def _collect_lines(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        with process.stderr:
            for line in process.stderr:
                self.lines.append(line.decode(errors="replace").rstrip())

    def __enter__(self) -> DaemonProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join(5)
        self._notify.close()
        shutil.rmtree(self._short, ignore_errors=True)
