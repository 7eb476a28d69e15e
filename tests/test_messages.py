"""What is published is valid JSON by its own schema, whatever labels, boxes and clocks there are."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from edgerun import messages
from edgerun.messages import DetectionsFormat
from edgerun.schemas import COMMANDS, PAYLOADS, asyncapi, mqtt_schemas
from edgerun.topics import Topics
from edgerun.types import Detections, Event, Gap, Message, Stamp, TrackedObject, Tracks

TOPICS = Topics("edgerun", "porch-pi")
STAMP = Stamp("porch", 42, 8.4, 1_795_327_080.123456, 640, 480)
UID = "0192f0c1-aaaa-7bbb-8ccc-0123456789ab"

numbers = st.floats(width=32, allow_nan=True, allow_infinity=True)
unit = st.floats(0, 1, width=32)
boxes = st.tuples(numbers, numbers, numbers, numbers)


def payload_of(message: Message, kind: str) -> Any:
    """The payload, checked against its schema."""
    payload = json.loads(message.payload, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    Draft202012Validator(PAYLOADS[kind]).validate(payload)
    return payload


def detections_message(labels: list[str], tracks: Tracks, zones: list[tuple[str, ...]], loose: Detections) -> Message:
    form = DetectionsFormat(TOPICS, "porch", labels, model='m"1', sha256="0" * 64, engine="tflite")
    return form.message(STAMP, tracks, zones, loose, inference_ms=12.3456, published=STAMP.wall + 0.05)


@given(st.lists(st.tuples(boxes, unit, st.text(min_size=1, max_size=12), st.lists(st.text(max_size=5))), max_size=6))
def test_detections_are_json_whatever_is_seen(seen: list[tuple[Any, float, str, list[str]]]) -> None:
    """Labels with quotes and other alphabets, boxes outside the frame and without numbers."""
    n = len(seen)
    xyxy = np.array([box for box, *_ in seen], np.float32).reshape(-1, 4)
    score = np.array([score for _, score, *_ in seen], np.float32)
    class_id = np.arange(n, dtype=np.int32)
    tracks = Tracks(xyxy, score, class_id, np.arange(n, dtype=np.int64), np.ones(n, np.bool_))
    labels = [label for *_, label, _ in seen]
    message = detections_message(labels, tracks, [tuple(z) for *_, z in seen], Detections(xyxy, score, class_id))
    objects = payload_of(message, "detections")["objects"]
    assert [thing["track_id"] for thing in objects] == [*range(n), *[None] * n]
    for thing, (_, score_in, label, zones) in zip(objects, seen + seen, strict=True):
        assert thing["label"] == label.encode("utf-8", "replace").decode()
        assert thing["score"] == pytest.approx(score_in, abs=5e-5)
        assert all(0 <= side <= 1 for side in thing["box"])
        if thing["track_id"] is not None:
            assert thing["zones"] == [zone.encode("utf-8", "replace").decode() for zone in zones]


def test_detections_say_all_that_was_promised() -> None:
    tracks = Tracks(
        np.array([[64, 48, 320, 240]], np.float32),
        np.array([0.87654321], np.float32),
        np.array([0], np.int32),
        np.array([7], np.int64),
        np.array([False]),
    )
    message = detections_message(["person"], tracks, [("path",)], Detections.empty())
    assert (message.topic, message.qos, message.retain) == ("edgerun/porch-pi/porch/detections", 0, False)
    assert message.expiry_s > 0
    assert payload_of(message, "detections") == {
        "schema": 1,
        "device": "porch-pi",
        "camera": "porch",
        "frame": 42,
        "captured": "2026-11-22T05:58:00.123456Z",
        "published": "2026-11-22T05:58:00.173456Z",
        "size": [640, 480],
        "model": {"name": 'm"1', "sha256": "0" * 64},
        "engine": "tflite",
        "inference_ms": 12.346,
        "objects": [
            {
                "track_id": 7,
                "label": "person",
                "score": 0.8765,
                "box": [0.1, 0.1, 0.5, 0.5],
                "zones": ["path"],
                "seen": False,
            }
        ],
    }


@pytest.mark.parametrize("labels", [["person"], ["person", "", "", "", "cat"]])
def test_a_class_without_a_label_is_named_by_its_number(labels: list[str]) -> None:
    """Beyond the last, or in a gap between numbered ones: an empty one would be an empty level of a topic."""
    found = Detections(np.zeros((1, 4), np.float32), np.ones(1, np.float32), np.array([3], np.int32))
    payload = payload_of(detections_message(labels, Tracks.empty(), [], found), "detections")
    assert payload["objects"][0]["label"] == "class 3"


@given(st.text(max_size=20), st.text(max_size=20), st.integers(1, 10**12), unit, boxes)
def test_an_alert_is_the_same_however_often_it_is_sent(
    label: str, rule: str, seq: int, score: float, box: tuple[float, float, float, float]
) -> None:
    """But for when it was sent and whether it was before."""
    event = Event(
        "enter", rule, "start", 3, STAMP, zone="path", objects=(TrackedObject(7, label, score, box),), count=1
    )
    body = messages.alert_body("porch-pi", event, uid=UID, alert=UID, seq=seq)
    first = messages.alert(TOPICS, "porch", body, published=STAMP.wall + 1, replayed=False)
    again = messages.alert(TOPICS, "porch", body, published=STAMP.wall + 90, replayed=True)
    last = messages.last_alert(TOPICS, "porch", body, published=STAMP.wall + 1)
    assert (first.topic, first.qos, first.retain) == ("edgerun/porch-pi/porch/alerts", 1, False)
    assert (last.topic, last.retain, last.payload) == ("edgerun/porch-pi/porch/alerts/last", True, first.payload)
    one, two = payload_of(first, "alert"), payload_of(again, "alert")
    assert (one.pop("replayed"), two.pop("replayed")) == (False, True)
    assert one.pop("published") < two.pop("published")
    assert one == two
    assert (one["type"], one["seq"], one["objects"][0]["zones"]) == ("start", seq, ["path"])


def test_states_and_answers_fit_their_schemas() -> None:
    gap = Gap(3, 9, 7, "evicted", STAMP.wall)
    report = {
        "version": "1",
        "since": messages.iso(STAMP.wall),
        "model": {"name": "m", "sha256": "0"},
        "engine": "tflite",
        "cameras": {"porch": {"state": "ok", "fps": 5.0}},
        "outbox": {"depth": 0, "unclaimed": 0, "evicted": 0},
    }
    dropped = {"late": 2, "busy": 1}
    payload_of(messages.state(TOPICS, report), "state")
    camera = messages.camera_state(
        TOPICS, "porch", "frozen", since=STAMP.wall, fps=4.987, dropped=dropped, score=0.5, paused=False
    )
    assert payload_of(camera, "camera_state")["dropped"] == 3
    assert payload_of(messages.gaps(TOPICS, "porch", [gap]), "gaps")["gaps"][0]["count"] == 7
    assert payload_of(messages.occupancy(TOPICS, "porch", "path", "person", 3), "occupancy") == 3
    assert payload_of(messages.ack("a/b", "ping"), "ack") == {"schema": 1, "verb": "ping", "ok": True, "error": ""}
    assert messages.status(TOPICS, online=False).payload == b"offline"


def test_everything_is_sent_as_the_schemas_say() -> None:
    """Where, with which QoS, and whether it is retained: those who come late rely on that."""
    event = Event("enter", "visitor", "instant", 3, STAMP, zone="path", objects=(), count=1)
    body = messages.alert_body("porch-pi", event, uid=UID, alert=UID, seq=1)
    sent = {
        "status": messages.status(TOPICS, online=True),
        "state": messages.state(TOPICS, {}),
        "camera_state": messages.camera_state(
            TOPICS, "porch", "ok", since=STAMP.wall, fps=5.0, dropped={}, score=0.5, paused=False
        ),
        "detections": detections_message([], Tracks.empty(), [], Detections.empty()),
        "alert": messages.alert(TOPICS, "porch", body, published=STAMP.wall, replayed=False),
        "last_alert": messages.last_alert(TOPICS, "porch", body, published=STAMP.wall),
        "gaps": messages.gaps(TOPICS, "porch", []),
        "occupancy": messages.occupancy(TOPICS, "porch", "path", "person", 1),
        "snapshot": messages.snapshot(TOPICS, "porch", b""),
        "ack": messages.ack(TOPICS.ack, "ping"),
    }
    places = {"prefix": "edgerun", "device": "porch-pi", "camera": "porch", "zone": "path", "label": "person"}
    published = mqtt_schemas()["published"].items()
    assert {kind: (one.topic, one.qos, one.retain) for kind, one in sent.items()} == {
        kind: (terms["topic"].format(**places), terms["qos"], terms["retain"]) for kind, terms in published
    }


@pytest.mark.parametrize("label", ["a/b", "a+b", "#", "a\0b", "a\x01b", "a\u2028b", "a\ufffeb", "a" * 70_000])
def test_a_label_cannot_leave_its_topic_level(label: str) -> None:
    topic = TOPICS.occupancy("porch", "path", label)
    assert topic.count("/") == 4
    assert not set(topic) & set("+#") and topic.isprintable()
    assert len(topic.encode()) < 65_536


def test_the_schemas_are_schemas() -> None:
    for schema in (*PAYLOADS.values(), *COMMANDS.values(), mqtt_schemas()):
        Draft202012Validator.check_schema(schema)


def test_the_asyncapi_document_hangs_together() -> None:
    """Every reference leads somewhere, every parameter of an address is described, and all topics are there."""
    document = asyncapi()

    def follow(reference: str) -> Any:
        place: Any = document
        for key in reference.removeprefix("#/").split("/"):
            place = place[key]
        return place

    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            return [node["$ref"]] if "$ref" in node else [r for value in node.values() for r in references(value)]
        return [r for value in node for r in references(value)] if isinstance(node, list) else []

    for reference in references(document):
        follow(reference)
    for channel in document["channels"].values():
        names = {level[1:-1] for level in channel["address"].split("/") if level.startswith("{")}
        assert names == set(channel["parameters"])
    assert document["channels"]["alert"]["address"] == "{prefix}/{device}/{camera}/alerts"
    assert len(document["operations"]) == len(PAYLOADS) + len(COMMANDS)
