"""A canary for each password: whatever fails, none is seen in a log, a message, a process title or an answer."""

from __future__ import annotations

import base64
import json
import signal
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from edgerun.runtime.health.footprint import processes
from edgerun.secrets import passwords_in
from tests.daemon_process import DaemonProcess, wait_for
from tests.outages import camera, clip
from tests.servers.http_camera import HttpCamera
from tests.servers.mosquitto import Mosquitto, needs_mosquitto, write_passwords
from tests.subscriber import Subscriber

CANARIES = {
    "rtsp": "canary-rtsp-7f3",
    "odd": "canary@odd/7f3",
    "http": "canary-http-7f3",
    "query": "canary-query-7f3",
    "mqtt": "canary-mqtt-7f3",
    "wrong": "canary-wrong-7f3",
    "metrics": "canary-metrics-7f3",
    "typo": "canary-typo-7f3",
}


def found(text: str) -> list[str]:
    """The canaries in a text, also quoted or in base64 as in an Authorization header."""
    forms = {
        name: {
            value,
            quote(value, safe=""),
            base64.b64encode(f"viewer:{value}".encode()).decode(),
            value.split("7f3")[0],
        }
        for name, value in CANARIES.items()
    }
    return [name for name, ways in forms.items() if any(way in text for way in ways)]


@contextmanager
def watched_titles(daemon: DaemonProcess) -> Iterator[set[str]]:
    """Every command line that the daemon or a child of it has meanwhile."""
    titles: set[str] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            titles.update(processes(daemon.pid).values())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield titles
    finally:
        over.set()
        thread.join()


def wanted(port: int, http: str, password: str) -> dict[str, Any]:
    """Cameras that all fail in ways that show addresses, and one that does not."""
    odd = quote(CANARIES["odd"], safe="")
    host = http.removeprefix("http://")
    return {
        "device": "pi",
        "log": {"level": "debug"},
        "mqtt": {
            "host": "127.0.0.1",
            "port": port,
            "username": "pi",
            "password": password,
            "commands": ["ping", "reload"],
        },
        "metrics": {"enabled": True, "port": 0, "token": CANARIES["metrics"]},
        "cameras": {
            "good": camera(clip()),
            "rtsp": camera({"type": "rtsp", "url": f"rtsp://viewer:{CANARIES['rtsp']}@127.0.0.1:1/stream2"}),
            "odd": camera({"type": "rtsp", "url": f"rtsp://viewer:{odd}@127.0.0.1:1/stream2"}),
            "http": camera({"type": "http", "url": f"http://viewer:{CANARIES['http']}@{host}"}),
            "query": camera({"type": "http", "url": f"{http}?user=viewer&password={CANARIES['query']}"}),
        },
    }


@pytest.mark.broker
@needs_mosquitto
def test_no_password_is_seen_anywhere(tmp_path: Path) -> None:
    """RTSP and HTTP cameras that fail, a wrong MQTT password, a mistyped file; at the most talkative log level."""
    write_passwords(tmp_path / "users", {"pi": CANARIES["mqtt"]})
    strict = f"password_file {tmp_path}/users\nallow_anonymous false"
    with (
        Mosquitto(tmp_path / "open") as broker,
        Mosquitto(tmp_path / "strict", settings=strict) as refusing,
        HttpCamera(lambda request: request.send_error(401)) as web,
        Subscriber(broker.port, topic="#") as subscriber,
        DaemonProcess(tmp_path / "daemon", wanted(broker.port, web.url, CANARIES["mqtt"])) as daemon,
    ):
        daemon.ready()
        with watched_titles(daemon) as titles:
            failing = ("rtsp", "odd", "http", "query")
            for name in failing:
                wait_for(lambda: daemon.said(f"camera {name} is offline"), 20, daemon.log)  # noqa: B023  used at once
            answers = [json.dumps(daemon.health())]
            assert all(daemon.health()["cameras"][name]["reason"] for name in failing)

            good = daemon.config.read_text()
            typo = good.replace('"rtsp://viewer:', f'"rtps://viewer:{CANARIES["typo"]}', 1)
            daemon.config.write_text(typo)
            daemon.signal(signal.SIGHUP)
            wait_for(lambda: daemon.health()["reload_error"], 20, daemon.log)
            answers.append(json.dumps(daemon.health()))

            again = wanted(refusing.port, web.url, CANARIES["wrong"])
            daemon.write({**again, "state_dir": str(tmp_path / "daemon" / "state")})
            daemon.signal(signal.SIGHUP)
            wait_for(lambda: "refuses the user" in daemon.health()["mqtt"]["error"], 20, daemon.log)
            answers.append(json.dumps(daemon.health()))
            answers += bundled(daemon, tmp_path / "bundle.tar.gz")
        assert daemon.stop() == 0
        arrived = [(arrival.topic, arrival.payload.decode(errors="replace")) for arrival in subscriber.arrivals]
    assert "pi/state" in str(arrived)
    assert any("edgerun.config" in title for title in titles)
    assert "***@127.0.0.1" in daemon.log()
    assert found(daemon.log()) == [], daemon.log()
    assert found("\n".join(titles)) == []
    assert found("\n".join(answers)) == []
    assert found(str(arrived)) == []


def bundled(daemon: DaemonProcess, path: Path) -> list[str]:
    """All texts of a diagnostics bundle."""
    done = daemon.command("health", "-c", str(daemon.config), "--bundle", str(path))
    assert "look through it" in done.stderr
    assert path.stat().st_mode & 0o777 == 0o600
    with tarfile.open(path) as archive:
        files = [archive.extractfile(member) for member in archive.getmembers()]
        texts = [file.read().decode() for file in files if file is not None]
    assert len(texts) >= 4
    return [*texts, done.stdout, done.stderr]


@pytest.mark.parametrize(
    ("text", "passwords"),
    [
        ("rtsp://viewer:p%40ss@host/x", {"p%40ss", "p@ss"}),
        ("rtsp://viewer:it's<p@ss>@host/x", {"it's<p@ss>"}),
        ("rtsp://viewer:p@ss@host/x and http://h/?a=b&token=t0ken", {"p@ss", "t0ken"}),
        ("http://h/?api_key=k3y&user_password=p%40ss&loginpas=pas", {"k3y", "p%40ss", "p@ss", "pas"}),
        ("rtspsrc user-pw=p@ss ! decodebin", {"p@ss"}),
        ("""rtspsrc user-pw="two words" proxy-pw='p!ss' ! decodebin""", {"two words", "p!ss"}),
        ("rtsp://host/a:b@c?keyframe=often", set()),
        ("/dev/video0", set()),
    ],
)
def test_passwords_are_found_where_they_hide(text: str, passwords: set[str]) -> None:
    assert passwords_in(text) == passwords
