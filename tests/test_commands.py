"""Commands over MQTT: what is allowed is done and answered, what is not is refused in words, and nothing ends it."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import nullcontext
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any, get_args

import paho.mqtt.client as paho
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edgerun.errors import SourceError
from edgerun.outbox import OutboxOptions
from edgerun.runtime.delivery.delivery import Delivery
from edgerun.runtime.exchange.actions import CameraActions
from edgerun.runtime.exchange.commands import LARGEST, Commands, parse
from edgerun.schemas import COMMANDS, PAYLOADS
from edgerun.sinks.mqtt import MqttOptions, MqttSink, Verb
from edgerun.stages import Request, SinkListener
from edgerun.topics import Topics
from edgerun.types import Message
from tests.daemon_process import wait_for
from tests.servers.mosquitto import Mosquitto, needs_mosquitto
from tests.test_delivery import counts, event

TOPICS = Topics("edgerun", "pi")
NESTED = "nested too deeply" if sys.version_info < (3, 13) else "not JSON"  # newer readers go deeper than LARGEST can
VERBS: tuple[str, ...] = get_args(Verb)
NONE: Any = None


class Deeds:
    """The daemon's part: writes down what it was told to do."""

    def __init__(self) -> None:
        self.done: list[tuple[object, ...]] = []

    def cameras(self) -> Collection[str]:
        return ("porch", "yard")

    def reload(self) -> None:
        self.done.append(("reload",))

    def pause(self, camera: str, paused: bool) -> None:
        self.done.append(("pause" if paused else "resume", camera))

    def snapshot(self, camera: str) -> None:
        raise SourceError("there is no frame yet")

    def set(self, camera: str, score: float | None, fps: float | None) -> None:
        self.done.append(("set", camera, score, fps))

    def test_alert(self, camera: str) -> None:
        self.done.append(("test_alert", camera))


class Paper:
    """A sink that takes everything at once."""

    def __init__(self) -> None:
        self.sent: SimpleQueue[Message] = SimpleQueue()
        self._listener: SinkListener | None = None

    def open(self, listener: SinkListener) -> None:
        self._listener = listener
        listener.connected(16, 1)

    def send(self, message: Message) -> bool:
        self.sent.put(message)
        return True

    def offer(self, message: Message, token: int, session: int) -> bool:
        self.sent.put(message)
        assert self._listener is not None
        self._listener.answered(token, "taken", "")
        return True

    def reconnect(self, reason: str) -> None: ...

    def close(self) -> None: ...


class Desk:
    """Commands with everything around them."""

    def __init__(self, folder: Path, verbs: Collection[str] = VERBS) -> None:
        self.deeds = Deeds()
        self.paper = Paper()
        self.delivery = Delivery(TOPICS, self.paper, folder / "outbox.db", OutboxOptions())
        self.delivery.start()
        self.commands = Commands(TOPICS, verbs, self.delivery, self.deeds)
        self.commands.start()

    def ask(self, verb: str, payload: bytes, **terms: Any) -> dict[str, Any]:
        """The answer."""
        self.delivery.received(Request(TOPICS.command(verb), payload, **terms))
        while True:
            message = self.paper.sent.get(timeout=10)
            if message.topic != TOPICS.status:
                answer: dict[str, Any] = json.loads(message.payload)
                Draft202012Validator(PAYLOADS["ack"]).validate(answer)
                return answer | {"topic": message.topic, "correlation": message.correlation}

    def close(self) -> None:
        self.commands.close()
        self.delivery.close(1.0)


@pytest.mark.parametrize("verb", ["pause", "resume", "snapshot", "test_alert", "set"])
def test_a_camera_that_a_reload_takes_away_meanwhile_is_answered(tmp_path: Path, verb: str) -> None:
    """It was there when the command was looked at, and is not when it is done."""
    desk = Desk(tmp_path)
    running = iter([{"porch"}])
    actions = CameraActions(lambda: nullcontext(dict.fromkeys(next(running, ()), NONE)), desk.delivery, lambda: None)
    other = Commands(TOPICS, VERBS, desk.delivery, actions)
    desk.commands.close()
    other.start()
    answer = desk.ask(verb, b'{"camera": "porch"%s}' % (b', "fps": 3' if verb == "set" else b""))
    assert answer["error"] == "there is no camera 'porch'"
    other.close()
    desk.close()


