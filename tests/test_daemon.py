"""The daemon as a whole: a real process, real cameras, a real broker, and what a user and a service manager see."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from edgerun.images import jpeg, to_bgr
from edgerun.schemas import PAYLOADS
from edgerun.sources.file import File, FileOptions
from edgerun.stages import Feed
from tests.daemon_process import CLIP, MODEL, NOBODY, DaemonProcess, wait_for
from tests.outages import Durations, Outages, camera, clip
from tests.servers import RtspServer, needs_rtsp_server
from tests.servers.mosquitto import Mosquitto, free_port, needs_mosquitto, write_passwords
from tests.subscriber import Subscriber

"""A broker that is not there."""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as broker:
        yield broker


def config(port: int, **cameras: Any) -> dict[str, Any]:
    return {"device": "pi", "mqtt": {"host": "127.0.0.1", "port": port}, "cameras": cameras}


def kind_of(topic: str) -> str:
    """Which schema the payload at a topic has."""
    match topic.split("/")[2:]:
        case ["status" | "state" | "ack" as kind]:
            return kind
        case [_, "state"]:
            return "camera_state"
        case [_, "alerts"]:
            return "alert"
        case [_, "detections" | "snapshot" as kind] | [_, "alerts", "gaps" as kind]:
            return kind
        case [_, "alerts", "last"]:
            return "last_alert"
        case [_, _, _]:
            return "occupancy"
        case _:
            pytest.fail(f"nobody announced the topic {topic}")


def closed(schema: Any) -> Any:
    """The same where nothing may be said that is not described."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    shut = {"additionalProperties": False} if schema.get("additionalProperties") is True else {}
    return {key: closed(value) for key, value in schema.items()} | shut


def check_schemas(messages: list[tuple[str, bytes]]) -> set[str]:
    """Every message keeps to the schema that the package publishes, which describes all of it. The kinds that were
    there."""
    validators = {kind: Draft202012Validator(closed(schema)) for kind, schema in PAYLOADS.items()}
    seen = set()
    for topic, payload in messages:
        kind = kind_of(topic)
        seen.add(kind)
        if payload and kind not in ("status", "snapshot"):
            validators[kind].validate(json.loads(payload))
    return seen


@pytest.mark.broker
@needs_mosquitto
@needs_rtsp_server
def test_no_alert_is_missing_whatever_fails(tmp_path: Path) -> None:
    """The broker goes away, the engine is killed, the RTSP server goes away, the daemon is killed."""
    tale = Outages(tmp_path, Durations(broker_s=3, rtsp_s=3, calm_s=0.5)).run()
    assert tale.missing == set()
    assert tale.holes == {}
    assert tale.disordered == []
    assert tale.repeats <= 16
    assert tale.camera_states == ["offline", "ok", "offline", "ok", "offline", "ok"]
    assert tale.statuses == ["online", "offline", "online", "offline", "online", "offline"]
    assert "SIGKILL" in tale.engine_reason
    assert "Traceback" not in tale.log
    assert {"alert", "last_alert", "detections", "state", "camera_state", "occupancy"} <= check_schemas(tale.messages)


@needs_rtsp_server
def test_the_service_manager_is_told_the_truth(tmp_path: Path) -> None:
    """READY once a first frame was inferred and not before; WATCHDOG from the start; STOPPING, and a quick end."""
    server = RtspServer()
    server.start()
    server.stop()
    slow = {**config(1, gate=camera({"type": "rtsp", "url": server.url})), "mqtt": NOBODY}
    with DaemonProcess(tmp_path, slow) as daemon:
        daemon.start()
        wait_for(lambda: daemon.said("camera gate is offline"), 20, daemon.log)
        assert len(daemon.noted("WATCHDOG=1")) > 2
        assert not daemon.noted("READY=1")
        assert "no frame has been looked at yet" in daemon.health()["wrong"]
        with server:
            wait_for(lambda: daemon.noted("READY=1"), 30, daemon.log)
            assert daemon.health()["cameras"]["gate"]["state"] == "ok"
            asked = time.monotonic()
            assert daemon.stop(5) == 0
        (stopping,) = wait_for(lambda: daemon.noted("STOPPING=1"), 1, "STOPPING=1")
        assert stopping > asked
        assert not daemon.said("Traceback")


