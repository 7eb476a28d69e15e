"""Home Assistant's device discovery, by the rules that its MQTT integration checks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from edgerun.homeassistant import CameraView, discovery, platforms, withdrawal
from edgerun.runtime.delivery.retained import Retained
from edgerun.runtime.exchange.announcer import Announcer
from edgerun.schemas.states import CAMERA_STATE
from edgerun.sinks.mqtt import MqttOptions
from edgerun.topics import Topics
from edgerun.types import Message

TOPICS = Topics("edgerun", "porch-pi")
CAMERAS = {
    "porch": CameraView({("path", "person"), ("path", "traffic light")}, {"enter", "dwell"}),
    "yard": CameraView(),
}
VERBS = ("pause", "set")

REQUIRED = {
    "binary_sensor": {"state_topic"},
    "sensor": {"state_topic"},
    "image": {"image_topic"},
    "event": {"state_topic", "event_types"},
    "switch": {"command_topic"},
    "number": {"command_topic"},
}
"""What each platform's schema demands."""
TOP = {"device", "origin", "components", "availability", "state_topic", "command_topic", "qos", "encoding"}


def components(**terms: Any) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(discovery(TOPICS, "homeassistant", CAMERAS, **terms).payload)[
        "components"
    ]
    return found


def test_it_is_one_retained_message_of_the_right_form() -> None:
    message = discovery(TOPICS, "homeassistant", CAMERAS, verbs=VERBS)
    assert (message.topic, message.qos, message.retain) == ("homeassistant/device/edgerun_porch-pi/config", 1, True)
    payload = json.loads(message.payload)
    assert payload.keys() <= TOP
    assert payload["device"]["identifiers"]
    assert payload["origin"]["name"] == "edgerun"
    assert len(message.payload) < 64_000


def test_every_component_is_complete_and_named_once() -> None:
    found = components(verbs=VERBS)
    for name, component in found.items():
        assert re.fullmatch(r"[a-zA-Z0-9_-]+", name)
        assert component.keys() >= REQUIRED[component["platform"]]
        assert re.fullmatch(r"[a-z_]+\.[a-z0-9_]+", component["default_entity_id"])
        for key, value in component.items():
            if key.endswith("_topic"):
                assert not set(value) & set("+#")
    assert len({component["unique_id"] for component in found.values()}) == len(found)
    assert found["porch_path_traffic_light_count"]["state_topic"] == "edgerun/porch-pi/porch/path/traffic light"


def test_what_has_happened_does_not_depend_on_the_device_being_there() -> None:
    """Alerts that waited arrive before the status that ends an outage, and its last picture may be of who ended it."""
    found = components(verbs=VERBS)
    always = {name for name, component in found.items() if "availability" not in component}
    assert always == {"connection", "porch_alert", "porch_last_alert", "yard_last_alert"}


def test_the_automation_in_the_documentation_names_what_there_is() -> None:
    text = (Path(__file__).resolve().parents[1] / "docs" / "broker.md").read_text()
    named = set(re.findall(r"\b(?:event|image)\.porch_pi_\w+", text))
    assert named == {components()[name]["default_entity_id"] for name in ("porch_alert", "porch_last_alert")}


def test_entities_of_like_names_are_told_apart() -> None:
    """Camera and zone run together in an entity's id, as do labels that differ in a blank. Whoever comes second gets
    another id, always the same one; all others keep theirs."""
    cameras = {
        "a": CameraView({("b_c", "traffic light"), ("b_c", "traffic_light")}, {"enter"}),
        "a_b": CameraView({("c", "traffic light")}, {"enter"}),
        "a_last": CameraView((), {"enter"}),
    }

    def told(names: Iterable[str]) -> dict[str, dict[str, Any]]:
        payload = discovery(TOPICS, "homeassistant", {name: cameras[name] for name in names}, verbs=VERBS).payload
        found: dict[str, dict[str, Any]] = json.loads(payload)["components"]
        return found

    found = told(cameras)
    topics = [str(one.get("state_topic", one.get("image_topic"))) for one in found.values() if "count" in one["name"]]
    assert sorted(topics) == [
        "edgerun/porch-pi/a/b_c/traffic light",
        "edgerun/porch-pi/a/b_c/traffic_light",
        "edgerun/porch-pi/a_b/c/traffic light",
    ]
    assert {found["a_last_alert"]["platform"], "event"} == {"image", "event"}
    assert [one["name"] for one in found.values() if one["platform"] == "event"] == [
        f"{name} alert" for name in cameras
    ]
    assert len({one["unique_id"] for one in found.values()}) == len(found)
    assert found.keys() >= told(["a"]).keys()
    assert told(cameras) == found
    assert {name for name in told(["a_b"]) if name not in found} == set()


