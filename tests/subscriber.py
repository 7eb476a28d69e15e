"""A subscriber to everything that a device says, as careful as the contract asks: it drops repeats by their id."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.daemon_process import wait_for


@dataclass(frozen=True)
class Arrival:
    """One message and the monotonic second of its arrival."""

    at: float
    topic: str
    payload: bytes
    retained: bool

    @property
    def json(self) -> Any:
        return json.loads(self.payload)


class Subscriber:
    """Its session outlives its connections, and the broker if that keeps sessions."""

    def __init__(self, port: int, *, topic: str = "edgerun/#", name: str = "watcher", session_s: int = 3600) -> None:
        self.arrivals: list[Arrival] = []
        self._port = port
        self._topic = topic
        self._session_s = session_s
        self._subscribed = threading.Event()
        client = Client(CallbackAPIVersion.VERSION2, name, protocol=MQTTProtocolVersion.MQTTv5)
        client.reconnect_delay_set(1, 1)
        client.on_connect = self._on_connect
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.on_message = self._on_message
        self._client = client

    def open(self) -> Subscriber:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's
        properties.SessionExpiryInterval = self._session_s
        self._client.connect("127.0.0.1", self._port, 10, clean_start=not self._session_s, properties=properties)
        self._client.loop_start()
        assert self._subscribed.wait(5), "the broker did not take the subscription"
        return self

    def close(self) -> None:
        """Go away; a session stays, and what is meant for it."""
        self._subscribed.clear()
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes = b"", *, retain: bool = False, qos: int = 1) -> None:
        self._client.publish(topic, payload, qos, retain).wait_for_publish(5)

    def _on_connect(self, client: Client, *_: object) -> None:
        client.subscribe(self._topic, 1)

    def _on_message(self, _: Client, __: object, message: MQTTMessage) -> None:
        self.arrivals.append(Arrival(time.monotonic(), message.topic, bytes(message.payload), message.retain))

    def on(self, suffix: str, since: float = 0.0) -> list[Arrival]:
        """What came at topics with this ending, in order."""
        return [found for found in list(self.arrivals) if found.topic.endswith(suffix) and found.at >= since]

    def alerts(self) -> list[dict[str, Any]]:
        """Every alert once, in the order of its first arrival."""
        return list({alert["id"]: alert for alert in reversed(self.all_alerts())}.values())[::-1]

    def all_alerts(self) -> list[dict[str, Any]]:
        return [found.json for found in self.on("/alerts")]

    def by_camera(self) -> dict[str, list[int]]:
        """Each camera's seqs in the order of their first arrival."""
        found = defaultdict(list)
        for alert in self.alerts():
            found[alert["camera"]].append(alert["seq"])
        return dict(found)

    def states(self, camera: str, since: float = 0.0) -> list[str]:
        """The states a camera went through, without repeats."""
        return _changes(found.json["state"] for found in self.on(f"/{camera}/state", since))

    def statuses(self) -> list[str]:
        return _changes(found.payload.decode() for found in self.on("/status"))

    def wait(self, suffix: str, timeout_s: float, since: float = 0.0, **fields: object) -> Arrival:
        """The first arrival at such a topic since then, whose payload holds these fields."""

        def find() -> Arrival | None:
            for found in self.on(suffix, since):
                if not fields or fields.items() <= found.json.items():
                    return found
            return None

        found = wait_for(find, timeout_s, lambda: f"{suffix} {fields}; there were {self._summary(suffix, since)}")
        assert found is not None
        return found

    def _summary(self, suffix: str, since: float) -> list[str]:
        return [found.payload[:300].decode(errors="replace") for found in self.on(suffix, since)[-5:]]

    def __enter__(self) -> Subscriber:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()


def _changes(values: Iterable[str]) -> list[str]:
    found: list[str] = []
    for value in values:
        if found[-1:] != [value]:
            found.append(value)
    return found
