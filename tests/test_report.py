"""What the daemon says of itself, and when."""

from __future__ import annotations

from pathlib import Path

import pytest

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
