"""The embedded broker: serves real clients, comes back when killed, and goes when its daemon goes."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgerun.outbox import OutboxOptions
from edgerun.runtime.delivery.delivery import Delivery
from edgerun.runtime.exchange.broker import EmbeddedBroker
from edgerun.secrets import Secret
from edgerun.sinks.mqtt import MqttOptions, MqttSink
from edgerun.topics import Topics
from tests.daemon_process import wait_for
from tests.servers.mosquitto import free_port
from tests.test_delivery import Subscriber, counts, event
from tests.test_mqtt import first_news

pytest.importorskip("amqtt", reason="the embedded broker needs amqtt (pip install 'edgerun[demo]')")


def children() -> list[int]:
    """Whichever thread started them."""
    listed = [pid for file in Path("/proc/self/task").glob("*/children") for pid in file.read_text().split()]
    return [int(pid) for pid in listed if b"broker_process" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_alerts_go_through_it_and_it_comes_back_when_killed(tmp_path: Path) -> None:
    options = MqttOptions(port=free_port(), embedded=True)
    broker = EmbeddedBroker(options)
    broker.start()
    topics = Topics("edgerun", "pi")
    delivery = Delivery(topics, MqttSink(options, "pi"), tmp_path / "outbox.db", OutboxOptions())
    delivery.start()
    counts(delivery, connected=True)
    subscriber = Subscriber(options.port, "edgerun/pi/+/alerts")
    delivery.accept(event(1))
    wait_for(lambda: subscriber.seqs() == [1], 20, "the alert")
    (pid,) = children()
    os.kill(pid, signal.SIGKILL)
    counts(delivery, connected=False)
    counts(delivery, connected=True)
    delivery.accept(event(2))
    counts(delivery, delivered=2)
    delivery.close(1.0)
    broker.close()
    subscriber.close()
    assert not children()


def test_who_watches_need_not_say_that_it_speaks_3_1_1() -> None:
    """To a hello in MQTT 5 it says nothing at all."""
    options = MqttOptions(port=free_port(), embedded=True)
    broker = EmbeddedBroker(options)
    broker.start()
    command = [sys.executable, "-m", "edgerun", "watch", "--port", str(options.port), "--seconds", "60"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stderr is not None
        said = watching.stderr.readline()
        if "nothing listens" in said:  # it came before the broker
            said = watching.stderr.readline()
        watching.terminate()
    broker.close()
    assert said == "edgerun: connected\n"


def test_it_asks_for_the_password_it_was_given() -> None:
    options = MqttOptions(port=free_port(), embedded=True, username="me", password=Secret("right"))
    broker = EmbeddedBroker(options)
    broker.start()
    here = {"port": options.port, "username": "me", "version": "3.1.1"}
    wait_for(lambda: "nothing listens" not in first_news(**here, password=Secret("right")), 20, "it listens")
    assert first_news(**here, password=Secret("right")) == "connected"
    assert "refuses the user 'me'" in first_news(**here, password=Secret("wrong"))
    assert "without a user name" in first_news(port=options.port, version="3.1.1")
    command_line = Path(f"/proc/{children()[0]}/cmdline").read_bytes()
    assert b"right" not in command_line
    broker.close()


def test_it_goes_with_its_daemon() -> None:
    """However that died."""
    port = free_port()
    script = (
        "import time\nfrom edgerun.runtime.exchange.broker import EmbeddedBroker\n"
        "from edgerun.sinks.mqtt import MqttOptions\n"
        f"EmbeddedBroker(MqttOptions(port={port}, embedded=True)).start()\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script]) as daemon:
        wait_for(lambda: first_news(port=port, version="3.1.1") == "connected", 20, "it listens")
        daemon.kill()
    wait_for(lambda: "nothing listens" in first_news(port=port, version="3.1.1"), 20, "it is gone")


def test_it_goes_with_its_daemon_though_a_client_says_nothing() -> None:
    """From Python 3.12 on a server waits for its connections to end."""
    port = free_port()
    command = [sys.executable, "-m", "edgerun.runtime.exchange.broker_process"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps({"bind": f"127.0.0.1:{port}", "username": "", "password": ""}) + "\n")
        process.stdin.flush()
        wait_for(lambda: first_news(port=port, version="3.1.1") == "connected", 20, "it listens")
        with socket.create_connection(("127.0.0.1", port)):
            process.stdin.close()
            try:
                assert process.wait(20) == 0
            finally:
                process.kill()


def test_a_system_that_starts_no_process_now_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It was the end of the thread, and with it of the daemon."""
    refusals = [OSError(errno.EMFILE, os.strerror(errno.EMFILE)), OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))]

    def start(*args: Any, **kwargs: Any) -> subprocess.Popen[str]:
        if refusals:
            raise refusals.pop()
        return subprocess.Popen(*args, **kwargs)

    module, deaths = "edgerun.runtime.exchange.broker", list[object]()
    monkeypatch.setattr(f"{module}.subprocess", SimpleNamespace(Popen=start, PIPE=-1, DEVNULL=-3))
    monkeypatch.setattr(f"{module}._PAUSE_S", 0.1)
    monkeypatch.setattr(threading, "excepthook", deaths.append)
    options = MqttOptions(port=free_port(), embedded=True)
    broker = EmbeddedBroker(options)
    broker.start()
    wait_for(lambda: deaths or first_news(port=options.port, version="3.1.1") == "connected", 20, "it listens")
    broker.close()
    assert not deaths
    assert "Too many open files" in caplog.text


@pytest.mark.parametrize("moment", ["started", "noted"])
def test_an_end_that_comes_while_it_starts_is_heeded(monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """Of a reload: it held the port on, or took the whole daemon with it."""
    broker = EmbeddedBroker(MqttOptions(port=free_port(), embedded=True))

    class Popen(subprocess.Popen[str]):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            if moment == "started":
                broker._closing.set()  # as close does, which finds no process

    def dumps(_: object) -> str:
        broker._closing.set()
        assert broker._process is not None and broker._process.stdin is not None
        broker._process.stdin.close()
        return "{}"

    module, deaths = "edgerun.runtime.exchange.broker", list[object]()
    monkeypatch.setattr(f"{module}.subprocess", SimpleNamespace(Popen=Popen, PIPE=-1, DEVNULL=-3))
    if moment == "noted":
        monkeypatch.setattr(f"{module}.json", SimpleNamespace(dumps=dumps))
    monkeypatch.setattr(threading, "excepthook", deaths.append)
    broker.start()
    broker._thread.join(20)
    assert not broker._thread.is_alive()
    assert not deaths
    assert not children()