def test_switches_and_numbers_come_only_with_their_commands() -> None:
    assert not {component["platform"] for component in components().values()} & {"switch", "number"}
    assert {"porch_looking", "porch_score"} <= components(verbs=VERBS).keys()
    switch = components(verbs=VERBS)["porch_looking"]
    assert [json.loads(switch[f"payload_{way}"])["paused"] for way in ("on", "off")] == [False, True]
    command = components(verbs=VERBS)["porch_score"]["command_template"]
    assert json.loads(command.replace("{{ value }}", "0.4")) == {"camera": "porch", "score": 0.4}


def test_a_number_takes_whatever_may_be_configured() -> None:
    """Home Assistant calls what lies beyond an error, with each message."""
    number, allowed = components(verbs=VERBS)["porch_score"], CAMERA_STATE["properties"]["score"]
    assert (number["min"], number["max"]) == (allowed["minimum"], allowed["maximum"])


def test_what_the_configuration_no_longer_has_is_taken_away_once() -> None:
    before = discovery(TOPICS, "homeassistant", CAMERAS).payload
    now = discovery(TOPICS, "homeassistant", {"porch": CAMERAS["porch"]}, before=platforms(before))
    gone = {name: c for name, c in json.loads(now.payload)["components"].items() if c.keys() == {"platform"}}
    assert gone == {
        "yard_state": {"platform": "sensor"},
        "yard_fps": {"platform": "sensor"},
        "yard_last_alert": {"platform": "image"},
    }
    assert not gone.keys() & platforms(now.payload).keys()


def test_what_is_no_discovery_message_has_no_components_and_no_device() -> None:
    for payload in (b"", b"\xff", b"[]", b"null", b'{"components": 3}', b'{"components": {"a": 1}}', b'{"device": {}}'):
        assert platforms(payload) == {}
        assert withdrawal("homeassistant", payload) is None


class Notes:
    """Stands where the delivery stands: the topics that were told of (True) and taken away (False), and texts. Without
    a ``broker`` nothing arrives."""

    def __init__(self, broker: bool = True) -> None:
        self.told: list[tuple[str, bool]] = []
        self.payloads: dict[str, bytes] = {}
        self._broker = broker

    def retain(self, message: Message) -> None:
        assert message.retain, "else what is empty takes nothing away"
        self.told.append((message.topic, bool(message.payload)))
        self.payloads[message.topic] = message.payload

    def withdraw(self, topic: str) -> None:
        if topic not in self.payloads:
            self.retain(Message(topic, b"", retain=True))

    def leaving(self) -> tuple[str, ...]:
        return () if self._broker else tuple(sorted(topic for topic, text in self.payloads.items() if not text))


def run(
    folder: Path,
    device: str = "porch-pi",
    cameras: Mapping[str, CameraView] = CAMERAS,
    *,
    home_assistant: bool = True,
    prefix: str = "homeassistant",
    broker: bool = True,
) -> Notes:
    """What one run of the daemon tells."""
    notes: Any = Notes(broker)
    options = MqttOptions(home_assistant=home_assistant, discovery_prefix=prefix)
    announcer = Announcer(Topics("edgerun", device), options, notes, folder / "announced.json")
    announcer.tell(cameras, 0.0)
    announcer.tell(dict(cameras), 0.5)
    announcer.close()
    told: Notes = notes
    return told


def test_a_device_is_taken_away_when_it_has_another_name_or_is_to_be_told_no_more(tmp_path: Path) -> None:
    one, other = ("homeassistant/device/edgerun_porch-pi/config", "homeassistant/device/edgerun_yard-pi/config")
    assert run(tmp_path, home_assistant=False).told == []
    assert run(tmp_path).told == [(one, True)]
    assert run(tmp_path).told == [(one, True)]
    told = run(tmp_path, "yard-pi").told
    assert [found for found in told if found[0] in (one, other)] == [(one, False), (other, True)]
    assert run(tmp_path, "yard-pi", home_assistant=False).told == [(other, False)]
    assert run(tmp_path, "yard-pi", home_assistant=False).told == []


def test_a_device_is_taken_away_where_it_was_told(tmp_path: Path) -> None:
    """An announcement under another prefix is another one."""
    one, other = (f"{prefix}/device/edgerun_porch-pi/config" for prefix in ("homeassistant", "ha"))
    run(tmp_path)
    assert run(tmp_path, prefix="ha").told == [(one, False), (other, True)]
    assert run(tmp_path, prefix="homeassistant", home_assistant=False).told == [(other, False)]


