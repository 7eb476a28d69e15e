"""Alerts reach a subscriber through a real Mosquitto, whatever happens to the broker, the link, the disk and us."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from jsonschema import Draft202012Validator
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edgerun.messages import camera_state, occupancy, status
from edgerun.outbox import OutboxOptions
from edgerun.runtime.delivery.counts import DeliveryCounts
from edgerun.runtime.delivery.delivery import Delivery
from edgerun.runtime.delivery.departures import WINDOW
from edgerun.runtime.delivery.episodes import Episodes
from edgerun.schemas import PAYLOADS
from edgerun.sinks.mqtt import MqttOptions, MqttSink
from edgerun.stages import Request
from edgerun.topics import Topics
from edgerun.types import Event, Message, Stamp, TrackedObject
from tests.daemon_process import wait_for
from tests.servers.mosquitto import Mosquitto, needs_mosquitto

pytestmark = [pytest.mark.broker, needs_mosquitto]

TOPICS = Topics("edgerun", "pi")
BIRTH = "homeassistant/status"


def event(n: int, camera: str = "porch", phase: Any = "instant") -> Event:
    stamp = Stamp(camera, n, n / 5, time.time(), 640, 480)
    person = TrackedObject(n, "person", 0.9, (1.0, 2.0, 300.0, 400.0))
    return Event("enter", "visitor", phase, n, stamp, zone="path", objects=(person,), count=1)


class Subscriber:
    """Somebody at the broker, with a session of its own that the broker keeps (``name``) or without one."""

    def __init__(self, port: int, *topics: str, name: str = "") -> None:
        self.messages: list[paho.MQTTMessage] = []
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, name or None, clean_session=not name, protocol=MQTTProtocolVersion.MQTTv311
        )
        self._topics = topics
        self.ready = False
        self._client.on_disconnect = lambda *_: setattr(self, "ready", False)
        self._client.on_connect = lambda client, *_: client.subscribe([(topic, 1) for topic in topics])
        self._client.on_subscribe = lambda *_: setattr(self, "ready", True)
        self._client.on_message = lambda client, _, message: self.messages.append(message)
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        wait_for(lambda: self.ready, 20, "subscribed")

    def payloads(self, topic: str) -> list[Any]:
        found = [message.payload for message in self.messages if message.topic == topic]
        return [json.loads(payload) for payload in found]

    def alerts(self, camera: str = "porch") -> list[dict[str, Any]]:
        return self.payloads(TOPICS.alerts(camera))

    def seqs(self, camera: str = "porch") -> list[int]:
        """Each id once, in the order of arrival."""
        return list({alert["id"]: alert["seq"] for alert in self.alerts(camera)}.values())

    def retained(self) -> dict[str, bytes]:
        return {message.topic: bytes(message.payload) for message in self.messages}

    def publish(self, topic: str, payload: str, retain: bool = False) -> None:
        self._client.publish(topic, payload, 1, retain).wait_for_publish(5)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "mosquitto", persistent=True) as server:
        yield server


def deliver(
    folder: Path,
    port: int,
    cameras: Collection[str] | None = None,
    max_mb: int = 32,
    before: Delivery | None = None,
    **options: Any,
) -> Delivery:
    will = status(TOPICS, online=False)
    sink = MqttSink(MqttOptions(port=port, **options), "pi", will, (TOPICS.status, BIRTH, TOPICS.command("+")))
    outbox = folder / "outbox.db"
    kept = OutboxOptions(max_mb=max_mb)
    delivery = Delivery(TOPICS, sink, outbox, kept, birth_topic=BIRTH, cameras=cameras, before=before)
    delivery.start()
    return delivery


def counts(delivery: Delivery, **wanted: object) -> DeliveryCounts:
    """The counts, once they are as wanted."""
    wait_for(
        lambda: all(getattr(delivery.snapshot(), name) == value for name, value in wanted.items()),
        20,
        lambda: f"{wanted}, but {delivery.snapshot()}",
    )
    return delivery.snapshot()


@pytest.fixture
def delivery(tmp_path: Path, broker: Mosquitto) -> Iterator[Delivery]:
    delivery = deliver(tmp_path, broker.port)
    counts(delivery, connected=True)
    yield delivery
    delivery.close(2.0)


def test_alerts_arrive_in_order_and_by_the_schema(broker: Mosquitto, delivery: Delivery) -> None:
    subscriber = Subscriber(broker.port, "edgerun/#")
    for n in range(50):
        delivery.accept(event(n, ("porch", "yard")[n % 2]), lambda: b"\xff\xd8 a picture")
    counts(delivery, delivered=50)
    wait_for(lambda: len(subscriber.alerts("yard")) == 25, 20, "all have come")
    assert subscriber.seqs("porch") == subscriber.seqs("yard") == list(range(1, 26))
    for alert in subscriber.alerts("porch"):
        Draft202012Validator(PAYLOADS["alert"]).validate(alert)
        assert not alert["replayed"]
    wait_for(lambda: TOPICS.snapshot("porch") in subscriber.retained(), 20, "a picture")
    assert json.loads(subscriber.retained()[TOPICS.last_alert("porch")])["seq"] == 25
    subscriber.close()


def test_a_burst_of_alerts_makes_few_pictures_and_the_last_one_stays(broker: Mosquitto, delivery: Delivery) -> None:
    subscriber = Subscriber(broker.port, "edgerun/#")
    made: list[int] = []

    def picture(number: int) -> bytes:
        made.append(number)
        return b"\xff\xd8 %d" % number

    for number in range(60):
        delivery.accept(event(number), partial(picture, number))
        time.sleep(0.01)
    wait_for(lambda: subscriber.retained().get(TOPICS.snapshot("porch")) == b"\xff\xd8 59", 20, "the last picture")
    assert made[-1] == 59
    assert len(made) < 10
    subscriber.close()


def test_a_picture_that_comes_after_its_camera_went_is_not_told(broker: Mosquitto, delivery: Delivery) -> None:
    """A reload took the camera and its topics away while its newest alert waited for the picture."""
    subscriber, made = Subscriber(broker.port, "edgerun/#"), threading.Event()

    def picture() -> bytes:
        made.set()
        return b"\xff\xd8 too late"

    delivery.accept(event(0), lambda: b"\xff\xd8 seen")
    wait_for(lambda: TOPICS.snapshot("porch") in subscriber.retained(), 20, "a picture")
    delivery.accept(event(1), picture)
    delivery.cameras = {"yard"}
    delivery.retain(Message(TOPICS.snapshot("porch"), b"", qos=1, retain=True))
    assert made.wait(20)
    delivery.close(2.0)
    assert subscriber.retained()[TOPICS.snapshot("porch")] == b""
    subscriber.close()


def test_a_start_and_its_end_share_their_alert(broker: Mosquitto, delivery: Delivery) -> None:
    subscriber = Subscriber(broker.port, "edgerun/pi/+/alerts")
    delivery.accept(event(1, phase="start"))
    delivery.accept(event(2, phase="start"))
    delivery.accept(event(1, phase="end"))
    wait_for(lambda: len(subscriber.alerts()) == 3, 20, "all have come")
    first, second, end = subscriber.alerts()
    assert first["alert"] == end["alert"] != second["alert"]
    assert len({first["id"], second["id"], end["id"]}) == 3
    subscriber.close()


def test_who_comes_late_finds_states_and_the_newest_alert(broker: Mosquitto, delivery: Delivery) -> None:
    witness = Subscriber(broker.port, "edgerun/#")
    delivery.retain(camera_state(TOPICS, "porch", "ok", since=0.0, fps=5.0, dropped={}, score=0.5, paused=False))
    delivery.retain(occupancy(TOPICS, "porch", "path", "person", 1))
    delivery.retain(occupancy(TOPICS, "porch", "path", "person", 2))
    delivery.retain(occupancy(TOPICS, "porch", "gone", "person", 2))
    delivery.retain(Message(TOPICS.occupancy("porch", "gone", "person"), b"", 1, True))
    wait_for(lambda: witness.retained().get(TOPICS.occupancy("porch", "gone", "person")) == b"", 20, "taken away")
    delivery.accept(event(1))
    wait_for(lambda: TOPICS.last_alert("porch") in witness.retained(), 20, "the newest alert")
    late = Subscriber(broker.port, "edgerun/#")
    wait_for(lambda: TOPICS.last_alert("porch") in late.retained(), 20, "the newest alert")
    wait_for(lambda: late.retained().get(TOPICS.occupancy("porch", "path", "person")) == b"2", 20, "the count")
    assert late.retained()[TOPICS.status] == b"online"
    assert TOPICS.occupancy("porch", "gone", "person") not in late.retained()
    late.close()
    witness.close()


def test_of_a_camera_that_is_gone_no_newest_alert_is_told(tmp_path: Path, broker: Mosquitto) -> None:
    """Neither at a start, though the outbox still has it, nor when what had begun ends with the camera."""
    witness, last = Subscriber(broker.port, "edgerun/#"), TOPICS.last_alert("shed")
    before = deliver(tmp_path, broker.port)
    for camera in ("porch", "shed"):
        before.accept(event(1, camera))
    wait_for(lambda: last in witness.retained(), 20, "the newest alert")
    counts(before, delivered=2)
    before.close(2)
    witness.publish(last, "", retain=True)
    after = deliver(tmp_path, broker.port, cameras={"porch"})
    for camera in ("shed", "porch"):
        after.accept(event(2, camera))
    counts(after, delivered=2)
    after.close(2)
    late = Subscriber(broker.port, "edgerun/#")
    wait_for(lambda: TOPICS.last_alert("porch") in late.retained(), 20, "the newest alert")
    assert last not in late.retained()
    late.close()
    witness.close()


def test_of_a_camera_that_is_there_again_the_newest_alert_is_told(tmp_path: Path, broker: Mosquitto) -> None:
    """As after a restart, though it was taken away when a reload took the camera out."""
    witness, last = Subscriber(broker.port, "edgerun/#"), TOPICS.last_alert("shed")
    delivery = deliver(tmp_path, broker.port, cameras={"porch", "shed"})
    delivery.accept(event(1, "shed"))
    wait_for(lambda: witness.retained().get(last), 20, "the newest alert")
    delivery.cameras = {"porch"}
    delivery.retain(Message(last, b"", qos=1, retain=True))
    wait_for(lambda: witness.retained()[last] == b"", 20, "that it is taken away")
    delivery.cameras = {"porch", "shed"}
    wait_for(lambda: witness.retained()[last], 20, "the newest alert again")
    assert json.loads(witness.retained()[last])["seq"] == 1
    delivery.close(2)
    witness.close()


def test_a_subscriber_who_was_away_gets_all_that_nobody_took(broker: Mosquitto, delivery: Delivery) -> None:
    """30 alerts while nobody listens: kept as unclaimed, then sent in order and marked."""
    for n in range(30):
        delivery.accept(event(n))
    counts(delivery, unclaimed=30)
    subscriber = Subscriber(broker.port, "edgerun/pi/porch/alerts")
    wait_for(lambda: len(subscriber.alerts()) >= 30, 20, "all have come")
    assert [alert["seq"] for alert in subscriber.alerts()] == list(range(1, 31))
    assert all(alert["replayed"] for alert in subscriber.alerts())
    counts(delivery, unclaimed=0, depth=0)
    subscriber.close()


def test_home_assistants_birth_brings_everything_again(broker: Mosquitto, delivery: Delivery) -> None:
    delivery.retain(occupancy(TOPICS, "porch", "path", "person", 1))
    delivery.accept(event(1))
    counts(delivery, unclaimed=1)
    subscriber = Subscriber(broker.port, "edgerun/#")
    topics = {TOPICS.occupancy("porch", "path", "person"), TOPICS.status, TOPICS.last_alert("porch")}
    wait_for(lambda: topics <= subscriber.retained().keys(), 20, "what the broker kept")
    subscriber.messages.clear()
    subscriber.publish(BIRTH, "online")
    wait_for(lambda: topics <= subscriber.retained().keys(), 20, "retained messages")
    wait_for(lambda: subscriber.seqs() == [1], 20, "the unclaimed alert")
    subscriber.close()


def test_who_floods_the_birth_topic_holds_up_nothing(broker: Mosquitto, delivery: Delivery) -> None:
    """All again for each of them, and what is told last would never come."""
    delivery.retain(occupancy(TOPICS, "porch", "path", "person", 1))
    subscriber = Subscriber(broker.port, "edgerun/#")
    for _ in range(300):
        before = delivery.progress
        delivery.received(Request(BIRTH, b"online"))
        wait_for(lambda before=before: delivery.progress > before, 20, "a turn")  # type: ignore[misc]  # bound now
    delivery.accept(event(1))
    wait_for(lambda: subscriber.seqs() == [1], 20, "an alert")
    assert len([message for message in subscriber.messages if message.topic == TOPICS.status]) < 150
    subscriber.close()


def test_a_name_that_another_device_had_gives_up_nothing(broker: Mosquitto, delivery: Delivery) -> None:
    """A copy of its disk that was given another name takes back what it believes to have told under this one."""
    delivery.retain(occupancy(TOPICS, "porch", "path", "person", 1))
    copy = Subscriber(broker.port, "nothing")
    for topic in (TOPICS.occupancy("porch", "path", "person"), TOPICS.status):
        copy.publish(topic, "", retain=True)
    witness = Subscriber(broker.port, "edgerun/#")
    wait_for(lambda: {b"1", b"online"} <= {*witness.retained().values()}, 20, "both are told again")
    witness.close()
    copy.close()


def test_what_was_delivered_can_be_asked_for_again(broker: Mosquitto, delivery: Delivery) -> None:
    """However it was acknowledged: a logger on # may have taken it while the one who asks was away."""
    logger = Subscriber(broker.port, "#")
    for n in range(10):
        delivery.accept(event(n))
    counts(delivery, delivered=10)
    late = Subscriber(broker.port, "edgerun/pi/+/alerts")
    delivery.replay(7)
    wait_for(lambda: len(late.alerts()) == 4, 20, "four alerts")
    assert [(alert["seq"], alert["replayed"]) for alert in late.alerts()] == [(n, True) for n in (7, 8, 9, 10)]
    late.close()
    logger.close()


