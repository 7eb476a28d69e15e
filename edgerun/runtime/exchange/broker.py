"""The embedded broker: amqtt in a process of its own, started again when it dies. MQTT 3.1.1, nothing kept on disk."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import subprocess
import sys
import threading
import time
from typing import IO

from edgerun.children import deaf
from edgerun.sinks.mqtt import MqttOptions, reachable

log = logging.getLogger(__name__)

_PAUSE_S = 2.0
_STOP_S = 2.0


class EmbeddedBroker:
    """Listens at the host and port of the options, and asks for their user name and password if there are any."""

    def __init__(self, options: MqttOptions) -> None:
        self._address = (reachable(options.host), options.port)
        host = f"[{options.host}]" if ":" in options.host else options.host
        self._settings = {
            "bind": f"{host}:{options.port}",
            "username": options.username,
            "password": options.password.value,
        }
        self._closing = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)

    def start(self) -> None:
        """Returns at once; the broker answers within a second or two."""
        self._thread.start()

    def wait(self, timeout_s: float) -> None:
        """Until it listens, or the time is over: a client that comes too early would only complain."""
        until = time.monotonic() + timeout_s
        while not self._listens() and time.monotonic() < until and not self._closing.is_set():
            time.sleep(0.05)

    def _listens(self) -> bool:
        try:
            socket.create_connection(self._address, 1.0).close()
        except OSError:
            return False
        return True

    def close(self) -> None:
        self._closing.set()
        process = self._process
        if process is not None and process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        self._thread.join(_STOP_S + 1)

    def _run(self) -> None:
        said = ""
        while not self._closing.is_set():
            try:
                reason = self._serve()
            except OSError as error:  # no descriptor, process or memory now
                reason = str(error)
            if reason != said and not self._closing.is_set():
                log.error("the embedded broker does not run: %s", reason)
                said = reason
            self._closing.wait(_PAUSE_S)

    def _serve(self) -> str:
        """Run one process to its end; why it ended."""
        command = [sys.executable, "-m", "edgerun.runtime.exchange.broker_process"]
        pipe = subprocess.PIPE
        with (
            deaf(),
            subprocess.Popen(command, stdin=pipe, stdout=subprocess.DEVNULL, stderr=pipe, text=True) as process,
        ):
            self._process = process
            if self._closing.is_set():  # meanwhile, when there was no process yet to end
                return ""
            assert process.stdin is not None and process.stderr is not None
            with contextlib.suppress(BrokenPipeError, ValueError):  # it died, or was ended meanwhile
                process.stdin.write(json.dumps(self._settings) + "\n")
                process.stdin.flush()
            last = _last_line(process.stderr) if not self._closing.is_set() else ""
            return last or f"it ended with status {process.wait()}"


def _last_line(stream: IO[str]) -> str:
    """Reads to the end, so that the process never waits for a reader."""
    last = ""
    for line in stream:
        last = line.strip() or last
    return last
