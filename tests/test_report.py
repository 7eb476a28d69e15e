"""What the daemon says of itself, and when."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from edgerun.runtime.health.report import News
from tests.daemon_process import DaemonProcess, wait_for
from tests.outages import camera, clip
from tests.servers.mosquitto import Mosquitto, needs_mosquitto


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