@pytest.mark.parametrize("home_assistant", [True, False])
def test_nothing_stays_retained_of_what_is_gone(tmp_path: Path, home_assistant: bool) -> None:
    """A camera, and a zone of another; also when that was changed while the daemon was not running."""
    run(tmp_path, home_assistant=home_assistant)
    left = {"porch": CameraView({("door", "person")}, zones={"door"})}
    gone = {topic for topic, there in run(tmp_path, cameras=left, home_assistant=home_assistant).told if not there}
    assert gone == {
        "edgerun/porch-pi/yard/state",
        "edgerun/porch-pi/yard/snapshot",
        "edgerun/porch-pi/yard/alerts/last",
        "edgerun/porch-pi/yard/alerts/gaps",
        "edgerun/porch-pi/porch/path/person",
        "edgerun/porch-pi/porch/path/traffic light",
    }


def test_a_zone_of_before_does_not_move_with_its_device(tmp_path: Path) -> None:
    """One reload renamed both; until its next frame the camera counted by its old zones, in the new place."""
    run(tmp_path)
    left = {"porch": CameraView({("door", "person")}, zones={"door"})}
    gone = {topic for topic, there in run(tmp_path, "yard-pi", left).told if not there and "/porch/" in topic}
    assert gone == {
        "edgerun/porch-pi/porch/state",
        "edgerun/porch-pi/porch/snapshot",
        "edgerun/porch-pi/porch/alerts/last",
        "edgerun/porch-pi/porch/alerts/gaps",
        *(
            f"edgerun/{device}/porch/path/{label}"
            for device in ("porch-pi", "yard-pi")
            for label in ("person", "traffic light")
        ),
    }


def test_entities_go_before_what_they_listen_to_is_emptied(tmp_path: Path) -> None:
    """Home Assistant has an error for each template that an empty message comes to."""
    run(tmp_path)
    left = {"porch": CAMERAS["porch"]}
    for told in (
        run(tmp_path, cameras=left, broker=False).told,
        run(tmp_path, cameras=left).told,
        run(tmp_path, "yard-pi", left).told,
    ):
        emptied = [there or topic.startswith("homeassistant/") for topic, there in told]
        assert not all(emptied)
        assert emptied == sorted(emptied, reverse=True)


def test_labels_that_the_model_does_not_know_any_more_go(tmp_path: Path) -> None:
    """After another one came, or a camera was told to look for fewer."""
    run(tmp_path, cameras={"porch": CameraView({("path", "person"), ("path", "dog")}, zones={"path"})})
    left = run(tmp_path, cameras={"porch": CameraView((), zones={"path"}, labels={"person", "cat"})})
    assert left.payloads["edgerun/porch-pi/porch/path/person"] == b"0"
    assert left.payloads["edgerun/porch-pi/porch/path/dog"] == b""
    told = json.loads(left.payloads["homeassistant/device/edgerun_porch-pi/config"])["components"]
    assert told["porch_path_dog_count"] == {"platform": "sensor"}  # Home Assistant's word for: is no more
    assert len(told["porch_path_person_count"]) > 1


def test_what_only_was_not_seen_yet_stays(tmp_path: Path) -> None:
    """A camera that is not back after a power cut has no counts yet; its entities keep what their user made of them,
    and count nobody."""
    seen = {"porch": CameraView({("path", "person"), ("path", "dog")}, zones={"path"})}
    first, second = run(tmp_path, cameras=seen), run(tmp_path, cameras={"porch": CameraView((), zones={"path"})})
    address = "homeassistant/device/edgerun_porch-pi/config"
    assert second.payloads[address] == first.payloads[address]
    assert second.payloads["edgerun/porch-pi/porch/path/dog"] == b"0"
    assert all(there for _, there in second.told)


