"""Every message is a line on standard output, for whoever reads it; who does not read holds nothing up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edgerun.messages import occupancy
from edgerun.outbox import OutboxOptions
from edgerun.runtime.delivery.delivery import Delivery
from edgerun.sinks.stdout import StdoutOptions, StdoutSink
from edgerun.topics import Topics
from edgerun.types import Event, Message, Stamp, TrackedObject

TOPICS = Topics("edgerun", "pi")

STALLED = """
import os, sys
from edgerun.sinks.stdout import StdoutOptions, StdoutSink
from edgerun.types import Message
sink = StdoutSink(StdoutOptions())
sink.open()
for n in range(2000):
    sink.send(Message("edgerun/pi/porch/detections", b"%05d" % n * 2000))
sink.close()
print("went on", file=sys.stderr)
"""


class NoBroker:
    """A sink that never gets a connection."""

    def open(self, listener: object) -> None: ...

    def send(self, message: Message) -> bool:
        return False

    def offer(self, message: Message, token: int, session: int) -> bool:
        return False

    def reconnect(self, reason: str) -> None: ...

    def close(self) -> None: ...


def printed(folder: Path, options: StdoutOptions) -> list[dict[str, Any]]:
    """The lines of a short life, without a broker."""
    reader, writer = os.pipe()
    copies = [StdoutSink(options, writer)]
    delivery = Delivery(TOPICS, NoBroker(), folder / "outbox.db", OutboxOptions(), copies=copies)
    person = TrackedObject(1, "person", 0.9, (1.0, 2.0, 300.0, 400.0))
    stamp = Stamp("porch", 1, time.monotonic(), time.time(), 640, 480)
    alert = Event("enter", "visitor", "instant", 1, stamp, "path", objects=(person,), count=1)
    for _ in range(2):  # both at once
        delivery.accept(alert, lambda: b"\xff")
    delivery.start()
    delivery.publish(Message("edgerun/pi/porch/detections", b'{"objects":[]}'))
    for _ in range(2):
        delivery.retain(occupancy(TOPICS, "porch", "path", "person", 1))
    delivery.answer(Message("edgerun/pi/ack", b"not JSON", 1))
    delivery.close(2.0)
    os.close(writer)
    with os.fdopen(reader) as lines:
        return [json.loads(line) for line in lines]


def test_every_message_is_printed_once(tmp_path: Path) -> None:
    """Whether there is a broker or not: each with its topic, and its payload as JSON, text or base64."""
    lines = printed(tmp_path, StdoutOptions())
    topics = [line["topic"] for line in lines]
    assert topics[0] == topics[-1] == "edgerun/pi/status"
    assert [lines[0]["payload"], lines[-1]["payload"]] == ["online", "offline"]
    assert sorted(topics[1:-1]) == [
        "edgerun/pi/ack",
        "edgerun/pi/porch/alerts",
        "edgerun/pi/porch/alerts",
        "edgerun/pi/porch/alerts/last",
        "edgerun/pi/porch/detections",
        "edgerun/pi/porch/path/person",
        "edgerun/pi/porch/snapshot",
    ]
    told = {line["topic"].removeprefix("edgerun/pi/"): line for line in lines}
    assert told["porch/alerts"]["payload"]["rule"] == "visitor"
    assert told["porch/path/person"]["payload"] == 1
    assert told["ack"]["payload"] == "not JSON"
    assert told["porch/snapshot"]["payload_base64"] == "/w=="


def test_a_line_is_as_short_as_can_be_and_may_be_read() -> None:
    reader, writer = os.pipe()
    sink = StdoutSink(StdoutOptions(), writer)
    sink.open()
    sink.send(Message("edgerun/pi/türe/state", '{"state": "ok", "reason": "größer"}'.encode()))
    sink.close()
    assert not sink._thread.is_alive()
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as lines:
        assert lines.read() == '{"topic":"edgerun/pi/türe/state","payload":{"state":"ok","reason":"größer"}}\n'


def test_detections_can_be_left_out(tmp_path: Path) -> None:
    topics = [line["topic"] for line in printed(tmp_path, StdoutOptions(detections=False))]
    assert "edgerun/pi/porch/alerts" in topics
    assert "edgerun/pi/porch/detections" not in topics


def test_a_reader_that_stalls_holds_nobody_up() -> None:
    """Neither who sends nor the end of the process; it is told once that lines are missing."""
    with subprocess.Popen(
        [sys.executable, "-c", STALLED], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.wait(30) == 0
        assert process.stderr is not None
        told = process.stderr.read()
    assert told == "nobody reads the standard output fast enough; messages are left out\nwent on\n"


def test_a_reader_that_goes_away_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    sink = StdoutSink(StdoutOptions(), writer)
    sink.open()
    for _ in range(3):
        sink.send(Message("edgerun/pi/state", b"{}"))
    sink.close()
    os.close(writer)
    assert [record.message for record in caplog.records] == ["the standard output cannot be written: Broken pipe"]
