"""A device that has nothing but alerts: the daemon's own outbox, delivery and MQTT client, in a process to be killed.

    python -m faults.sender FOLDER PORT PER_SECOND COUNT [--host H] [--max-mb N] [--step-s S] [--ahead N]

Prints ``accepted CAMERA SEQ`` after each commit and its counts five times a second; ends on SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from edgerun.messages import status
from edgerun.outbox import OutboxOptions
from edgerun.runtime.delivery.delivery import Delivery
from edgerun.runtime.health.footprint import processes
from edgerun.sinks.mqtt import MqttOptions, MqttSink
from edgerun.topics import Topics
from edgerun.types import Event, Stamp, TrackedObject
from tests.daemon_process import wait_for

log = logging.getLogger("sender")

TOPICS = Topics("edgerun", "sender")
CAMERAS = ("porch", "yard")


def event(n: int, wall: float) -> Event:
    """About 400 bytes as an alert."""
    stamp = Stamp(CAMERAS[n % len(CAMERAS)], n, n / 5, wall, 640, 480)
    person = TrackedObject(n, "person", 0.9, (1.0, 2.0, 300.0, 400.0))
    return Event("enter", "visitor", "instant", n, stamp, zone="path", objects=(person,), count=1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("per_second", type=float)
    parser.add_argument("count", type=int)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--max-mb", type=int, default=32)
    parser.add_argument("--step-s", type=float, default=0.0, help="seconds between two alerts by their own times")
    parser.add_argument("--ahead", type=int, default=500, help="events that wait at the most; 0: one a commit")
    args = parser.parse_args()
    logging.basicConfig(level=logging.DEBUG, stream=sys.stdout, format="%(message)s")
    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    sink = MqttSink(MqttOptions(host=args.host, port=args.port), "sender", status(TOPICS, online=False))
    delivery = Delivery(TOPICS, sink, args.folder / "outbox.db", OutboxOptions(max_mb=args.max_mb))
    delivery.start()
    threading.Thread(target=_tell, args=(delivery,), daemon=True).start()
    begin = time.time() - args.count * args.step_s
    for n in range(args.count):
        while n - delivery.snapshot().accepted > args.ahead and not asked.is_set():
            time.sleep(0.001)
        delivery.accept(event(n, begin + n * args.step_s))
        if asked.wait(1 / args.per_second) if args.per_second else asked.is_set():
            break
    while not asked.wait(0.1):
        pass
    delivery.close(2.0)


def _tell(delivery: Delivery) -> None:
    while True:
        log.info("counts %s", json.dumps(asdict(delivery.snapshot())))  # not printed: lines must not mix
        time.sleep(0.2)


class Sender:
    """That process, seen from outside. ``around`` is put before its command: strace, ip netns."""

    def __init__(self, folder: Path, port: int, *, around: Sequence[str] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.accepted: set[tuple[str, int]] = set()
        self.lines: list[str] = []
        self.counts: dict[str, Any] = {}
        self._port = port
        self._around = around
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def start(self, per_second: float, count: int = 10**9, *options: str) -> None:
        """Alerts at a rate, 0: as fast as they are accepted."""
        self.counts = {}
        command = [*self._around, sys.executable, "-m", "faults.sender", str(self.folder), str(self._port)]
        self._process = subprocess.Popen(
            [*command, str(per_second), str(count), *options], stdout=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def reached(self, timeout_s: float = 20.0, **wanted: object) -> dict[str, Any]:
        """The counts, once they are as wanted."""
        wait_for(lambda: wanted.items() <= self.counts.items(), timeout_s, lambda: f"{wanted} in {self.counts}")
        return self.counts

    def _end(self, how: signal.Signals) -> None:
        assert self._process is not None and self._reader is not None
        traced = [pid for pid, command in processes(self.pid).items() if command.startswith(sys.executable)]
        os.kill(traced[-1] if traced else self.pid, how)
        self._process.wait(20)
        self._reader.join(10)

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                word, _, rest = line.rstrip().partition(" ")
                if word == "accepted":
                    camera, seq = rest.split()
                    self.accepted.add((camera, int(seq)))
                elif word == "counts" and rest.endswith("}"):
                    self.counts = json.loads(rest)
                else:
                    self.lines.append(line.rstrip())

    def __enter__(self) -> Sender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self._end(signal.SIGKILL)


if __name__ == "__main__":
    main()