@pytest.mark.parametrize("how", [Mosquitto.stop, Mosquitto.kill])
def test_a_broker_that_restarts_costs_nothing(
    broker: Mosquitto, delivery: Delivery, how: Callable[[Mosquitto], None]
) -> None:
    subscriber = Subscriber(broker.port, "edgerun/pi/+/alerts", name="logbook")
    sent = 0
    for _ in range(3):
        for _ in range(20):
            sent += 1
            delivery.accept(event(sent))
        how(broker)
        for _ in range(20):
            sent += 1
            delivery.accept(event(sent))
        broker.start()
        counts(delivery, connected=True)
        # a broker that is killed between acknowledging and saving loses what it holds for those who are away
        wait_for(lambda: subscriber.ready, 20, "the subscriber is back")
    counts(delivery, accepted=sent, depth=0)
    if how is Mosquitto.kill:  # what it acknowledged last it may not have passed on; who misses that asks for it
        delivery.replay(1)
    wait_for(lambda: len(subscriber.seqs()) == sent, 20, "all have come")
    assert how is Mosquitto.kill or subscriber.seqs() == list(range(1, sent + 1))
    late = Subscriber(broker.port, TOPICS.status)
    wait_for(lambda: late.retained().get(TOPICS.status) == b"online", 20, "online again")
    subscriber.close()
    late.close()


