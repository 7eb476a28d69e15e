"""What a person at Home Assistant can make a running daemon do, and what a stranger at the broker cannot."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.daemon_process import DaemonProcess, wait_for
from tests.outages import camera, clip
from tests.servers.http_camera import HttpCamera, SilentServer
from tests.servers.mosquitto import Mosquitto, needs_mosquitto
from tests.subscriber import Subscriber

pytestmark = [pytest.mark.broker, needs_mosquitto]

BASE = "edgerun/pi"


def config(port: int) -> dict[str, Any]:
    mqtt = {"host": "127.0.0.1", "port": port, "home_assistant": True, "commands": True}
    return {"device": "pi", "mqtt": mqtt, "model": {"score": 1}, "cameras": {"gate": camera(clip())}}


def test_the_entities_of_home_assistant_work(tmp_path: Path) -> None:
    """Each is used as its announcement says: the switch, the slider, the event; nothing else is known of topics."""
    with (
        Mosquitto(tmp_path / "broker") as broker,
        Subscriber(broker.port, topic="#") as home,
        DaemonProcess(tmp_path / "daemon", config(broker.port)) as daemon,
    ):
        daemon.ready()
        found = home.wait("homeassistant/device/edgerun_pi/config", 10).json["components"]
        looking, score, event = found["gate_looking"], found["gate_score"], found["gate_alert"]

        home.wait(looking["state_topic"], 10, state="ok", score=1)
        home.publish(looking["command_topic"], looking["payload_off"].encode())
        paused = home.wait(looking["state_topic"], 10, state="paused").at
        home.publish(f"{BASE}/cmd/snapshot")
        assert "every camera is paused" in home.wait("/ack", 10, paused, verb="snapshot").json["error"]
        home.publish(looking["command_topic"], looking["payload_on"].encode())
        home.wait(looking["state_topic"], 10, paused, state="ok")

        assert not followed(home), "nobody scores so high"
        home.publish(score["command_topic"], score["command_template"].replace("{{ value }}", "0.35").encode())
        home.wait(score["state_topic"], 10, score=0.35)
        wait_for(lambda: followed(home), 20, "somebody who is followed")

        home.publish(f"{BASE}/cmd/test_alert")
        kind = home.wait(event["state_topic"], 10, rule="test_alert").json["kind"]
        assert kind in event["event_types"]
        assert all(found.json["ok"] for found in home.on("/ack") if found.json["verb"] != "snapshot")
        assert daemon.stop() == 0


def test_whoever_switches_a_camera_off_that_is_away_sees_it_off(tmp_path: Path) -> None:
    """Home Assistant puts a switch back whose state does not follow, though the camera is paused once it is back."""
    with SilentServer() as silent, Mosquitto(tmp_path / "broker") as broker, Subscriber(broker.port, topic="#") as home:
        source = {"type": "http", "url": f"http://{silent.address}/", "timeout_s": 1}
        wanted = config(broker.port) | {"cameras": {"gate": {"source": source}, "yard": camera(clip())}}
        with DaemonProcess(tmp_path / "daemon", wanted) as daemon:
            daemon.ready()
            home.wait("/gate/state", 10, state="offline", paused=False)
            switch = home.wait("homeassistant/device/edgerun_pi/config", 10).json["components"]["gate_looking"]
            home.publish(switch["command_topic"], switch["payload_off"].encode())
            off = home.wait("/gate/state", 10, state="offline", paused=True)
            home.publish(switch["command_topic"], switch["payload_on"].encode())
            home.wait("/gate/state", 10, off.at, state="offline", paused=False)
            assert "value_json.paused" in switch["value_template"]
            assert daemon.stop() == 0


def test_a_reload_ends_no_pause(tmp_path: Path) -> None:
    """Whoever paused a camera did so for a reason that the configuration knows nothing of."""
    with (
        Mosquitto(tmp_path / "broker") as broker,
        Subscriber(broker.port) as home,
        DaemonProcess(tmp_path / "daemon", wanted := config(broker.port)) as daemon,
    ):
        daemon.ready()
        home.publish(f"{BASE}/cmd/pause", b'{"camera": "gate"}')
        home.wait("/gate/state", 10, state="paused")
        slower = {"cameras": {"gate": camera(clip(), fps=4)}}
        daemon.write({"state_dir": str(daemon.folder / "state"), **wanted, **slower})
        home.publish(f"{BASE}/cmd/reload")
        wait_for(lambda: daemon.said("cameras started again: gate"), 20, daemon.log)
        wait_for(lambda: daemon.said("camera gate is paused") == 2, 10, daemon.log)
        assert daemon.said("camera gate is ok") == 1
        home.publish(f"{BASE}/cmd/resume")
        wait_for(lambda: daemon.said("camera gate is ok") == 2, 10, daemon.log)
        assert daemon.stop() == 0


def test_a_pause_is_kept_that_comes_while_a_reload_opens_the_cameras_anew(tmp_path: Path) -> None:
    """One camera tells when all are closed, one is slow to end, and the third is asked to pause in between."""
    closed = threading.Event()

    def watched(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "multipart/x-mixed-replace")
        request.end_headers()
        request.connection.recv(1)  # nothing is sent, so this is the end
        closed.set()

    with (
        Mosquitto(tmp_path / "broker") as broker,
        Subscriber(broker.port) as home,
        HttpCamera(watched) as telling,
        SilentServer() as silent,
        DaemonProcess(tmp_path / "daemon", {}) as daemon,
    ):
        slow = {"type": "rtsp", "url": f"rtsp://{silent.address}/stream", "open_timeout_s": 60}
        wanted = {"state_dir": str(daemon.folder / "state"), **config(broker.port)}
        wanted["cameras"]["slow"] = camera(slow)
        wanted["cameras"]["telling"] = camera({"type": "http", "url": telling.url, "timeout_s": 60})
        daemon.write(wanted)
        daemon.ready()
        wait_for(lambda: telling.requests, 10, daemon.log)
        daemon.write({**wanted, "model": {**wanted["model"], "deadline_s": 7, "rollout": "force"}})
        home.publish(f"{BASE}/cmd/reload")
        assert closed.wait(20), daemon.log()
        home.publish(f"{BASE}/cmd/pause")
        answered = home.wait("/ack", 20, verb="pause")
        assert answered.json["ok"]
        wait_for(lambda: daemon.said("cameras started again: gate"), 20, daemon.log)
        home.wait("/gate/state", 10, state="paused")
        assert daemon.stop() == 0


def followed(home: Subscriber) -> set[int]:
    """The ids of all tracks that were told of."""
    ids = {thing["track_id"] for found in home.on("/detections") for thing in found.json["objects"]}
    return ids - {None}


def test_a_stranger_achieves_nothing(tmp_path: Path) -> None:
    """Retained commands from before the start, other verbs, texts that are none, and more than is taken."""
    with (
        Mosquitto(tmp_path / "broker") as broker,
        Subscriber(broker.port) as stranger,
        DaemonProcess(tmp_path / "daemon", config(broker.port)) as daemon,
    ):
        stranger.publish(f"{BASE}/cmd/pause", retain=True)
        stranger.publish(f"{BASE}/cmd/set", b'{"score": 1.0}', retain=True)
        daemon.ready()
        began = time.monotonic()
        for payload in (b"\xff\xfe\x00", b"[" * 4000, b'{"score": %s}' % (b"9" * 3000), b"x" * 60_000, b"x" * 100_000):
            for verb in ("set", "pause", "shutdown"):
                stranger.publish(f"{BASE}/cmd/{verb}", payload)
        stranger.publish(f"{BASE}/status", b"offline", retain=True)
        stranger.publish("homeassistant/status", b"\xff" * 9000)
        stranger.wait("/status", 10, began)
        time.sleep(4)  # until the allowance of commands has grown again
        stranger.publish(f"{BASE}/cmd/pause", retain=True)
        stranger.publish(f"{BASE}/cmd/pause", b"", retain=True)  # taking it away again is no command, either
        stranger.publish(f"{BASE}/cmd/ping")
        assert stranger.wait("/ack", 10, began, verb="ping").json["ok"]
        refused = [json.loads(found.payload) for found in stranger.on("/ack", began)]
        assert not any(answer["ok"] for answer in refused if answer["verb"] != "ping")
        assert stranger.on("/status")[-1].payload == b"online"
        assert stranger.states("gate", began) in ([], ["ok"])
        assert stranger.wait("/detections", 10, began)
        assert daemon.health()["healthy"]
        assert daemon.stop() == 0
        assert not daemon.said("Traceback")