def test_two_do_not_share_their_state(tmp_path: Path) -> None:
    """The second one ends before it has touched anything; nobody else may read what is kept there."""
    wanted = {**config(1, gate=camera(clip())), "mqtt": NOBODY}
    state = tmp_path / "first" / "state"
    second_wanted = {**wanted, "device": "other", "state_dir": str(state)}
    with (
        DaemonProcess(tmp_path / "first", wanted) as first,
        DaemonProcess(tmp_path / "second", second_wanted) as second,
    ):
        first.ready()
        wait_for((state / "announced.json").exists, 10, "what the first one notes last")
        before = sorted(path.name for path in state.iterdir())
        second.start()
        assert second.wait(20) == 1
        assert second.said(f"another edgerun keeps its state in {state}: stop it first") == 1
        assert first.health()["outbox"]["degraded"] is False
        assert sorted(path.name for path in state.iterdir()) == before
        assert not [path for path in state.iterdir() if path.stat().st_mode & 0o077]
        assert first.stop() == 0
        second.start()
        wait_for(lambda: second.noted("READY=1"), 30, second.log)
        assert second.stop() == 0


def test_it_is_ready_without_a_camera(tmp_path: Path) -> None:
    """All are out of service; a reload may bring them back."""
    off = config(1, gate=camera(clip(), enabled=False))
    with DaemonProcess(tmp_path, {**off, "mqtt": NOBODY}) as daemon:
        daemon.ready()
        assert daemon.noted("no camera is enabled")
        reload(daemon, {**config(1, gate=camera(clip())), "mqtt": NOBODY})
        wait_for(lambda: "gate" in daemon.health()["cameras"], 10, daemon.log)
        assert daemon.stop() == 0


def test_it_stops_at_once_while_the_model_loads(tmp_path: Path) -> None:
    """A hanging accelerator holds no shutdown up."""
    with DaemonProcess(tmp_path, config(1, gate=camera(clip())), program="tests.faulty_daemon") as daemon:
        daemon.environ["FAULT"] = "hang while loading"
        daemon.start()
        wait_for(lambda: daemon.noted("WATCHDOG=1") and daemon.engines(), 20, daemon.log)
        assert [worker["reason"] for worker in daemon.health()["workers"]] == ["starting"]
        assert daemon.stop(5) == 0
        assert not daemon.noted("READY=1")
        assert not daemon.said("Traceback")


def test_a_model_that_never_loads_is_told_with_the_time_it_had(tmp_path: Path) -> None:
    asked = {**config(1, gate=camera(clip())), "mqtt": NOBODY, "model": {"start_s": 0.75}}
    with DaemonProcess(tmp_path, asked, program="tests.faulty_daemon") as daemon:
        daemon.environ["FAULT"] = "hang while loading"
        daemon.start()
        assert daemon.wait(30) == 1
        assert daemon.said("is not served after 0.75 s"), daemon.log()


def test_one_more_worker_comes_where_one_does_not_keep_up(tmp_path: Path) -> None:
    """And the next start begins with both."""
    asked = {**config(1, gate=camera(clip(), fps=10, regions={"mode": "off"})), "mqtt": NOBODY}
    with DaemonProcess(tmp_path, asked, program="tests.faulty_daemon") as daemon:
        daemon.environ |= {"FAULT": "slow engine", "XDG_CACHE_HOME": str(tmp_path / "cache")}
        daemon.ready()
        assert len(daemon.health()["workers"]) == 1
        wait_for(lambda: daemon.health()["cameras"]["gate"]["overloaded"], 30, daemon.log)
        wait_for(lambda: [one["serving"] for one in daemon.health()["workers"]] == [True, True], 30, daemon.log)
        wait_for(lambda: not daemon.health()["cameras"]["gate"]["overloaded"], 40, daemon.log)
        assert daemon.health()["healthy"] or daemon.health()["wrong"][0].startswith("not connected")
        assert daemon.stop() == 0
        daemon.ready()
        assert len(daemon.health()["workers"]) == 2


def test_a_deadlocked_loop_stops_the_pings(tmp_path: Path) -> None:
    """The service manager then kills and restarts the daemon; before, `edgerun health` names the loop."""
    with DaemonProcess(tmp_path, config(1, gate=camera(clip())), program="tests.faulty_daemon") as daemon:
        daemon.environ |= {"FAULT": "deadlock in delivery", "SILENCE_S": "3"}
        daemon.ready()
        daemon.signal(signal.SIGUSR1)
        stuck = wait_for(lambda: daemon.health()["stuck"], 25, daemon.log)
        assert stuck == ["delivery"]
        pings = len(daemon.noted("WATCHDOG=1"))
        time.sleep(1.5)
        assert len(daemon.noted("WATCHDOG=1")) <= pings + 1
        assert not daemon.health()["healthy"]