def test_what_is_large_is_not_told_anew_of_each_count(tmp_path: Path) -> None:
    """The message and the file hold all there is, and many cameras' labels come one after another. Who has a count
    that waits is not forgotten by it: where its zone goes, or the daemon ends, it is taken away as others are."""
    config, zones = "homeassistant/device/edgerun_porch-pi/config", [f"zone{n}" for n in range(50)]
    counts = [(zone, label) for label in ("person", "dog") for zone in zones]
    notes: Any = Notes()
    remembered = tmp_path / "announced.json"
    announcer = Announcer(Topics("edgerun", "porch-pi"), MqttOptions(home_assistant=True), notes, remembered)
    written = set()
    for n in range(len(counts) + 1):
        announcer.tell({"porch": CameraView(counts[:n], (), zones)}, n / 2)
        written.add(remembered.read_bytes())
    told = [found for found in notes.told if found == (config, True)]
    assert len(told) == len(written) < 25
    announcer.tell({"porch": CameraView(counts, (), zones)}, 70.0)
    assert "porch_zone49_dog_count" in platforms(notes.payloads[config])
    last = ("zone0", "cat"), ("zone1", "cat")
    announcer.tell({"porch": CameraView([*counts, *last], (), zones)}, 70.5)
    announcer.tell({"porch": CameraView([*counts[1:50], *counts[51:], last[1]], (), zones[1:])}, 71.0)
    assert notes.payloads["edgerun/porch-pi/porch/zone0/cat"] == b""
    announcer.tell({"porch": CameraView([*counts[1:50], *counts[51:], last[1], ("zone2", "cat")], (), zones[1:])}, 71.5)
    announcer.close()
    told = run(tmp_path, cameras={"porch": CameraView([], (), ["zone3"])}).told
    assert ("edgerun/porch-pi/porch/zone2/cat", False) in told


def test_a_camera_that_comes_or_goes_is_told_of_at_once(tmp_path: Path) -> None:
    """Also right after a large message, which only further counts wait for; so is what is counted no more."""
    config = "homeassistant/device/edgerun_porch-pi/config"
    zones = [f"zone{n}" for n in range(50)]
    porch = CameraView([(zone, "person") for zone in zones], (), zones)
    notes: Any = Notes()
    announcer = Announcer(
        Topics("edgerun", "porch-pi"), MqttOptions(home_assistant=True), notes, tmp_path / "announced.json"
    )
    announcer.tell({"porch": porch}, 0.0)
    announcer.tell({"porch": porch, "yard": CameraView([], (), [])}, 0.1)
    assert any(name.startswith("yard_") for name in platforms(notes.payloads[config]))
    announcer.tell({"porch": porch}, 0.2)
    assert notes.payloads["edgerun/porch-pi/yard/state"] == b""
    announcer.tell({"porch": CameraView([*porch.counts][1:], (), zones[1:])}, 0.3)
    assert notes.payloads["edgerun/porch-pi/porch/zone0/person"] == b""


def test_what_the_broker_was_not_told_to_forget_is_told_by_the_next_run(tmp_path: Path) -> None:
    """It was away all the time of the run in which a camera went. What is there again stays."""
    run(tmp_path, home_assistant=False)
    left = {"porch": CAMERAS["porch"]}
    gone = [one for one in run(tmp_path, cameras=left, home_assistant=False, broker=False).told if not one[1]]
    assert ("edgerun/porch-pi/yard/state", False) in gone
    for broker in (False, True):
        told = run(tmp_path, cameras=left, home_assistant=False, broker=broker).told
        assert sorted(one for one in told if not one[1]) == sorted(gone)
    assert all(there for _, there in run(tmp_path, cameras=left, home_assistant=False).told)


def test_what_is_told_by_now_is_not_taken_away() -> None:
    retained = Retained()
    retained.set(Message("edgerun/porch-pi/yard/state", b"{}", retain=True))
    assert not retained.withdraw("edgerun/porch-pi/yard/state")
    assert retained.withdraw("edgerun/porch-pi/gate/state")
    assert retained.leaving() == ("edgerun/porch-pi/gate/state",)
    sent = [retained.take() for _ in range(2)]
    assert [(one.topic, one.payload) for one in sent if one] == [
        ("edgerun/porch-pi/yard/state", b"{}"),
        ("edgerun/porch-pi/gate/state", b""),
    ]
    assert sent[1] is not None
    retained.arrived(sent[1])
    assert retained.leaving() == ()


def test_a_disk_that_refuses_holds_nothing_up(tmp_path: Path) -> None:
    assert len(run(tmp_path / "not there").told) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b"[" * 100_000,
        b'{"counts": 3}',
        b'{"base": 1, "counts": {}}',
        b'{"base": "edgerun/porch-pi", "discovery": "", "counts": {"porch": [["path", 1]]}}',
    ],
    ids=["empty", "binary", "list", "deep", "number", "base", "label"],
)
def test_a_memory_that_is_damaged_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "announced.json").write_bytes(content)
    assert ("homeassistant/device/edgerun_porch-pi/config", True) in run(tmp_path).told
