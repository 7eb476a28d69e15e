"""Alerts are read by the clients that people use: each with QoS 1 and a session, through a restart of the broker."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from edgerun.outbox import OutboxOptions
from edgerun.runtime.delivery.delivery import Delivery
from edgerun.schemas import PAYLOADS
from edgerun.sinks.mqtt import MqttOptions, MqttSink
from edgerun.topics import Topics
from tests.daemon_process import wait_for
from tests.servers.mosquitto import Mosquitto, needs_mosquitto
from tests.test_delivery import counts, event

pytestmark = [pytest.mark.broker, needs_mosquitto]

PROGRAMS = Path(__file__).parent / "subscribers"
PAHO = (sys.executable, str(PROGRAMS / "with_paho.py"))
AIOMQTT = (sys.executable, str(PROGRAMS / "with_aiomqtt.py"))
MQTTJS = ("node", str(PROGRAMS / "with_mqttjs.cjs"))
SESSION = ("-V", "5", "-c", "-x", "3600", "-i", "tool", "-q", "1")
MOSQUITTO = ("mosquitto_sub", *SESSION, "-t", "edgerun/+/+/alerts", "-p")


@pytest.fixture
def node(request: pytest.FixtureRequest) -> Mapping[str, str]:
    """Where Node.js finds mqtt.js, which npm is asked for once."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("Node.js is not installed (apt install nodejs npm)")
    folder: Path = request.config.cache.mkdir("mqttjs")
    if not (folder / "node_modules" / "mqtt").exists():
        done = subprocess.run(
            ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", folder, "mqtt@5"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"npm cannot install mqtt.js here: {done.stderr.strip()[-200:]}")
    return {"NODE_PATH": str(folder / "node_modules")}


class Reader:
    """A subscriber's program: every line that it prints is an alert as it understood it."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self.alerts: list[dict[str, Any]] = []
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **environ}, text=True)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout:
            self.alerts.extend(json.loads(line) for line in self.process.stdout)

    def seqs(self) -> list[int]:
        """In the order of their arrival, without repeats."""
        return list(dict.fromkeys(alert["seq"] for alert in list(self.alerts)))

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._thread.join()


@contextmanager
def reading(command: Sequence[str], environ: Mapping[str, str]) -> Iterator[Reader]:
    reader = Reader(command, environ)
    try:
        yield reader
    finally:
        reader.end()


@contextmanager
def delivering(folder: Path, port: int) -> Iterator[Delivery]:
    delivery = Delivery(
        Topics("edgerun", "pi"), MqttSink(MqttOptions(port=port), "pi"), folder / "outbox.db", OutboxOptions()
    )
    delivery.start()
    try:
        counts(delivery, connected=True)
        yield delivery
    finally:
        delivery.close(2.0)


@pytest.mark.parametrize(
    "command", [PAHO, AIOMQTT, MQTTJS, MOSQUITTO], ids=["paho", "aiomqtt", "mqttjs", "mosquitto_sub"]
)
def test_it_gets_every_alert_in_order_and_as_the_schema_says(
    tmp_path: Path, command: Sequence[str], request: pytest.FixtureRequest
) -> None:
    """Some while all is well, some that were made with no broker there."""
    environ = request.getfixturevalue("node") if command is MQTTJS else {}
    with (
        Mosquitto(tmp_path / "broker", persistent=True) as broker,
        reading([*command, str(broker.port)], environ) as reader,
        delivering(tmp_path, broker.port) as delivery,
    ):
        wait_for(lambda: "Sending SUBACK" in broker.log(), 20, "it subscribes")
        for n in range(10):
            delivery.accept(event(n))
        wait_for(lambda: len(reader.seqs()) == 10, 20, "alerts arrive")
        broker.stop()
        for n in range(10, 20):
            delivery.accept(event(n))
        counts(delivery, accepted=20, connected=False)
        broker.start()
        wait_for(lambda: len(reader.seqs()) == 20, 20, "the others arrive")
    assert reader.seqs() == [*range(1, 21)]
    for alert in reader.alerts:
        Draft202012Validator(PAYLOADS["alert"]).validate(alert)
    assert len({alert["id"] for alert in reader.alerts}) == 20