POEM = "roses are red, violets are blue\n" * 40


def wrong_models(folder: Path) -> dict[str, tuple[dict[str, Any], str]]:
    """What may stand under ``model:``, and what is said of it."""
    (folder / "poem.tflite").write_text(POEM)
    shutil.copy(MODEL, folder / "good.tflite")
    return {
        "poem": ({"path": f"{folder}/poem.tflite"}, "no TensorFlow Lite model"),
        "no labels": ({"path": f"{folder}/good.tflite", "labels": f"{folder}/none.txt"}, "none.txt cannot be read"),
        "other engine": ({"engine": "edgetpu", "fallback": False}, "not compiled for the Edge TPU"),
    }


@pytest.mark.parametrize("case", ["poem", "no labels", "other engine"])
def test_a_wrong_model_is_refused_in_one_line(tmp_path: Path, case: str) -> None:
    choice, words = wrong_models(tmp_path)[case]
    with DaemonProcess(tmp_path, {**config(1, gate=camera(clip())), "model": choice}) as daemon:
        daemon.start()
        assert daemon.wait(30) == 78
        last = [line for line in daemon.log().splitlines() if line.startswith("edgerun: ")]
        assert len(last) == 1, daemon.log()
        assert words in last[0]
        assert not daemon.said("Traceback")
        assert not daemon.noted("READY=1")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"state_dir": "/proc/none"}, "the folder /proc/none for lasting state cannot be made"),
        ({"cameras": {"gate": camera(clip(), labels=["unicorn"])}}, "the model does not know the label 'unicorn'"),
    ],
    ids=["state_dir", "label"],
)
def test_a_wrong_configuration_is_refused_in_one_line(tmp_path: Path, more: dict[str, Any], words: str) -> None:
    with DaemonProcess(tmp_path, {**config(1, gate=camera(clip())), **more}) as daemon:
        daemon.start()
        assert daemon.wait(30) == 78
        assert daemon.said(words) == 1, daemon.log()
        assert not daemon.said("Traceback")


def test_labels_that_share_a_topic_are_told(tmp_path: Path) -> None:
    """At the start, as their counts go over each other; of a camera that counts nothing, or only one of them, not. And
    again when they are others, but not whenever the camera is started."""
    labels = tmp_path / "labels.txt"
    labels.write_text("person\ncar/van\ncar_van\ncar+van\n")
    two, three = ["person", "car/van", "car_van"], ["person", "car/van", "car_van", "car+van"]
    wanted = config(1, counts=camera(clip(), labels=two), one=camera(clip(), labels=["person", "car_van"]))
    wanted["cameras"]["none"] = {"source": clip(), "fps": 1}
    wanted["model"] = {"path": str(MODEL), "labels": str(labels), "head": "ssd_raw"}  # more labels than it knows
    with DaemonProcess(tmp_path / "daemon", wanted) as daemon:
        daemon.ready()
        assert daemon.said("camera counts: the labels 'car/van', 'car_van' share a topic")
        assert daemon.said("share a topic") == 1
        for again, (counted, times) in enumerate(((two, 1), (three, 2)), 1):
            wanted["cameras"]["counts"] = camera(clip(), fps=7 + again, labels=counted)
            reload(daemon, wanted)
            wait_for(lambda: daemon.said("cameras started again: counts") == again, 5, daemon.log)  # noqa: B023  used at once
            assert daemon.said("share a topic") == times
        assert daemon.stop() == 0


def test_what_fails_at_run_time_is_told_in_the_state(tmp_path: Path) -> None:
    """A clip that is none, a head that is not the model's, a broker that is not there: the rest goes on."""
    (tmp_path / "poem.mp4").write_text(POEM)
    bad = camera({"type": "file", "path": f"{tmp_path}/poem.mp4"})
    with DaemonProcess(tmp_path, config(1, good=camera(clip()), bad=bad)) as daemon:
        daemon.ready()
        health = wait_for(lambda: (found := daemon.health())["cameras"]["bad"]["reason"] and found, 10, daemon.log)
        assert health["cameras"]["bad"]["state"] == "offline"
        assert "not opened yet" in str(health) or "does not give a video" in str(health)
        wait_for(lambda: daemon.said("poem.mp4 does not give a video that can be decoded"), 10, daemon.log)
        assert "nothing listens at 127.0.0.1:1" in daemon.health()["mqtt"]["error"]
        assert daemon.health()["cameras"]["good"]["state"] == "ok"
        assert daemon.stop() == 0
        assert not daemon.said("Traceback")