@pytest.mark.parametrize("verb", ["pause", "resume", "snapshot", "test_alert"])
def test_nothing_is_done_to_cameras_before_there_are_any(tmp_path: Path, verb: str) -> None:
    """While the model is loaded none runs: those to come would know nothing of what was said to be done."""
    desk = Desk(tmp_path)
    desk.commands.close()
    actions = CameraActions(lambda: nullcontext({}), desk.delivery, lambda: None)
    desk.commands = Commands(TOPICS, VERBS, desk.delivery, actions)
    desk.commands.start()
    assert desk.ask(verb, b"")["error"] == "no camera runs now"
    desk.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


@pytest.mark.parametrize(
    ("verb", "payload", "deed"),
    [
        ("ping", "", None),
        ("reload", "{}", ("reload",)),
        ("pause", '{"camera": "porch"}', ("pause", "porch")),
        ("pause", '{"camera": "porch", "paused": false}', ("resume", "porch")),
        ("resume", "", ("resume", "")),
        ("set", '{"camera": "yard", "score": 0.4}', ("set", "yard", 0.4, None)),
        ("set", '{"fps": 2}', ("set", "", None, 2)),
        ("test_alert", '{"camera": "porch"}', ("test_alert", "porch")),
        ("replay", '{"since_seq": 3}', None),
    ],
)
def test_a_command_is_done_and_answered(desk: Desk, verb: str, payload: str, deed: tuple[object, ...] | None) -> None:
    answer = desk.ask(verb, payload.encode())
    assert (answer["ok"], answer["verb"], answer["topic"]) == (True, verb, TOPICS.ack)
    assert desk.deeds.done == ([deed] if deed else [])
    if payload:
        Draft202012Validator(COMMANDS[verb]).validate(json.loads(payload))


