"""``edgerun watch`` and ``edgerun schema``: what a person and a program see of a device."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import queue
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from rich.console import Console

from edgerun.cli import view
from edgerun.cli import watch as watching
from edgerun.stages import Request
from tests.cli import edgerun
from tests.daemon_process import wait_for
from tests.servers.mosquitto import Mosquitto, needs_mosquitto
from tests.servers.strict_broker import StrictBroker
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
def test_large_pictures_are_told_of_as_well(tmp_path: Path) -> None:
    """Of a camera of two megapixels: a broker does not send what is larger than the subscriber says it takes."""
    with Mosquitto(tmp_path / "m") as broker:
        delivery = deliver(tmp_path, broker.port)
        delivery.accept(event(1), lambda: b"\xff\xd8" * 100_000)
        counts(delivery, unclaimed=1)
        with watch(broker.port, "--json", "--seconds", "20") as program:
            assert program.stdout is not None
            messages = map(json.loads, program.stdout)
            assert {"topic": TOPICS.snapshot("porch"), "payload": "200000 bytes"} in messages
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


@pytest.mark.parametrize(
    ("typed", "status", "said"),
    [(b"s3cret\n", 0, b"nothing listens"), (b"\x04", 78, b"edgerun: no password was given")],
    ids=["given", "Ctrl-D"],
)
def test_a_password_is_asked_for(typed: bytes, status: int, said: bytes) -> None:
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
        os.write(ours, typed)
        with contextlib.suppress(OSError):  # which is how the terminal of a process ends that is over
            while more := os.read(ours, 1000):
                shown += more
    os.close(ours)
    assert asking.returncode == status
    assert b"s3cret" not in shown and said in shown and b"Traceback" not in shown


def test_no_broker_is_said_once() -> None:
    done = edgerun("watch", "--port", "1", "--seconds", "2")
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "edgerun: nothing listens at 127.0.0.1:1: is the broker running, is `--port` right?"
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
        (["--username", os.fsdecode(b"\xff")], "the connection asked for has a username that is not UTF-8 text"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_at_once(words: list[str], why: str) -> None:
    done = edgerun("watch", *words, timeout=60)
    assert done.returncode in (2, 78)
    assert why in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_password_that_is_no_text_is_refused() -> None:
    environ = {**os.environ, "EDGERUN_MQTT_PASSWORD": os.fsdecode(b"s3cret\xff")}
    done = edgerun("watch", "--username", "me", "--seconds", "5", env=environ, timeout=60)
    assert (done.returncode, done.stderr) == (
        78,
        "edgerun: the connection asked for has a password that is not UTF-8 text\n",
    )


FOREIGN = (
    '{"seq": "a"}',
    '{"seq": 7, "captured": 5}',
    '{"seq": 7, "objects": 5}',
    '{"seq": 7, "objects": [{}]}',
    '{"seq": 7, "objects": [{"label": "a", "score": "x"}]}',
    '{"camera": []}',
    '{"objects": [5]}',
    '{"objects": [{"track_id": 1, "label": {}}]}',
    '{"inference_ms": "x"}',
)
"""What others may publish at our topics."""
OURS = {
    "alerts/last": '{"camera": "b", "seq": 7, "rule": "own\\u001b[2J", "kind": "enter", "type": "instant"}',
    "detections": '{"objects": [{"track_id": 1, "label": "cat"}], "inference_ms": 8}',
}


def requests(kind: str) -> queue.SimpleQueue[Request | str]:
    """Those of others, and then one of ours."""
    inbox: queue.SimpleQueue[Request | str] = queue.SimpleQueue()
    for text in (*FOREIGN, OURS[kind]):
        inbox.put(Request(f"edgerun/a/b/{kind}", text.encode()))
    return inbox


def test_what_others_publish_ends_no_view(capsys: pytest.CaptureFixture[str]) -> None:
    """As lines: it is passed over, what is ours is still told, and nothing gives orders to the terminal."""
    show = partial(view.print_line, view.Alerts())
    watching._follow(requests("alerts/last"), time.monotonic() + 0.2, show)
    assert capsys.readouterr().out.splitlines()[-1] == "  b  own?[2J  enter instant"


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("2026-11-23T23:30:05.123456Z", "05:00:05"),
        ("2026-11-23T23:30:05Z", "05:00:05"),
        ("0001-01-01T00:00:00+09:00", "00:00:00"),
        ("at noon", ""),
        ("", ""),
    ],
)
def test_a_person_is_told_the_time_of_their_own_clock(told: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages are in UTC, which in a log beside it, and on the wall, would be another hour."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "<+0530>-5:30")
        time.tzset()
        assert view.clock(told) == shown
    time.tzset()


def test_what_others_publish_ends_no_live_view() -> None:
    table = view.View("edgerun")
    for kind in OURS:
        watching._take_all(requests(kind), table)
    console = Console(file=io.StringIO(), width=120)
    console.print(table.render())
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "8.0 ms" in shown and "1 cat" in shown and "own?[2J" in shown


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": 1e400}'])
def test_what_is_no_json_is_printed_as_text(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A program that reads the lines knows neither NaN nor infinity."""
    view.print_json(Request("edgerun/a/b/x", text.encode()))
    printed = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert printed == {"topic": "edgerun/a/b/x", "payload": text}


def test_the_older_version_is_no_complaint() -> None:
    """The embedded broker speaks no other, and nobody who only looks loses an alert by it."""
    done = edgerun("watch", "--port", "1", "--seconds", "2", "--mqtt", "3.1.1")
    assert len(done.stderr.splitlines()) == 1


def test_a_broker_that_does_not_speak_mqtt_5_is_spoken_to_in_3_1_1() -> None:
    """Unless the version is said; then what to say instead is told in the command's own words."""
    broker = StrictBroker(older=True)
    assert edgerun("watch", "--port", str(broker.port), "--seconds", "2").stderr == "edgerun: connected\n"
    done = edgerun("watch", "--port", str(broker.port), "--seconds", "2", "--mqtt", "5")
    assert done.stderr == "edgerun: the broker does not speak MQTT 5: set `--mqtt 3.1.1`\n"
    broker.close()


def test_a_broker_that_lets_nobody_listen_is_told() -> None:
    """The view stays empty, and no word of a lost connection says why."""
    broker = StrictBroker(secret="detections")
    done = edgerun("watch", "--port", str(broker.port), "--seconds", "2")
    assert done.stderr.splitlines() == [
        "edgerun: connected",
        "edgerun: the broker does not let us hear what comes at edgerun/+/+/detections: Not authorized",
    ]
    broker.close()