def test_a_head_that_cannot_read_the_model_is_told(tmp_path: Path) -> None:
    with DaemonProcess(tmp_path, {**config(1, gate=camera(clip())), "model": {"head": "yolov8"}}) as daemon:
        daemon.start()
        wait_for(
            lambda: daemon.said(
                "camera gate: its frames are not looked at: the model's outputs cannot be read: yolov8"
            ),
            20,
            daemon.log,
        )
        wait_for(lambda: "yolov8 expects" in daemon.health()["cameras"]["gate"]["reason"], 5, daemon.log)
        assert not daemon.noted("READY=1")


@pytest.mark.broker
@needs_mosquitto
@pytest.mark.parametrize(
    ("settings", "login", "words"),
    [
        ("password_file {folder}/users\nallow_anonymous false", {}, "refuses a client without a user name"),
        (
            "password_file {folder}/users\nallow_anonymous false",
            {"username": "pi", "password": "wrong-canary"},
            "refuses the user 'pi' or its password",
        ),
    ],
    ids=["no login", "wrong password"],
)
def test_a_broker_that_refuses_is_told(tmp_path: Path, settings: str, login: dict[str, str], words: str) -> None:
    """And alerts wait meanwhile."""
    write_passwords(tmp_path / "users", {"pi": "right"})
    with Mosquitto(tmp_path / "broker", settings=settings.format(folder=tmp_path)) as broker:
        wanted = config(broker.port, gate=camera(clip()))
        wanted["mqtt"] |= login
        with DaemonProcess(tmp_path / "daemon", wanted) as daemon:
            daemon.ready()
            wait_for(lambda: words in daemon.health()["mqtt"]["error"], 10, daemon.log)
            wait_for(lambda: daemon.health()["outbox"]["depth"], 20, daemon.log)
            assert daemon.stop() == 0
            assert daemon.said(words) == 1
            assert not daemon.said("wrong-canary")
            assert not daemon.said("Traceback")


@pytest.mark.broker
@needs_mosquitto
def test_a_reload_touches_only_what_changed(tmp_path: Path, broker: Mosquitto) -> None:
    """And a file that cannot be served changes nothing and says why in the state."""
    before = config(broker.port, left=camera(clip()), right=camera(clip()))
    with Subscriber(broker.port) as subscriber, DaemonProcess(tmp_path / "daemon", before) as daemon:
        daemon.ready()
        subscriber.wait("/left/detections", 10)
        subscriber.wait("/right/detections", 10)

        changed = config(broker.port, left=camera(clip()), right=camera(clip(), fps=4))
        reload(daemon, changed)
        wait_for(lambda: daemon.said("cameras started again: right"), 5, daemon.log)
        assert subscriber.states("left") == ["offline", "ok"]
        wait_for(lambda: state(subscriber)["cameras"]["right"]["asked_fps"] == 4, 10, "what is asked for now")
        reload(daemon, {**changed, "metrics": {"enabled": True, "port": broker.port}})
        wait_for(lambda: state(subscriber)["metrics_error"], 10, "why there are no metrics")
        reload(daemon, changed)
        wait_for(lambda: not state(subscriber)["metrics_error"], 10, "that none are wanted")

        for wrong, words in (
            ("{]", "edgerun.yaml"),
            (json.dumps({**changed, "model": {"path": "/none.tflite"}}), "/none.tflite is not there"),
            (json.dumps({**changed, "cameras": {"left": camera(clip(), labels=["unicorn"])}}), "unicorn"),
        ):
            asked = time.monotonic()
            reload(daemon, wrong)
            wait_for(lambda: words in (reload_error(subscriber, asked) or ""), 10, daemon.log)  # noqa: B023  used at once
            assert {"left", "right"} == daemon.health()["cameras"].keys()
        seen = time.monotonic()
        subscriber.wait("/left/detections", 5, seen)
        subscriber.wait("/right/detections", 5, seen)

        reload(daemon, config(broker.port, left=camera(clip())))
        wait_for(lambda: daemon.health()["cameras"].keys() == {"left"}, 5, daemon.log)
        awake = camera(clip(), rules=[{"name": "night", "when": "enter", "zone": "path", "schedule": "20:00-06:00"}])
        reload(daemon, config(broker.port, left=awake))
        reload(daemon, {**config(broker.port, left=awake), "place": {"timezone": "Asia/Tokyo"}})
        wait_for(lambda: daemon.said("cameras started again: none; looked at anew: left") == 2, 5, daemon.log)
        assert daemon.health()["reload_error"] == ""
        wait_for(lambda: subscriber.on("/right/state")[-1].payload == b"", 5, "the retained state taken back")
        assert daemon.stop() == 0
        assert not daemon.said("Traceback")


