"""What the daemon says of itself, and when."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from edgerun.logs import Redactor
from edgerun.runtime.cameras.camera_report import CameraReport
from edgerun.runtime.delivery.counts import DeliveryCounts
from edgerun.runtime.health.report import News, Report
from edgerun.runtime.health.vitals import Temperature, Vitals
from edgerun.runtime.inference.detector import Detector
from tests.daemon_process import DaemonProcess, wait_for
from tests.outages import camera, clip
from tests.servers.mosquitto import Mosquitto, needs_mosquitto

CAMERA = CameraReport(
    state="ok", since=0.0, reason="", paused=False, fps=5.0, asked_fps=5.0, late_fps=0.0, dropped={}, score=0.5
)
AWAY = replace(CAMERA, state="offline", reason="rtsp://me:hunter22@10.0.0.5 does not answer")
PAUSED = replace(CAMERA, state="paused", paused=True, reason="paused by command")
BROKER = DeliveryCounts(connected=True, error="")
WELL = Report(
    cast(Detector, None), {"gate": CAMERA}, BROKER, stalled_loops=[], reload_error="", ready=True, at=0.0,
    hide=Redactor(["hunter22"]).hide,
)  # fmt: skip


def report(reason: str = "", restarts: int = 0, **told: Any) -> Report:
    """Of one worker that serves, unless there is a ``reason``."""
    candidate = SimpleNamespace(name="tflite")
    worker = SimpleNamespace(
        number=0, candidate=candidate, fallback=False, fallback_reason="", restarts=restarts, last_loss="", pid=None,
        since=SimpleNamespace(wall=0.0),
    )  # fmt: skip
    detector = SimpleNamespace(
        model=SimpleNamespace(name="person", sha256="ab"),
        engine="tflite",
        preference=SimpleNamespace(verdicts=[], reasons=list),
        dispatcher=SimpleNamespace(workers=[worker], roster=[(worker, reason)], reasons=[reason]),
    )
    return replace(WELL, **{"detector": detector, "at": time.monotonic(), **told})


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        ({}, []),
        ({"cameras": {}}, []),
        ({"cameras": {"gate": CAMERA, "yard": AWAY}}, []),
        ({"cameras": {"gate": AWAY, "yard": AWAY}}, ["no camera is ok"]),
        ({"cameras": {"gate": PAUSED}}, []),
        ({"cameras": {"gate": PAUSED, "yard": AWAY}}, ["no camera is ok"]),
        ({"cameras": {"gate": replace(CAMERA, stuck=True)}}, ["camera gate hangs in its source"]),
        ({"stalled_loops": ["delivery"]}, ["the loop 'delivery' does not advance"]),
        ({"fallback": "the last good one is served"}, ["the last good one is served"]),
        ({"at": time.monotonic() - 3600}, ["the supervisor was last heard of"]),
        ({"reason": "it is not plugged in"}, ["worker 0: it is not plugged in"]),
        ({"ready": False}, ["no frame has been looked at yet"]),
        ({"delivery": replace(BROKER, degraded=True)}, ["the outbox cannot be written"]),
        ({"delivery": DeliveryCounts(error="hunter22 refused")}, ["not connected to the broker: *** refused"]),
        ({"delivery": replace(BROKER, refusal="alerts are refused")}, ["alerts are refused"]),
        ({"delivery": DeliveryCounts(refusal="alerts are refused")}, ["not connected to the broker: not conn"]),
    ],
)
def test_health_says_in_words_what_is_not_well(told: dict[str, Any], wrong: list[str]) -> None:
    health = report(**told).health()
    assert len(health["wrong"]) == len(wrong)
    assert all(said.startswith(words) for said, words in zip(health["wrong"], wrong, strict=True))
    assert health["healthy"] == (not wrong)


def test_no_password_is_told_wherever_a_reason_stands() -> None:
    """But what looks like one and is a name, or a number, stays."""
    told = report(
        "hunter22 is wrong", cameras={"hunter22": AWAY}, reload_error="hunter22", fallback="hunter22",
        previous_end="hunter22", metrics_error="hunter22", rollout={"state": "refused", "reason": "hunter22"},
    )  # fmt: skip
    for payload in (told.payload(), told.health()):
        assert list(payload["cameras"]) == ["hunter22"]
        del payload["cameras"]["hunter22"]["state"]
        payload["cameras"] = payload["cameras"].pop("hunter22")
        assert "hunter22" not in str(payload)
        assert payload["cameras"]["reason"] == "rtsp://***@10.0.0.5 does not answer"


@pytest.mark.parametrize(
    "news",
    [
        {"cameras": {"gate": AWAY}},
        {"cameras": {"gate": replace(CAMERA, asked_fps=2.0)}},
        {"cameras": {"gate": replace(CAMERA, late_fps=3.0)}},
        {"cameras": {"gate": replace(CAMERA, stuck=True)}},
        {"reason": "it is not plugged in"},
        {"restarts": 1},
        {"delivery": replace(BROKER, degraded=True)},
        {"delivery": DeliveryCounts(error="")},
        {"delivery": replace(BROKER, evicted=1)},
        {"stalled_loops": ["delivery"]},
        {"reload_error": "line 3"},
        {"metrics_error": "port 9100 is taken"},
        {"fallback": "the last good one is served"},
        {"rollout": {"state": "refused"}},
        {"vitals": Vitals(clock_synced=True)},
        {"vitals": Vitals(zones=(Temperature("soc", 85.0, 80.0),))},
        {"vitals": Vitals(throttled={"cpu": 1})},
        {"vitals": Vitals(corals_hot=True)},
    ],
)
def test_what_a_reader_must_know_is_told_at_once(news: dict[str, Any]) -> None:
    assert report(**news).key() != report().key()


def test_what_rises_and_falls_all_the_time_is_not_told_each_time() -> None:
    warm = Vitals(zones=(Temperature("soc", 71.0, 80.0), Temperature("board", 99.0)))
    later = report(
        cameras={"gate": replace(CAMERA, fps=4.9, dropped={"late": 1})},
        delivery=replace(BROKER, depth=3, accepted=9),
        vitals=warm,
    )
    assert later.key() == report().key()


def test_what_changed_is_told_again_once_its_figures_mean_something() -> None:
    """A camera that has just come up has no frame rate yet, which nobody wants to see for a minute."""
    news = News()
    told = [at for at in range(200) if news.is_due("offline" if at < 3 else "ok", at)]
    assert told == [0, 3, 14, 75, 136, 197]


@pytest.mark.broker
@needs_mosquitto
def test_a_daemon_whose_alerts_are_refused_is_not_well(tmp_path: Path) -> None:
    """The broker's access rules let everything through but them."""
    (tmp_path / "acl").write_text("topic readwrite #\ntopic deny edgerun/+/+/alerts\n")
    broker = Mosquitto(tmp_path / "broker", settings=f"allow_anonymous true\nacl_file {tmp_path}/acl")
    wanted = {"device": "pi", "mqtt": {"port": broker.port}, "cameras": {"gate": camera(clip())}}
    with broker, DaemonProcess(tmp_path / "daemon", wanted) as daemon:
        daemon.ready()
        refused = "the broker does not take what is sent to edgerun/pi/gate/alerts: Not authorized"
        wait_for(lambda: refused in daemon.health()["wrong"], 20, daemon.log)
        assert not daemon.health()["healthy"]


@pytest.mark.broker
@needs_mosquitto
def test_two_devices_of_one_name_say_so_wherever_they_are_asked(tmp_path: Path) -> None:
    """As when one card's image was written to two: the connection is there, and never for long."""
    over = threading.Event()

    def never_for_long(health: dict[str, Any]) -> list[str]:
        mqtt, wrong = health["mqtt"], health["wrong"]
        return wrong if mqtt["connected"] and mqtt["error"] else []

    def be_the_other() -> None:
        while not over.wait(0.5):
            other = Client(CallbackAPIVersion.VERSION2, "edgerun-pi")
            other.connect("127.0.0.1", broker.port)
            other.loop(0.5)
            other.disconnect()

    broker = Mosquitto(tmp_path / "broker")
    wanted = {"device": "pi", "mqtt": {"port": broker.port}, "cameras": {"gate": camera(clip())}}
    with broker, DaemonProcess(tmp_path / "daemon", wanted) as daemon:
        daemon.ready()
        threading.Thread(target=be_the_other, daemon=True).start()
        try:
            told = wait_for(lambda: never_for_long(daemon.health()), 30, daemon.log)
        finally:
            over.set()
        assert "another client" in str(told)
        assert daemon.log().count("connected to the broker") < 4