@pytest.mark.parametrize(
    ("verb", "payload", "error"),
    [
        ("shutdown", b"", "not among the commands"),
        ("ping", b'{"a": 1}', "it takes nothing, not 'a'"),
        ("pause", b'{"fps": 1}', "it takes camera, paused, not 'fps'"),
        ("pause", b'{"camera": "cellar"}', "there is no camera 'cellar'"),
        ("pause", b'{"camera": ["porch"]}', "camera must be"),
        ("pause", b'{"paused": 1}', "true or false"),
        ("set", b"{}", "needs score or fps"),
        ("set", b'{"score": 1.5}', "score must be a number from 0 to 1"),
        ("set", b'{"score": NaN}', "NaN is no number"),
        ("set", b'{"score": 1e999}', "score must be"),
        ("set", b'{"score": true}', "score must be"),
        ("set", b'{"fps": %s}' % (b"9" * 400), "fps must be"),
        ("set", b'{"fps": "fast"}', "fps must be"),
        ("replay", b"", "needs since_seq"),
        ("replay", b'{"since_seq": -1}', "since_seq must be"),
        ("replay", b'{"since_seq": 1.5}', "since_seq must be"),
        ("ping", b"[]", "not a JSON object"),
        ("ping", b"\xff\xfe", "not JSON"),
        ("ping", b"[" * LARGEST, NESTED),
        ("ping", b" " * LARGEST + b"{}", "larger than"),
        ("snapshot", b"", "no frame yet"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(desk: Desk, verb: str, payload: bytes, error: str) -> None:
    answer = desk.ask(verb, payload)
    assert not answer["ok"]
    assert error in answer["error"]
    assert desk.deeds.done == []
    assert desk.ask("ping", b"")["ok"]


def test_a_replay_is_of_the_camera_and_from_the_number_that_are_told(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(desk.delivery, "replay", lambda *terms: asked.append(terms))
    assert desk.ask("replay", b'{"since_seq": 3, "camera": "yard"}')["ok"]
    assert desk.ask("replay", b'{"since_seq": 0}')["ok"]
    assert asked == [(3, "yard"), (0, "")]


def test_the_log_tells_what_was_done_and_what_was_not(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    desk.ask("ping", b"")
    assert "did as commanded: ping" in caplog.text
    assert "refused" not in caplog.text
    desk.ask("set", b"{}")
    assert "refused a command 'set': it needs score or fps" in caplog.text
    assert "did as commanded: set" not in caplog.text


def test_only_the_commands_listed_are_enabled(tmp_path: Path) -> None:
    desk = Desk(tmp_path, ("ping",))
    assert "not among" in desk.ask("reload", b"")["error"]
    assert desk.ask("ping", b"")["ok"]
    desk.close()


def test_retained_commands_are_ignored(desk: Desk) -> None:
    desk.delivery.received(Request(TOPICS.command("reload"), b"", retained=True))
    assert desk.ask("ping", b"")["verb"] == "ping"
    assert desk.deeds.done == []


def test_the_answer_goes_where_it_is_asked_for(desk: Desk) -> None:
    answer = desk.ask("ping", b"", response_topic="some/where", correlation=b"\x00\xff")
    assert (answer["topic"], answer["correlation"]) == ("some/where", b"\x00\xff")


@pytest.mark.parametrize(
    "where", ["edgerun/pi/status", "edgerun/other/cmd/reload", "a/+", "$SYS/a", "a\nb", "x" * 300,
              "edgerun/pi/porch/alerts", "edgerun/pi/porch/path/person", "homeassistant/device/x/config"],
)  # fmt: skip
def test_the_answer_never_goes_where_it_would_be_mistaken(desk: Desk, where: str) -> None:
    """Nor does asking for that end anything."""
    desk.delivery.received(Request(TOPICS.command("ping"), b"", response_topic=where))
    assert desk.ask("set", b'{"score": 0.3}')["verb"] == "set"


def test_a_mistake_of_ours_does_not_end_the_commands(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Deeds, "reload")
    desk.delivery.received(Request(TOPICS.command("reload"), b""))
    assert desk.ask("ping", b"")["verb"] == "ping"


def test_a_flood_is_not_answered_to_its_end(desk: Desk) -> None:
    for _ in range(90):
        desk.delivery.commands.put(Request(TOPICS.command("reload"), b""))
    wait_for(desk.delivery.commands.empty, 20, "all are taken")
    assert 0 < len(desk.deeds.done) <= 30


def test_after_a_flood_commands_are_taken_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty at once, then five a second, and never more than twenty."""
    now = 1000.0
    monkeypatch.setattr("edgerun.runtime.exchange.commands.time", SimpleNamespace(monotonic=lambda: now))
    commands = Commands(TOPICS, VERBS, desk.delivery, Deeds())
    for after_s, taken in [(0.0, 20), (0.1, 0), (0.1, 1), (1.0, 5), (3600.0, 20)]:
        now += after_s + 1e-6
        assert sum(commands._allowed() for _ in range(90)) == taken


def test_a_flood_of_what_is_ignored_does_not_fill_the_log(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    for _ in range(90):
        desk.delivery.commands.put(Request(TOPICS.command("reload"), b"", retained=True))
    wait_for(desk.delivery.commands.empty, 20, "all are taken")
    assert 0 < caplog.text.count("ignored a retained command") <= 30


@settings(max_examples=100)
@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=9),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9), inner),
    ).map(lambda x: json.dumps(x).encode())
)
def test_whatever_comes_is_an_object_or_a_value_error(payload: bytes) -> None:  # fmt: skip
    try:
        assert isinstance(parse(payload), dict)
    except ValueError as error:
        assert len(str(error)) < 300


@pytest.mark.broker
@needs_mosquitto
def test_commands_over_a_real_broker(tmp_path: Path) -> None:
    """With a response topic and correlation data, as MQTT 5 has them."""
    with Mosquitto(tmp_path / "m") as broker:
        sink = MqttSink(MqttOptions(port=broker.port), "pi", None, (TOPICS.command("+"),))
        delivery = Delivery(TOPICS, sink, tmp_path / "outbox.db", OutboxOptions())
        delivery.start()
        commands = Commands(TOPICS, VERBS, delivery, Deeds())
        commands.start()
        counts(delivery, connected=True)
        answers: SimpleQueue[paho.MQTTMessage] = SimpleQueue()
        ready = threading.Event()
        asker = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        asker.on_message = lambda client, _, message: answers.put(message)
        asker.on_subscribe = lambda *_: ready.set()
        asker.connect("127.0.0.1", broker.port)
        asker.loop_start()
        asker.subscribe("my/answers", 1)
        assert ready.wait(10)
        terms = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's
        terms.ResponseTopic = "my/answers"
        terms.CorrelationData = b"42"
        asker.publish(TOPICS.command("ping"), b"", 1, properties=terms)
        answer = answers.get(timeout=10)
        assert json.loads(answer.payload)["ok"]
        assert getattr(answer.properties, "CorrelationData", b"") == b"42"
        delivery.accept(event(1))
        asker.disconnect()
        asker.loop_stop()
        commands.close()
        delivery.close(1.0)
