"""The broker's settings that the documentation gives: alerts go through, and nobody can do more than he should."""

from __future__ import annotations

from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from edgerun.messages import status
from edgerun.outbox import OutboxOptions
from edgerun.runtime.delivery.delivery import Delivery
from edgerun.secrets import Secret
from edgerun.sinks.mqtt import MqttOptions, MqttSink
from edgerun.topics import Topics
from tests.daemon_process import wait_for
from tests.servers.mosquitto import Mosquitto, needs_mosquitto, write_passwords
from tests.test_delivery import counts, event

pytestmark = [pytest.mark.broker, needs_mosquitto]

SETTINGS = Path(__file__).resolve().parents[1] / "configs" / "mosquitto"
USERS = ("porch-pi", "yard-pi", "homeassistant")


def as_documented(folder: Path) -> Mosquitto:
    """With its files below a folder, and a port of its own."""
    passwords = folder / "passwd"
    write_passwords(passwords, {user: user for user in USERS})
    lines = (SETTINGS / "mosquitto.conf").read_text().splitlines()
    settings = "\n".join(line for line in lines if not line.startswith("listener"))
    settings = settings.replace("/etc/mosquitto/edgerun.acl", str(SETTINGS / "edgerun.acl"))
    settings = settings.replace("/etc/mosquitto/passwd", str(passwords))
    return Mosquitto(folder / "broker", settings=f"{settings}\npersistence_location {folder}/broker/")


class Client:
    """One of the users, with a session that the broker keeps."""

    def __init__(self, port: int, user: str) -> None:
        self.arrived: list[str] = []
        self.refused: list[bool] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2, user, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.username_pw_set(user, user)
        self._client.on_message = lambda _, __, message: self.arrived.append(message.topic)
        self._client.on_publish = self._on_publish
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        wait_for(self._client.is_connected, 20, f"{user} may log in")

    def _on_publish(self, _: paho.Client, __: object, ___: int, reason: ReasonCode, ____: object) -> None:
        self.refused.append(reason.is_failure)

    def subscribe(self, topic: str) -> None:
        self._client.subscribe(topic, 1)

    def may_publish(self, topic: str) -> bool:
        before = len(self.refused)
        self._client.publish(topic, b"", 1)
        wait_for(lambda: len(self.refused) > before, 20, "an answer")
        return not self.refused[-1]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def test_a_device_delivers_and_everybody_keeps_to_his_own(tmp_path: Path) -> None:
    topics = Topics("edgerun", "porch-pi")
    with as_documented(tmp_path) as broker:
        home, neighbour = Client(broker.port, "homeassistant"), Client(broker.port, "yard-pi")
        home.subscribe("edgerun/#")
        options = MqttOptions(port=broker.port, username="porch-pi", password=Secret("porch-pi"))
        will = status(topics, online=False)
        sink = MqttSink(options, "porch-pi", will, (topics.command("+"), topics.status, "homeassistant/status"))
        delivery = Delivery(topics, sink, tmp_path / "outbox.db", OutboxOptions())
        delivery.start()
        delivery.accept(event(1))
        assert counts(delivery, delivered=1).refused == 0
        wait_for(lambda: topics.alerts("porch") in home.arrived, 20, "the alert arrives")
        assert home.may_publish(topics.command("ping"))
        wait_for(lambda: not delivery.commands.empty(), 20, "the command arrives")
        assert not home.may_publish(topics.alerts("porch"))
        assert not neighbour.may_publish(topics.command("ping"))
        assert not neighbour.may_publish(topics.status)
        assert neighbour.may_publish(Topics("edgerun", "yard-pi").status)
        for client in (home, neighbour):
            client.close()
        delivery.close(2.0)


def test_nobody_comes_in_without_a_password(tmp_path: Path) -> None:
    with as_documented(tmp_path) as broker:
        sink = MqttSink(MqttOptions(port=broker.port), "porch-pi")
        delivery = Delivery(Topics("edgerun", "porch-pi"), sink, tmp_path / "outbox.db", OutboxOptions())
        delivery.start()
        wait_for(lambda: "refuses" in delivery.snapshot().error, 20, "it says that it was turned away")
        delivery.close(0.5)
