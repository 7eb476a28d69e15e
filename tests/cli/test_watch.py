"""``edgerun watch`` and ``edgerun schema``: what a person and a program see of a device."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tests.cli import edgerun
from tests.daemon_process import wait_for
from tests.servers.mosquitto import Mosquitto, needs_mosquitto
from tests.test_delivery import TOPICS, counts, deliver, event


def watch(port: int, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "edgerun", "watch", "--port", str(port), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.broker
@needs_mosquitto
def test_alerts_are_shown_as_they_come(tmp_path: Path) -> None:
    """A readable line each where no terminal is, a JSON line each with --json."""
    with Mosquitto(tmp_path / "m") as broker:
        delivery = deliver(tmp_path, broker.port)
        counts(delivery, connected=True)
        terms = ("--seconds", "20")
        with watch(broker.port, *terms) as reader, watch(broker.port, "--json", *terms) as program:
            assert reader.stdout is not None and program.stdout is not None
            assert reader.stderr is not None
            assert reader.stderr.readline() == "edgerun: connected\n"
            wait_for(lambda: broker.log().count("Sending SUBACK to edgerun-watch") == 5, 20, "both listen")
            delivery.accept(event(1))
            line = reader.stdout.readline()
            while "visitor" not in line:
                line = reader.stdout.readline()
            assert line[2] == ":" and "porch" in line and "path" in line and "person 90%" in line
            message = json.loads(program.stdout.readline())
            while message["topic"] != TOPICS.alerts("porch"):
                message = json.loads(program.stdout.readline())
            assert message["payload"]["seq"] == 1
            reader.terminate()
            program.terminate()
        delivery.close(1.0)


@pytest.mark.broker
@needs_mosquitto
def test_who_only_looks_claims_nothing(tmp_path: Path) -> None:
    """The alerts stay for the subscriber who is away."""
    with Mosquitto(tmp_path / "m") as broker:
        with watch(broker.port, "--seconds", "20") as reader:
            assert reader.stdout is not None
            wait_for(lambda: broker.log().count("Sending SUBACK to edgerun-watch") == 4, 20, "it listens")
            delivery = deliver(tmp_path, broker.port)
            for n in range(3):
                delivery.accept(event(n))
            assert counts(delivery, accepted=3, unclaimed=3).delivered == 0
            line = reader.stdout.readline()
            while "visitor" not in line:
                line = reader.stdout.readline()
            reader.terminate()
        delivery.close(1.0)


def test_a_password_is_asked_for() -> None:
    """At a terminal, which does not show it; an argument would be seen by all users of the machine."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "edgerun", "watch", "--port", "1", "--seconds", "3", "--username", "me"]
    environ = {name: value for name, value in os.environ.items() if name != "EDGERUN_MQTT_PASSWORD"}
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ, start_new_session=True
    ) as asking:
        os.close(theirs)
        shown = b""
        while b"Password of me: " not in shown:
            shown += os.read(ours, 1000)
        os.write(ours, b"s3cret\n")
        with contextlib.suppress(OSError):  # which is how the terminal of a process ends that is over
            while more := os.read(ours, 1000):
                shown += more
    os.close(ours)
    assert asking.returncode == 0
    assert b"s3cret" not in shown and b"nothing listens" in shown


def test_no_broker_is_said_once() -> None:
    done = edgerun("watch", "--port", "1", "--seconds", "2")
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "edgerun: nothing listens at 127.0.0.1:1: is the broker running, is `mqtt.port` right?"
    ]


@pytest.mark.parametrize("document", ["config", "mqtt", "asyncapi"])
def test_schemas_are_printed(document: str) -> None:
    printed = json.loads(edgerun("schema", document).stdout)
    if document != "asyncapi":
        Draft202012Validator.check_schema(printed)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--port", "99999"], "argument --port: must be a port, 1 to 65535, not '99999'"),
        (["--seconds", "0"], "argument --seconds: must be a number above 0, not '0'"),
        (["--seconds", "nan"], "argument --seconds: must be a number above 0, not 'nan'"),
        (["--device", "a/b"], "argument --device: must be the name of a device, not 'a/b'"),
        (["--prefix", "a/#"], "the connection asked for has a prefix that is no topic"),
        (["--prefix", ""], "the connection asked for has a prefix that is no topic"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_at_once(words: list[str], why: str) -> None:
    done = edgerun("watch", *words, timeout=60)
    assert done.returncode in (2, 78)
    assert why in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