def test_a_camera_is_told_its_patience_and_priority_while_it_looks(tmp_path: Path) -> None:
    """Neither says anything of how it is opened: it stays connected."""
    (tmp_path / "still").mkdir()
    (tmp_path / "still" / "1.jpg").write_bytes(jpeg(np.full((48, 64, 3), 99, np.uint8)))
    source = {"type": "images", "path": str(tmp_path / "still"), "rate_fps": 10, "loop": True}
    patient = {**camera(source), "frozen_s": 0}
    with DaemonProcess(tmp_path / "daemon", config(1, still=patient)) as daemon:
        daemon.ready()
        assert daemon.health()["cameras"]["still"]["state"] == "ok"
        reload(daemon, config(1, still={**patient, "frozen_s": 0.5, "stalled_s": 9, "stuck_s": 90, "priority": 9}))
        wait_for(lambda: daemon.health()["cameras"]["still"]["state"] == "frozen", 10, daemon.log)
        assert daemon.said("cameras started again: none; looked at anew: none")


@pytest.mark.broker
@needs_mosquitto
def test_cameras_go_on_when_only_the_way_out_changes(tmp_path: Path, broker: Mosquitto) -> None:
    """Another name, other options of the broker, copies at the standard output, another place where no rule has a
    schedule: whoever is in a zone does not enter it again, what has begun ends as what began, no alert is missing, and
    the counts are told anew."""
    gate = camera(
        clip(),
        zones={"all": {"polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}},
        rules=[
            {"name": "somebody", "when": "count", "zone": "all", "at_least": 1},
            {"name": "comes", "when": "enter", "zone": "all"},
        ],
        lines={},
    )
    wanted = config(broker.port, gate=gate)
    with Subscriber(broker.port) as subscriber, DaemonProcess(tmp_path / "daemon", wanted) as daemon:
        daemon.ready()
        start = subscriber.wait("/gate/alerts", 20, rule="somebody", type="start")
        reload(daemon, {**wanted, "outbox": {"max_mb": 8}})
        wanted |= {"device": "porch", "stdout": {}, "place": {"timezone": "Asia/Tokyo"}}
        wanted["mqtt"] |= {"client_id": "another", "keepalive_s": 30}
        reload(daemon, wanted)
        assert daemon.said("cameras started again: none; looked at anew: none") == 2
        subscriber.wait("edgerun/porch/gate/detections", 10)
        subscriber.wait("edgerun/porch/gate/all/person", 10)
        assert {found.json["state"] for found in subscriber.on("/gate/state") if found.payload} <= {"offline", "ok"}
        wanted["cameras"] = {"door": camera(clip(), fps=1)}
        reload(daemon, wanted)
        end = subscriber.wait("edgerun/porch/gate/alerts", 10, rule="somebody", type="end")
        assert end.json["alert"] == start.json["alert"]
        assert end.json["device"] == "porch"
        told = [alert for alert in subscriber.alerts() if alert["camera"] == "gate"]
        assert [alert["seq"] for alert in told] == list(range(1, 1 + len(told)))
        entered = [alert["objects"][0]["track_id"] for alert in told if alert["rule"] == "comes"]
        assert len(entered) == len(set(entered)) > 0, "somebody entered twice"
        assert [alert["type"] for alert in told if alert["rule"] == "somebody"] == ["start", "end"]
        assert daemon.stop() == 0
        assert not daemon.said("Traceback")


@pytest.mark.broker
@needs_mosquitto
@needs_rtsp_server
def test_a_camera_keeps_its_connection_while_it_is_tuned(tmp_path: Path, broker: Mosquitto) -> None:
    """Who draws zones and writes rules sees at once what they do: nothing is opened anew, what began by a rule that is
    gone ends, and so does what was told of a zone that is gone."""
    everywhere = {"polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}
    with RtspServer(CLIP) as server, Subscriber(broker.port) as subscriber:
        source = {"type": "rtsp", "url": server.url}
        before = camera(source, zones={"old": everywhere}, rules=[count_in("old")], lines={})
        after = camera(source, zones={"new": everywhere}, rules=[count_in("new")], lines={}, labels=["person"])
        with DaemonProcess(tmp_path / "daemon", config(broker.port, gate=before)) as daemon:
            daemon.ready()
            start = subscriber.wait("/gate/alerts", 20, zone="old", type="start")
            subscriber.wait("/gate/old/person", 10)
            tuned = time.monotonic()
            reload(daemon, config(broker.port, gate=after))
            assert daemon.said("cameras started again: none; looked at anew: gate")
            end = subscriber.wait("/gate/alerts", 10, zone="old", type="end")
            assert end.json["alert"] == start.json["alert"]
            subscriber.wait("/gate/alerts", 20, tuned, zone="new", type="start")
            wait_for(lambda: subscriber.on("/gate/old/person")[-1].payload == b"", 10, "the zone that is gone")
            assert subscriber.on("/gate/new/person", tuned)
            assert subscriber.states("gate")[-1] == "ok"
            assert not set(subscriber.states("gate", tuned)) - {"ok"}
            assert daemon.health()["cameras"]["gate"]["reconnects"] == 0
            assert daemon.stop() == 0
            assert not daemon.said("Traceback")


@pytest.mark.broker
@needs_mosquitto
def test_who_was_there_before_a_reload_does_not_come_again(tmp_path: Path, broker: Mosquitto) -> None:
    """While rules and zones come, change and go: ids stay, nobody enters where they were, what is told as before lasts,
    and only the rule that was changed ends."""
    everywhere = {"polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}
    comes = {"name": "comes", "when": "enter", "zone": "all"}
    appears = {"name": "appears", "when": "enter", "zone": "new"}
    once = {"name": "once", "when": "dwell", "zone": "all", "seconds": 0.5, "cooldown_s": 600}
    long = {"name": "long", "when": "dwell", "zone": "all", "seconds": 0.7}
    before = camera(clip(), zones={"all": everywhere}, lines={}, rules=[comes, count_in("all"), once, long])
    after = camera(
        clip(),
        zones={"new": everywhere, "all": everywhere},
        rules=[appears, {**long, "seconds": 1.0}, once, count_in("all"), comes],
        tracker={"memory_s": 2.0},
        ground={"points": [[0, 0], [1, 0], [1, 1], [0, 1]], "meters": [[0, 0], [9, 0], [9, 9], [0, 9]]},
    )
    with (
        Subscriber(broker.port) as subscriber,
        DaemonProcess(tmp_path / "daemon", config(broker.port, gate=before)) as daemon,
    ):
        daemon.ready()
        some = subscriber.wait("/gate/alerts", 20, zone="all", kind="count")
        ended = subscriber.wait("/gate/alerts", 20, rule="long", type="start")
        known = {alert["objects"][0]["track_id"] for alert in subscriber.alerts() if alert["rule"] == "comes"}
        reload(daemon, config(broker.port, gate=after))
        tuned = time.monotonic()
        subscriber.wait("/gate/alerts", 10, rule="long", type="end", alert=ended.json["alert"])
        again = subscriber.wait("/gate/alerts", 10, tuned, rule="long", type="start")
        assert again.json["objects"][0]["track_id"] in known
        subscriber.wait("/gate/new/person", 10, tuned)
        assert daemon.said("cameras started again: none; looked at anew: gate")
        assert daemon.stop() == 0
        for rule in ("once", count_in("all")["name"]):
            subscriber.wait("/gate/alerts", 10, rule=rule, type="end")
        told = subscriber.alerts()
        comers = {
            rule: [alert["objects"][0]["track_id"] for alert in told if alert["rule"] == rule]
            for rule in ("comes", "appears")
        }
        assert len(comers["comes"]) == len({*comers["comes"]})
        assert known.isdisjoint(comers["appears"])
        assert [alert["type"] for alert in told if alert["rule"] == "once"] == ["start", "end"]
        counts = [(alert["type"], alert["alert"]) for alert in told if alert["kind"] == "count"]
        assert counts == [("start", some.json["alert"]), ("end", some.json["alert"])]
        assert not daemon.said("Traceback")


@pytest.mark.broker
@needs_mosquitto
def test_a_score_that_is_tuned_needs_no_other_model_and_no_other_connection(tmp_path: Path, broker: Mosquitto) -> None:
    """A reload that changes it goes over what was commanded; any other leaves that."""
    wanted = config(broker.port, gate=camera(clip()))
    wanted["mqtt"]["commands"] = ["set"]
    with Subscriber(broker.port) as subscriber, DaemonProcess(tmp_path / "daemon", wanted) as daemon:
        daemon.ready()
        before = daemon.engine()
        subscriber.wait("/gate/state", 10, score=0.5)
        subscriber.publish("edgerun/pi/cmd/set", b'{"score": 0.3}')
        subscriber.wait("/gate/state", 10, score=0.3)
        reload(daemon, {**wanted, "cameras": {"gate": camera(clip(), rules=[])}})
        seen = time.monotonic()
        subscriber.wait("/gate/detections", 10, seen)
        reload(daemon, {**wanted, "model": {"score": 0.9}})
        subscriber.wait("/gate/state", 10, seen, score=0.9)
        assert 0.5 not in {found.json["score"] for found in subscriber.on("/gate/state", seen)}
        assert daemon.said("cameras started again: none; looked at anew: gate") == 2
        assert daemon.engine() == before
        assert state(subscriber)["rollout"]["state"] == ""
        assert daemon.stop() == 0
        assert not daemon.said("Traceback")


@pytest.mark.broker
@needs_mosquitto
def test_a_camera_that_is_opened_anew_is_the_same_camera(tmp_path: Path, broker: Mosquitto) -> None:
    """For other frames a second, or for another file of the model: whoever stands before it does not come again, and
    what lasts goes on. From another source, or with a model of other things, all begin anew."""
    everywhere = {"polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}
    rules = [{"name": "comes", "when": "enter", "zone": "all"}, count_in("all")]
    picture = jpeg(to_bgr(next(File(FileOptions(path=str(CLIP)), Feed("gate", 0)).frames())))
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "1.jpg").write_bytes(picture)
    for label in ("person", "somebody"):
        (tmp_path / label).write_text(label)
    shutil.copy(MODEL, tmp_path / "other.tflite")
    with Subscriber(broker.port) as subscriber, DaemonProcess(tmp_path / "daemon", {}) as daemon:

        def wanted(fps: int, label: str = "", place: str = "here") -> dict[str, Any]:
            still = {"type": "images", "path": str(tmp_path / place), "rate_fps": 10, "loop": True}
            gate = camera(still, zones={"all": everywhere}, lines={}, rules=rules, fps=fps)
            labels = {"path": str(tmp_path / "other.tflite"), "labels": str(tmp_path / label), "rollout": "force"}
            state_dir = str(tmp_path / "state")
            return {**config(broker.port, gate=gate), "model": labels if label else {}, "state_dir": state_dir}

        def told() -> tuple[int, list[str]]:
            """How often at most a track of the same id came, and what was said of whether somebody is there."""
            alerts = subscriber.alerts()
            came = Counter(alert["objects"][0]["track_id"] for alert in alerts if alert["rule"] == "comes")
            return max(came.values()), [alert["type"] for alert in alerts if alert["kind"] == "count"]

        daemon.write(wanted(5))
        daemon.ready()
        subscriber.wait("/gate/alerts", 20, rule="comes")
        subscriber.wait("/gate/alerts", 20, kind="count")
        for again in (wanted(4), wanted(4, "person")):
            reload(daemon, again)
            since = time.monotonic()
            wait_for(lambda: len(subscriber.on("/gate/detections", since)) > 20, 20, daemon.log)  # noqa: B023  at once
            assert told() == (1, ["start"])
        for number, again in enumerate((wanted(4, "somebody"), wanted(4, "somebody", "there")), 2):
            reload(daemon, again)
            wait_for(lambda: told() == (number, ["start", *["end", "start"] * (number - 1)]), 20, told)  # noqa: B023  at once
        assert daemon.said("cameras started again: gate; looked at anew: none") == 4
        assert daemon.stop() == 0
        assert not daemon.said("Traceback")


def count_in(zone: str) -> dict[str, Any]:
    return {"name": f"somebody in {zone}", "when": "count", "zone": zone, "at_least": 1}


def reload(daemon: DaemonProcess, wanted: dict[str, Any] | str) -> None:
    """Write the file, send SIGHUP, wait until the daemon is done with it."""
    if isinstance(wanted, str):
        daemon.config.write_text(wanted)
    else:
        daemon.write(wanted)
    before = len(daemon.notes)
    daemon.signal(signal.SIGHUP)
    wait_for(lambda: "READY=1" in str(daemon.notes[before:]), 20, daemon.log)
    assert "RELOADING=1\nMONOTONIC_USEC=" in "\n".join(text for _, text in daemon.notes[before:])


def state(subscriber: Subscriber) -> dict[str, Any]:
    """What the device said of itself last."""
    found: dict[str, Any] = subscriber.on("pi/state")[-1].json
    return found


def reload_error(subscriber: Subscriber, since: float) -> str:
    states = subscriber.on("pi/state", since)
    return str(states[-1].json["reload_error"]) if states else ""


def test_reloads_leave_nothing_behind(tmp_path: Path) -> None:
    """Descriptors and threads are as many after many reloads as before, valid ones and others."""
    wanted = config(1, gate=camera(clip()))
    with DaemonProcess(tmp_path, wanted) as daemon:
        daemon.ready()
        reload(daemon, {**wanted, "cameras": {"gate": camera(clip(), fps=6)}})
        wait_for(lambda: "engine-trial" not in daemon.threads(), 10, daemon.log)  # it comes once, and goes
        before = daemon.descriptors(), daemon.threads()
        for turn in range(4):
            reload(daemon, "{]" if turn % 2 else {**wanted, "cameras": {"gate": camera(clip(), fps=4 + turn)}})
        wait_for(lambda: (daemon.descriptors(), daemon.threads()) == before, 10, lambda: (before, daemon.threads()))
        assert daemon.stop() == 0
        assert not daemon.said("Traceback")


@pytest.mark.broker
@needs_mosquitto
def test_a_device_leaves_nothing_under_the_name_that_it_had(tmp_path: Path, broker: Mosquitto) -> None:
    """Nor below the prefix that it had; whether it was given another by a reload or while it was not running."""
    below = "edgerun/pi"

    def told() -> set[str]:
        with Subscriber(broker.port, topic="#", name="late", session_s=0) as late:
            late.publish(f"{below}/asked")  # comes behind all that is retained
            late.wait("/asked", 5)
            return {found.topic for found in late.arrivals if found.payload}

    def elsewhere() -> list[str]:
        return [topic for topic in told() if not topic.startswith(f"{below}/")]

    wanted = {**config(broker.port, gate=camera(clip())), "state_dir": str(tmp_path / "state")}
    with DaemonProcess(tmp_path / "daemon", wanted) as daemon:
        daemon.ready()
        wait_for(lambda: {"edgerun/pi/gate/snapshot", "edgerun/pi/gate/alerts/last"} <= told(), 20, told)
        below = "edgerun/porch"
        wanted["device"] = "porch"
        reload(daemon, wanted)
        wait_for(lambda: not elsewhere(), 10, elsewhere)
        below = "home/porch"
        wanted["mqtt"]["prefix"] = "home"
        assert daemon.stop() == 0
        daemon.write(wanted)
        daemon.ready()
        wait_for(lambda: not elsewhere(), 10, elsewhere)
        assert "home/porch/gate/state" in told()
        assert not daemon.said("Traceback")


def test_a_state_dir_that_was_changed_back_needs_no_restart(tmp_path: Path) -> None:
    wanted = config(1, gate=camera(clip()))
    with DaemonProcess(tmp_path, {**wanted, "state_dir": str(tmp_path / "state")}) as daemon:
        daemon.ready()
        for folder in ("elsewhere", "state"):
            reload(daemon, {**wanted, "state_dir": str(tmp_path / folder)})
        assert daemon.said("state_dir is taken over when the daemon is started the next time") == 1


@pytest.mark.broker
@needs_mosquitto
def test_where_a_reload_moved_to_is_known_though_the_end_comes_at_once(tmp_path: Path, broker: Mosquitto) -> None:
    """Something is retained there already, which the next run takes away should it tell elsewhere."""
    wanted = {**config(broker.port, gate=camera(clip())), "state_dir": str(tmp_path)}
    with DaemonProcess(tmp_path / "daemon", wanted) as daemon:
        daemon.ready()
        daemon.write({**wanted, "device": "moved"})
        daemon.signal(signal.SIGHUP)
        wait_for(lambda: daemon.said("was reloaded"), 20, daemon.log)
        assert daemon.stop() == 0
    assert json.loads((tmp_path / "announced.json").read_bytes())["base"] == "edgerun/moved"


@pytest.mark.broker
@needs_mosquitto
def test_another_broker_by_reload(tmp_path: Path, broker: Mosquitto) -> None:
    """Alerts that were accepted before reach the new one."""
    with (
        Subscriber(broker.port) as subscriber,
        DaemonProcess(tmp_path / "daemon", config(free_port(), gate=camera(clip()))) as daemon,
    ):
        daemon.ready()
        wait_for(lambda: daemon.health()["outbox"]["depth"] >= 2, 20, daemon.log)
        reload(daemon, config(broker.port, gate=camera(clip())))
        wait_for(lambda: len(subscriber.alerts()) >= 3, 20, daemon.log)
        assert subscriber.by_camera()["gate"][:3] == [1, 2, 3]
        assert daemon.stop() == 0
