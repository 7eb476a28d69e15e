"""A real Mosquitto for the tests: its own port, its own folder, as often stopped, killed and started as asked."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

PROGRAM = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")

needs_mosquitto = pytest.mark.skipif(PROGRAM is None, reason="mosquitto is not installed (apt install mosquitto)")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def write_passwords(path: Path, users: Mapping[str, str]) -> None:
    """What the setting ``password_file`` takes: the users and their passwords."""
    path.write_text("".join(f"{user}:{password}\n" for user, password in users.items()))
    subprocess.run(["mosquitto_passwd", "-U", str(path)], check=True)


class Mosquitto:
    """``settings`` are further lines of its configuration. With ``persistent`` it keeps what it acknowledged even
    over a kill, as the README tells users to set it up."""

    def __init__(self, folder: Path, *, settings: str = "allow_anonymous true", persistent: bool = False) -> None:
        self.port = free_port()
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        lines = [f"listener {self.port} 127.0.0.1", f"user {getpass.getuser()}", settings]
        if persistent:
            lines += ["persistence true", f"persistence_location {folder}/", "autosave_interval 1"]
            lines += ["autosave_on_changes true", "max_queued_messages 0", "max_inflight_messages 0"]
        self._config = folder / "mosquitto.conf"
        self._config.write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        assert PROGRAM is not None
        with (self._folder / "mosquitto.log").open("ab") as out:
            self._process = subprocess.Popen([PROGRAM, "-c", str(self._config), "-v"], stdout=out, stderr=out)
        until = time.monotonic() + 10
        while not self._answers():
            if time.monotonic() > until:
                raise TimeoutError(self.log())
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def log(self) -> str:
        return (self._folder / "mosquitto.log").read_text(errors="replace")

    def stop(self) -> None:
        """SIGTERM: it writes down what it has."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: it writes nothing."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Its kernel goes on acknowledging, it does not."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(10)
            self._process = None

    def __enter__(self) -> Mosquitto:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
        self.kill()