def test_a_frozen_broker_is_left_for_a_new_connection(
    broker: Mosquitto, delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its kernel still acknowledges, so only the missing answer to the alert can tell."""
    monkeypatch.setattr("edgerun.runtime.delivery.departures._ANSWER_S", 1.5)
    subscriber = Subscriber(broker.port, "edgerun/pi/+/alerts", name="logbook")
    broker.freeze()
    delivery.accept(event(1))
    counts(delivery, connected=False)
    assert "acknowledged" in delivery.snapshot().error
    broker.thaw()
    counts(delivery, delivered=1)
    wait_for(lambda: subscriber.seqs() == [1], 20, "it has come")
    subscriber.close()


def test_a_refused_alert_is_no_delivered_alert(tmp_path: Path) -> None:
    """The broker's access rules forbid it: it is kept, counted and said, and sent once they allow it."""
    rules = tmp_path / "acl"
    allowed = "topic readwrite edgerun/pi/status\ntopic readwrite edgerun/pi/#\ntopic deny edgerun/pi/porch/alerts\n"
    rules.write_text(allowed)
    with Mosquitto(tmp_path / "mosquitto", settings=f"allow_anonymous true\nacl_file {rules}") as broker:
        delivery = deliver(tmp_path, broker.port)
        delivery.accept(event(1))
        wait_for(lambda: delivery.snapshot().refused > 0, 20, "refused")
        refused = counts(delivery, depth=1, delivered=0)
        assert refused.connected and "sent to edgerun/pi/porch/alerts: Not authorized" in refused.refusal
        rules.write_text("topic readwrite edgerun/#\n")
        os.kill(broker.pid, signal.SIGHUP)
        subscriber = Subscriber(broker.port, "edgerun/pi/porch/alerts")
        wait_for(lambda: subscriber.seqs() == [1], 20, "it has come")
        counts(delivery, delivered=1, refusal="")
        subscriber.close()
        delivery.close(2.0)


def test_a_message_too_large_for_the_broker_is_refused_and_costs_no_connection(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Mosquitto says so with a reason that MQTT does not list for such an answer."""
    with Mosquitto(tmp_path / "mosquitto", settings="allow_anonymous true\nmessage_size_limit 2000") as broker:
        subscriber = Subscriber(broker.port, "edgerun/#")
        delivery = deliver(tmp_path, broker.port)
        delivery.retain(Message("edgerun/pi/state", b"x" * 3000, 1, True))
        delivery.accept(event(1))
        found = counts(delivery, refused=1, delivered=1)
        assert found.connected and found.connects == 1
        assert "sent to edgerun/pi/state: the broker says a message was too large" in caplog.text
        wait_for(lambda: subscriber.seqs() == [1], 20, "it has come")
        subscriber.close()
        delivery.close(2.0)


@pytest.mark.parametrize("setting", ["message_size_limit", "max_packet_size"])
def test_an_alert_too_large_for_the_broker_holds_up_no_other(tmp_path: Path, setting: str) -> None:
    """It is kept and told of, and comes when the broker takes it."""
    crowd = replace(event(2), objects=event(2).objects * 20)
    with Mosquitto(tmp_path / "mosquitto", settings=f"allow_anonymous true\n{setting} 2000") as broker:
        subscriber = Subscriber(broker.port, "edgerun/pi/porch/alerts")
        delivery = deliver(tmp_path, broker.port)
        for one in (event(1), crowd, event(3)):
            delivery.accept(one)
        wait_for(lambda: subscriber.seqs() == [1, 3], 20, "the others")
        kept = counts(delivery, depth=1, delivered=2)
        assert "sent to edgerun/pi/porch/alerts: " in kept.refusal
        subscriber.close()
        delivery.close(2.0)
    with Mosquitto(tmp_path / "mosquitto") as broker:
        subscriber = Subscriber(broker.port, "edgerun/pi/porch/alerts")
        delivery = deliver(tmp_path, broker.port)
        wait_for(lambda: subscriber.seqs() == [2], 20, "it has come")
        subscriber.close()
        delivery.close(2.0)


def test_a_picture_too_large_for_the_broker_is_told_as_such(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is not tried over and over without a word, and a smaller one comes."""
    with Mosquitto(tmp_path / "mosquitto", settings="allow_anonymous true\nmax_packet_size 2000") as broker:
        subscriber = Subscriber(broker.port, "edgerun/pi/porch/#")
        delivery = deliver(tmp_path, broker.port)
        delivery.accept(event(1), lambda: b"\xff\xd8" * 1500)
        counts(delivery, refused=1, connected=True)
        assert "sent to edgerun/pi/porch/snapshot: it is larger than the 2000 bytes" in caplog.text
        delivery.accept(event(2), lambda: b"\xff\xd8 small")
        wait_for(lambda: subscriber.retained().get(TOPICS.snapshot("porch")) == b"\xff\xd8 small", 20, "a picture")
        assert counts(delivery, delivered=2, refused=1).connects == 1
        subscriber.close()
        delivery.close(2.0)


def test_what_gives_way_at_the_cap_is_named_and_no_longer_waits(tmp_path: Path, broker: Mosquitto) -> None:
    """While the broker is away, more comes at once than the outbox can hold: each alert is about a crowd."""
    subscriber = Subscriber(broker.port, "edgerun/pi/porch/#", name="logbook")
    broker.stop()
    delivery = deliver(tmp_path, broker.port, max_mb=1)
    for n in range(1, 401):
        crowd = event(n)
        delivery.accept(replace(crowd, objects=crowd.objects * 40))
    evicted = counts(delivery, accepted=400).evicted
    assert evicted > 0
    counts(delivery, depth=400 - evicted)
    broker.start()
    counts(delivery, delivered=400 - evicted, depth=0)
    wait_for(lambda: len(subscriber.seqs()) == 400 - evicted, 20, "the others have come")
    assert subscriber.seqs() == list(range(evicted + 1, 401))
    wait_for(lambda: TOPICS.gaps("porch") in subscriber.retained(), 20, "the gap record")
    (gap,) = json.loads(subscriber.retained()[TOPICS.gaps("porch")])["gaps"]
    assert (gap["first"], gap["last"], gap["count"], gap["reason"]) == (1, evicted, evicted, "evicted")
    delivery.close(2.0)
    subscriber.publish(TOPICS.gaps("porch"), "", retain=True)
    for camera, is_told in (("shed", False), ("porch", True)):  # the only one there is after another start
        delivery = deliver(tmp_path, broker.port, max_mb=1, cameras={camera})
        delivery.accept(event(1))
        counts(delivery, delivered=1)
        delivery.close(2.0)
        assert bool(subscriber.retained()[TOPICS.gaps("porch")]) == is_told
    subscriber.close()


def test_goodbye_is_said_and_death_is_noticed(tmp_path: Path, broker: Mosquitto) -> None:
    subscriber = Subscriber(broker.port, TOPICS.status)
    delivery = deliver(tmp_path, broker.port)
    wait_for(lambda: [m.payload for m in subscriber.messages] == [b"online"], 20, "online")
    delivery.close(2.0)
    wait_for(lambda: [m.payload for m in subscriber.messages] == [b"online", b"offline"], 20, "offline")
    with subprocess.Popen([sys.executable, "-c", BURST, str(tmp_path), str(broker.port), "1"]) as process:
        wait_for(lambda: subscriber.messages[-1].payload == b"online", 20, "online again")
        process.kill()
    wait_for(lambda: subscriber.messages[-1].payload == b"offline", 20, "the last will")
    subscriber.close()


def test_detections_are_dropped_and_counted_while_there_is_nobody_to_take_them(tmp_path: Path) -> None:
    delivery = deliver(tmp_path, 1)
    for _ in range(3):
        delivery.publish(Message(TOPICS.detections("porch"), b"{}"))
    counts(delivery, dropped=3)
    delivery.close(0.5)


BURST = """
import sys, time
from pathlib import Path
from tests.test_delivery import deliver, event
delivery = deliver(Path(sys.argv[1]), int(sys.argv[2]))
told = 0
for n in range(10**9):
    delivery.accept(event(n))
    time.sleep(float(sys.argv[3]))
"""


def test_kills_in_a_burst_lose_and_disorder_nothing(tmp_path: Path, broker: Mosquitto) -> None:
    """kill -9 five times, the broker killed once in between: no seq is missing, all come in order, and no more come
    twice than can be in flight."""
    subscriber = Subscriber(broker.port, "edgerun/pi/+/alerts", name="logbook")
    chance = random.Random(3)
    for kill in range(5):
        with subprocess.Popen([sys.executable, "-c", BURST, str(tmp_path), str(broker.port), "0.005"]) as process:
            seen = len(subscriber.alerts())
            goal = seen + chance.randrange(20, 60)
            wait_for(lambda goal=goal: len(subscriber.alerts()) >= goal, 20, "some alerts")  # type: ignore[misc]  # bound now
            if kill == 3:
                broker.kill()
                broker.start()
            process.kill()
    delivery = deliver(tmp_path, broker.port)
    delivery.accept(event(0))
    counts(delivery, accepted=1, depth=0)
    last = max(subscriber.seqs())
    wait_for(lambda: len(subscriber.seqs()) == max(subscriber.seqs()), 20, "all have come")
    assert subscriber.seqs() == list(range(1, last + 1))
    assert len(subscriber.alerts()) - len(subscriber.seqs()) <= 6 * WINDOW
    delivery.close(2.0)
    subscriber.close()


BEGINS = """
import sys, time
from pathlib import Path
from tests.test_delivery import counts, deliver, event
delivery = deliver(Path(sys.argv[1]), int(sys.argv[2]))
for n in (1, 2, 3):
    delivery.accept(event(n, phase="start"))
delivery.accept(event(2, phase="end"))
counts(delivery, delivered=4)
print("begun", flush=True)
time.sleep(60)
"""


def test_what_a_kill_leaves_open_is_ended_at_the_next_start(tmp_path: Path, broker: Mosquitto) -> None:
    """Each start has one end, also after another start of the daemon."""
    subscriber = Subscriber(broker.port, "edgerun/pi/+/alerts")
    program = [sys.executable, "-c", BEGINS, str(tmp_path), str(broker.port)]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.kill()
    for _ in range(2):
        delivery = deliver(tmp_path, broker.port)
        delivery.accept(event(1))
        counts(delivery, connected=True, depth=0)
        wait_for(lambda: subscriber.alerts()[-1]["type"] == "instant", 20, "the newest one")
        delivery.close(2.0)
    alerts = subscriber.alerts()
    ends = [alert for alert in alerts if alert["type"] == "end"]
    assert sorted(end["alert"] for end in ends) == sorted(a["alert"] for a in alerts if a["type"] == "start")
    assert subscriber.seqs() == list(range(1, 9))
    for end in ends:
        Draft202012Validator(PAYLOADS["alert"]).validate(end)
        assert (end["rule"], end["zone"]) == ("visitor", "path")
    subscriber.close()


@pytest.mark.parametrize("text", [b"", b"[{]", b"[1]", b'[{"alert": 1}]', b"\xff"])
def test_a_damaged_list_of_what_is_open_is_none(tmp_path: Path, broker: Mosquitto, text: bytes) -> None:
    (tmp_path / "outbox.db.open").write_bytes(text)
    delivery = deliver(tmp_path, broker.port)
    delivery.accept(event(1, phase="start"))
    counts(delivery, connected=True, accepted=1)
    delivery.close(2.0)


def test_a_disk_that_fails_degrades_and_heals(tmp_path: Path, broker: Mosquitto) -> None:
    """Alerts are delivered from memory, the state says so, and what was not delivered is committed later. Their seqs
    rise by one, from where no earlier run can have been, and go on so after the next start."""
    in_the_way = tmp_path / "folder"
    in_the_way.write_text("a file where the outbox's folder should be")
    delivery = deliver(in_the_way, broker.port)
    subscriber = Subscriber(broker.port, "edgerun/pi/+/alerts")
    delivery.accept(event(1))
    wait_for(lambda: len(subscriber.seqs()) == 1, 20, "the alert, from memory")
    (first,) = subscriber.seqs()
    assert first > 1e9
    assert counts(delivery, degraded=True, delivered=1).accepted == 0
    assert "cannot be opened" in delivery.snapshot().outbox_error
    subscriber.close()
    time.sleep(0.3)  # until the broker has seen it go
    delivery.accept(event(2))
    counts(delivery, unclaimed=1, unsaved=1)
    in_the_way.unlink()
    counts(delivery, degraded=False, unsaved=0, accepted=1)
    delivery.close(1.0)
    late = Subscriber(broker.port, "edgerun/pi/+/alerts")
    delivery = deliver(in_the_way, broker.port)
    wait_for(lambda: late.seqs() == [first + 1], 20, "the alert, from the disk")
    delivery.accept(event(3))
    wait_for(lambda: late.seqs() == [first + 1, first + 2], 20, "the next alert")
    late.close()
    delivery.close(1.0)


def test_what_is_only_in_memory_is_handed_on_though_the_disk_still_fails(tmp_path: Path, broker: Mosquitto) -> None:
    """The broker was away, and a reload names another one: the disk may never come back."""
    in_the_way = tmp_path / "folder"
    in_the_way.write_text("a file where the outbox's folder should be")
    before = deliver(in_the_way, 1)
    for n in (1, 2, 3):
        before.accept(event(n))
    counts(before, unsaved=3, depth=3)
    subscriber = Subscriber(broker.port, "edgerun/pi/+/alerts")
    delivery = deliver(in_the_way, broker.port, before=before)
    before.close(2.0)
    delivery.accept(event(4))
    counts(delivery, delivered=4, unsaved=0, degraded=True)
    wait_for(lambda: len(subscriber.seqs()) == 4, 20, "all have come")
    first = subscriber.seqs()[0]
    assert subscriber.seqs() == list(range(first, first + 4))
    subscriber.close()
    delivery.close(1.0)


FAILS = """
import resource, sys, time
from pathlib import Path
from tests.test_delivery import counts, deliver, event
delivery = deliver(Path(sys.argv[1]), int(sys.argv[2]))
delivery.accept(event(1))
delivery.accept(event(1, "yard"))
counts(delivery, accepted=2, delivered=2)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
for n in (2, 3, 4):
    delivery.accept(event(n))
counts(delivery, accepted=2, delivered=5, degraded=True)
if len(sys.argv) > 3:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    counts(delivery, degraded=False)
print("killable", flush=True)
time.sleep(60)
"""


def test_a_disk_without_room_keeps_the_list_of_what_is_open_as_it_was(tmp_path: Path) -> None:
    """What a crash then leaves open is ended as far as it is known, and not forgotten as a whole."""
    episodes = Episodes(tmp_path / "open")
    episodes.alert_of(event(1, phase="start"), "first")
    episodes.save()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for n in range(2, 50):
        episodes.alert_of(event(n, phase="start"), f"number {n}")
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "open").stat().st_size + 100, hard))
        episodes.save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    after = Episodes(tmp_path / "open")
    (end,) = after.left_open()
    assert after.alert_of(end, "") == "first"


def test_ten_thousand_open_alerts_each_end_as_what_they_began(tmp_path: Path) -> None:
    """Also those that a crash leaves open: with many cameras and rules a crowd is as many stays."""
    episodes = Episodes(tmp_path / "open")
    for n in range(10_000):
        episodes.alert_of(event(n, phase="start"), f"number {n}")
    episodes.save()
    ended = [episodes.alert_of(event(n, phase="end"), "another") for n in range(10_000)]
    assert ended == [f"number {n}" for n in range(10_000)]
    after = Episodes(tmp_path / "open")
    assert [after.alert_of(end, "another") for end in after.left_open()] == ended


@pytest.mark.parametrize("heals", [False, True])
def test_no_number_that_was_given_out_while_the_disk_failed_comes_again(
    tmp_path: Path, broker: Mosquitto, heals: bool
) -> None:
    """Though the process was killed before it could store what it had delivered from memory: who keeps alerts by their
    number would not see those of the next start. Where the disk works again in time, they rise by one as ever."""
    subscriber = Subscriber(broker.port, "edgerun/pi/+/alerts")
    program = [sys.executable, "-c", FAILS, str(tmp_path), str(broker.port), *(["heals"] if heals else [])]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"killable\n"
        process.kill()
    for n in (5, 6):
        delivery = deliver(tmp_path, broker.port)
        for camera in ("porch", "yard"):
            delivery.accept(event(n, camera))
        counts(delivery, accepted=2, depth=0, connected=True)
        delivery.close(2.0)
    wait_for(lambda: len(subscriber.seqs()) == 6, 20, "all")
    fifth, sixth = subscriber.seqs()[4:]
    assert subscriber.seqs()[:4] == [1, 2, 3, 4]
    assert (fifth == 5) if heals else (fifth > 1e9)
    assert sixth == fifth + 1
    assert heals == (subscriber.seqs("yard") == [1, 2, 3])
    subscriber.close()
