"""A configuration is either typed options, or every problem it has with its line."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import FrozenInstanceError, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgerun import config
from edgerun.config import Chosen, Config, outside, references, text, validation
from edgerun.errors import ConfigError
from edgerun.runtime.cameras.pipelines import pipeline_for
from edgerun.secrets import Secret
from edgerun.tracking import TrackerOptions
from tests.stories import SCENARIOS

CAMERA = "cameras:\n  porch:\n    source: {type: file, path: clip.mp4}\n"
"""Three lines; what a test adds to the camera starts in line 4."""
OWN_MODEL = "model: {path: own.tflite}\n"
"""Whose labels are known only when it is loaded."""


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "edgerun.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def told(folder: Path, content: str | bytes) -> list[str]:
    """The problems as lines, without the file's name."""
    return [problem.text("") for problem in config.problems(write(folder, content))]


CONTRACT = """
device: porch-pi
mqtt:
  host: 192.168.1.10
  port: 1883
  username: edgerun
  password: {file: mqtt_password}
  tls: {ca: /etc/edgerun/ca.pem}
  prefix: edgerun
  home_assistant: true
model:
  name: person-ssdlite-int8
  engine: auto
  head: auto
  score: 0.5
cameras:
  porch:
    source: {type: rtsp, url: "rtsp://cam:${CAM_PASSWORD}@10.0.0.5/stream2"}
    fps: 5
    motion: {enabled: true}
    zones:
      path: {polygon: [[0.10, 0.55], [0.62, 0.50], [0.70, 1.0], [0.05, 1.0]]}
    lines:
      gate: {from: [0.2, 0.7], to: [0.8, 0.7]}
    rules:
      - {name: visitor, when: enter, zone: path, labels: [person], min_score: 0.6, cooldown_s: 30}
      - {name: loiterer, when: dwell, zone: path, labels: [person], seconds: 20}
      - {name: crossing, when: cross, line: gate, direction: both}
      - {name: crowd, when: count, zone: path, labels: [person], at_least: 4, seconds: 3}
      - {name: night, when: enter, zone: path, labels: [person], schedule: "22:00-06:00"}
      - {name: left-alone, when: absent, zone: path, labels: [person], seconds: 600}
"""


def test_the_contracts_example_is_typed_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What CONTRACT.md shows can be written, environment and secret files included."""
    monkeypatch.setenv("CAM_PASSWORD", "s3cret")
    (tmp_path / "mqtt_password").write_text("hunter2\n")
    loaded = config.load(write(tmp_path, CONTRACT))
    porch = loaded.cameras["porch"]
    assert loaded.device == "porch-pi"
    assert porch.source.type == "rtsp"
    assert porch.source.options.url == "rtsp://cam:s3cret@10.0.0.5/stream2"
    assert porch.lines["gate"].from_ == (0.2, 0.7)
    assert [rule.when for rule in porch.rules] == ["enter", "dwell", "cross", "count", "enter", "absent"]
    assert loaded.mqtt.password == Secret("hunter2")
    assert config.secrets_of(loaded) == {"hunter2", "s3cret"}
    assert loaded.model.engine is None
    assert loaded.model.head is None


@pytest.mark.parametrize("story", sorted(path.name for path in SCENARIOS.iterdir()))
def test_what_the_scenarios_rules_tell_may_be_written(tmp_path: Path, story: str) -> None:
    """Every kind of rule, with all that it points to, gets through the checks as it is meant."""
    rules = yaml.safe_load((SCENARIOS / story / "config.yaml").read_text())
    place = {"place": rules.pop("place")} if "place" in rules else {}
    source = {"type": "file", "path": "clip.mp4"}
    written = {"model": {"path": "own.tflite"}, "cameras": {"porch": {"source": source, **rules}}, **place}
    (porch,) = config.load(write(tmp_path, yaml.safe_dump(written))).cameras.values()
    assert [rule.name for rule in porch.rules] == [rule["name"] for rule in rules["rules"]]


def test_a_source_is_all_that_must_be_written(tmp_path: Path) -> None:
    """Everything else has a safe default; the device's name is one that fits a topic."""
    loaded = config.load(write(tmp_path, CAMERA))
    assert re.fullmatch(r"[a-z0-9_-]{1,32}", loaded.device)
    assert loaded.cameras["porch"].fps == 5
    assert loaded.model.name == "person-ssdlite-int8"


def test_an_engine_is_a_name_or_a_mapping(tmp_path: Path) -> None:
    """``engine: tflite`` is ``engine: {type: tflite}``, and the choice builds the plugin."""
    short = config.load(write(tmp_path, CAMERA + "model: {engine: tflite, head: yolox}"))
    spelled = config.load(write(tmp_path, CAMERA + "model: {engine: {type: tflite}, head: {type: yolox}}"))
    assert short == spelled
    assert isinstance(short.model.engine, Chosen)
    assert short.model.engine == config.engine("tflite")
    assert short.model.head is not None
    assert type(short.model.head.build()).__name__ == "Yolox"


def test_text_stays_text(tmp_path: Path) -> None:
    """YAML 1.1's surprises do not happen: the schema decides what a scalar means."""
    rule = "{name: no, when: count, zone: on, labels: [off, 12, yes], at_least: 2, schedule: 22:00-06:00}"
    zones = "    zones: {on: {polygon: [[0, 0], [1, 0], [1, 1]]}}\n    enabled: no\n"
    camera = config.load(write(tmp_path, CAMERA + f"    rules: [{rule}]\n" + zones + OWN_MODEL)).cameras["porch"]
    assert camera.rules[0].name == "no"
    assert camera.rules[0].labels == ("off", "12", "yes")
    assert camera.rules[0].schedule == "22:00-06:00"
    assert camera.enabled is False
    assert "on" in camera.zones


def test_a_key_without_a_value_counts_as_not_written(tmp_path: Path) -> None:
    """A heading whose entries are all commented out is no error."""
    assert config.load(write(tmp_path, CAMERA + "    zones:\n    rules: null\nmodel:\n"))


PORCH = ":5: cameras.porch."
ZONE = CAMERA + "    zones:\n      a: "
RULE = CAMERA + "    rules:\n      - "
RULE_IN_ZONE = CAMERA + "    zones: {a: {polygon: [[0,0],[1,0],[1,1]]}}\n    rules:\n      - "

BAD: list[tuple[str | bytes, str]] = [
    # unknown keys
    (CAMERA + "    fsp: 5", ":4: cameras.porch.fsp: unknown key; did you mean fps? (there are: source, "),
    (CAMERA + "modle: {}", ":4: modle: unknown key; did you mean model?"),
    (CAMERA.replace("path:", "pat:"), ":3: cameras.porch.source.pat: unknown key; did you mean path?"),
    (CAMERA + "model: {engine: {type: tflite, thread: 2}}", ":4: model.engine.thread: unknown key; did you"),
    (CAMERA + "mqtt:\n  hots: x", ":5: mqtt.hots: unknown key; did you mean host?"),
    # wrong types and values
    (CAMERA + "    fps: many", ":4: cameras.porch.fps: must be a number, not 'many'"),
    (CAMERA + "    priority: " + "9" * 5000, f":4: cameras.porch.priority: must be a smaller number, not '{'9' * 60}'"),
    (CAMERA + "model: {engine: {type: openvino, cache_dir: []}}", ":4: model.engine.cache_dir: must be a text"),
    (CAMERA + "mqtt: {host: ''}", ":4: mqtt.host: must not be empty"),
    (CAMERA + "    fps: -1", ":4: cameras.porch.fps: must be greater than 0, not '-1'"),
    (CAMERA + "    fps: true", ":4: cameras.porch.fps: must be a number, not 'true'"),
    (CAMERA + "    fps: [5]", ":4: cameras.porch.fps: must be a number"),
    (CAMERA + "    fps: nan", ":4: cameras.porch.fps: must be a finite number"),
    (CAMERA + "    fps: .inf", ":4: cameras.porch.fps: must be a number"),
    (CAMERA + "    fps: 1e999", ":4: cameras.porch.fps: must be a finite number"),
    (CAMERA + "    priority: 1.5", ":4: cameras.porch.priority: must be a whole number"),
    (CAMERA + "    enabled: perhaps", ":4: cameras.porch.enabled: must be true or false, not 'perhaps'"),
    (CAMERA + "    rules: {}", ":4: cameras.porch.rules: must be a list"),
    (CAMERA + "    zones: []", ":4: cameras.porch.zones: must be a mapping (key: value)"),
    (CAMERA + "mqtt: yes", ":4: mqtt: must be a mapping (key: value)"),
    (CAMERA + "device: Porch Pi", ":4: device: must be 1 to 32 of a-z, 0-9, _ and -, not 'Porch Pi'"),
    (CAMERA + "log: {level: loud}", ":4: log.level: must be 'debug', 'info', 'warning' or 'error', not 'loud'"),
    (CAMERA + "place: {timezone: Mars/Olympus}", ":4: place: timezone 'Mars/Olympus' is not known here"),
    # cameras and sources
    ("device: a", ":1: cameras: is missing, and has no default"),
    ("cameras: {}", ":1: cameras: must hold 1 or more"),
    ("cameras:\nporch:\n  source: {type: file, path: x}", ":1: cameras: has no value; what belongs to it stands below"),
    ("cameras:\n  porch:\n    source:\n    type: file", ":3: cameras.porch.source: has no value; what belongs to"),
    ("cameras:\n  porch:\n    source:\n    type: file", ":4: cameras.porch.type: unknown key (there are: source, "),
    ("cameras:\n  porch:\n    fps: 5", ":2: cameras.porch.source: is missing, and has no default"),
    ("cameras:\n  porch:\n    source: {path: x}", ":3: cameras.porch.source: needs a type: one of "),
    ("cameras:\n  porch:\n    source: {type: rstp}", ":3: cameras.porch.source: has no type 'rstp': one of "),
    ("cameras:\n  porch:\n    source: x", ":3: cameras.porch.source: must be a mapping (key: value) with a type"),
    ("cameras:\n  porch:\n    source: {type: file}", ":3: cameras.porch.source.path: is missing"),
    (CAMERA.replace("porch", "po/rch"), ":2: cameras.po/rch: must be 1 to 32 of a-z"),
    (CAMERA.replace("porch", "status"), ":2: cameras.status: this name is taken by a topic"),
    (CAMERA.replace("porch", "cmd"), ":2: cameras.cmd: this name is taken by a topic"),
    (CAMERA.replace("porch", "a" * 33), f":2: cameras.{'a' * 33}: must be 1 to 32 of a-z"),
    # zones, lines and rules
    (CAMERA + "    zones:\n      alerts: {polygon: [[0,0],[1,0],[1,1]]}", PORCH + "zones.alerts: this name is taken"),
    (ZONE + "{polygon: [[0,0],[1,1]]}", PORCH + "zones.a.polygon: must hold 3 or more, holds 2"),
    (ZONE + "{polygon: [" + "[0.5,0.5]," * 20000 + "]}", PORCH + "zones.a.polygon: must hold 100 at most"),
    (ZONE + "{polygon: [[0,0],[1,0],[1,1.2]]}", PORCH + "zones.a.polygon[2][1]: must be at most 1"),
    (ZONE + "{polygon: [[0,0],[1,1],[1,0],[0,1]]}", PORCH + "zones.a: the polygon has no area"),
    (ZONE + "{polygon: [[0],[1,0],[1,1]]}", PORCH + "zones.a.polygon[0][1]: is missing"),
    (CAMERA + "    lines:\n      a: {from: [0,0], to: [0,0]}", PORCH + "lines.a: a line needs two different points"),
    (RULE + "{name: v, when: enter, zone: paht}", PORCH + "rules[0].zone: this camera has no zone 'paht'"),
    (RULE + "{name: v, when: cross, line: x}", PORCH + "rules[0].line: this camera has no line 'x'"),
    (RULE + "{name: v, when: entre, zone: x}", PORCH + "rules[0].when: must be 'enter', "),
    (CAMERA + "    motion: {confirm_s: 11}", ":4: cameras.porch.motion.confirm_s: must be at most 10"),
    (RULE + "{name: v, when: enter}", PORCH + "rules[0]: a rule with when: enter needs zone"),
    (RULE_IN_ZONE + "{name: v, when: enter, zone: a, schedule: late}",
     ":6: cameras.porch.rules[0]: schedule: 'late' is no day"),
    (RULE_IN_ZONE + "{name: v, when: enter, zone: a, schedule: sunset-sunrise}",
     ":6: cameras.porch.rules[0].schedule: schedule 'sunset-sunrise' needs"),
    (RULE_IN_ZONE + "{name: v, when: enter, zone: a, min_speed_kmh: 30}",
     ":6: cameras.porch.rules[0]: asks for a speed"),
    (RULE_IN_ZONE + "{name: v, when: enter, zone: a}\n      - {name: v, when: exit, zone: a}",
     ":7: cameras.porch.rules[1].name: a rule above is called 'v' too"),
    (RULE + "{name: v, when: all, all: [x, y], seconds: 3}", PORCH + "rules[0].all[0]: this camera has no rule 'x'"),
    (RULE_IN_ZONE + "{name: v, when: enter, zone: a}\n      - {name: w, when: exit, zone: a}\n"
     "      - {name: x, when: all, all: [v, w], seconds: 3}\n      - {name: y, when: all, all: [v, x], seconds: 3}",
     ":9: cameras.porch.rules[3].all[1]: the rule 'x' has when: all itself; name the rules that it is made of"),
    # models
    (CAMERA + "model: {name: a, path: b}", ":4: model: has both a name and a path"),
    (CAMERA + "model: {name: person-ssdlite-int8, path: b}", ":4: model: has both a name and a path"),
    (CAMERA + "model: {name: person-ssdlite}",
     ":4: model.name: no model is called 'person-ssdlite'; did you mean person-ssdlite-int8? (there are: "),
    (CAMERA + "    labels: [person, persn]",
     ":4: cameras.porch.labels[1]: the model does not know the label 'persn'; did you mean person?"),
    (CAMERA + "    labels: [cat]\nmodel: {name: person-ssdlite-int8}",
     ":4: cameras.porch.labels[0]: the model does not know the label 'cat' (there are: person)"),
    (CAMERA + "model: {name: [person-ssdlite-int8]}", ":4: model.name: must be a text"),
    (CAMERA + "    tracker: {alike: [[person, car]]}",
     ":4: cameras.porch.tracker.alike[0][1]: the model does not know the label 'car'"),
    (RULE_IN_ZONE + "{name: v, when: enter, zone: a, labels: [dog]}",
     ":6: cameras.porch.rules[0].labels[0]: the model does not know the label 'dog' (there are: person)"),
    (OWN_MODEL + RULE_IN_ZONE + "{name: v, when: enter, zone: a, labels: [car, dog]}\n    labels: [car, dgo]",
     ":7: cameras.porch.rules[0].labels[1]: the camera's own labels leave 'dog' out; did you mean dgo? (there are: "),
    (CAMERA + "mqtt: {host: '10.0.0.1:1883'}", ":4: mqtt: has a host that is more than a name or an address"),
    (CAMERA + "mqtt: {host: 'mqtt://10.0.0.1'}", ":4: mqtt: has a host that is more than a name or an address"),
    (CAMERA + "model: {labels: b}", ":4: model: has labels without a path"),
    (CAMERA + "model: {engine: tflight}", ":4: model.engine: has no type 'tflight': one of auto, "),
    # the file itself
    ("", ":1: file: is empty"),
    ("# nothing\n", ":1: file: is empty"),
    ("- a\n- b", ":1: file: must be a mapping"),
    ("just words", ":1: file: must be a mapping"),
    (CAMERA + "a: b: c", ":4: file: is not valid YAML"),
    (CAMERA + "\tfps: 5", ":4: file: is not valid YAML: the line begins with a tab; indent with spaces alone"),
    (CAMERA + "    zones:\n    \ta: {}", ":5: file: is not valid YAML: the line begins with a tab"),
    (CAMERA + "    fps:\u00a05\nmodel: {}", ":4: file: holds '\\xa0' (U+00A0), as copied text may"),
    (CAMERA + "\u00a0\u00a0\u00a0\u00a0fps: 5", ":4: file: holds '\\xa0' (U+00A0)"),
    (CAMERA + "    zones: {a:\u202f{}}", "zones: holds '\\u202f' (U+202F)"),
    (CAMERA + "    labels: [\u201cperson\u201d]", ":4: cameras.porch.labels[0]: holds '\u201c' (U+201C)"),
    (CAMERA + "mqtt: {host: 10.0.0.1\u200b}", ":4: mqtt.host: holds '\\u200b' (U+200B)"),
    (CAMERA + "model: [", ":5: file: is not valid YAML"),
    (CAMERA + "model: \x01", ":4: file: is not valid YAML: '\\x01' may not stand in a text file"),
    ("# " + "\xe4" * 99 + "\n" + CAMERA + "model: \x01\n\n\n", ":5: file: is not valid YAML: '\\x01'"),
    ("a: 1\nb: \xe4".encode("latin-1"), ":2: file: is not UTF-8 text; save it as UTF-8"),
    ("\xff\xfea\x00:\x00".encode("latin-1"), ":1: file: is not UTF-8"),
    ("a: " + "x" * 262144, ":1: file: is larger than 256 KB"),
    ("a: &x {b: 1}\nc: *x", ":1: a: holds a YAML anchor"),
    ("a: 1\nc: *x", ":2: c: holds a YAML alias"),
    (CAMERA + "mqtt: !!python/object/apply:os.system [ls]", ":4: mqtt: holds a YAML tag"),
    ("a: " + "[" * 40 + "]" * 40, "is nested deeper than 32 levels"),
    ("[" * 100000, "is nested deeper than 32 levels"),
    ("{a: " * 20000, "is nested deeper than 32 levels"),
    (CAMERA + "device: a\ndevice: b", ":5: file: the key 'device' stands here twice (first in line 4)"),
    (CAMERA + "    zones:\n      1: {}", PORCH + "zones: the key 1 is not a text; write it in quotes"),
    (CAMERA + "? [a, b]\n: c", ":4: file: a key must be a text"),
    (CAMERA + "---\na: b", ":4: file: holds a second document"),
    (CAMERA + "    fps: ${fps", ":4: cameras.porch.fps: an environment variable is written ${NAME}"),
    (CAMERA + "    fps: ${fps:-5}", ":4: cameras.porch.fps: an environment variable is written ${NAME}"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "said"), BAD, ids=range(len(BAD)))
def test_bad_input_is_told_with_its_line(tmp_path: Path, content: str | bytes, said: str) -> None:
    """Each is one line that says where, what, and what is allowed; nothing is loaded."""
    lines = told(tmp_path, content)
    assert any(said in line for line in lines), lines
    assert all("\n" not in line for line in lines)
    with pytest.raises(ConfigError):
        config.load(tmp_path / "edgerun.yaml")


def test_every_problem_is_told_at_once_in_order(tmp_path: Path) -> None:
    """Mending a file is one round, not ten."""
    lines = told(
        tmp_path,
        CAMERA + "    fps: x\n    zones: {a: {polygon: [[0,0],[1,0],[2,1]]}}\n"
        "    rules:\n      - {name: v, when: enter, zone: b}\nmqtt: {hots: x}\ndevice: A B\n",
    )
    assert [line.split(":")[1] for line in lines] == ["4", "5", "7", "8", "9"]


def test_a_file_that_is_something_else_is_told_briefly(tmp_path: Path) -> None:
    """Thousands of unknown keys help nobody."""
    lines = told(tmp_path, "".join(f"key{i}: 1\n" for i in range(5000)))
    assert len(lines) == 101
    assert lines[-1].endswith("more like these")


def test_no_more_is_looked_for_than_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What may have been meant takes long to find among thousands of names; a check went on for minutes."""
    looked_for: list[str] = []

    def look(wrong: str, allowed: object) -> str:
        looked_for.append(wrong)
        return ""

    monkeypatch.setattr(references, "hint", look)
    lines = told(tmp_path, CAMERA + f"    labels: [{', '.join(f'p{i}' for i in range(5000))}]\n")
    assert 100 < len(lines) <= len(looked_for) < 500


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing files and folders are told like any other problem."""
    assert "cannot be read: No such file" in config.problems(tmp_path / "no.yaml")[0].message
    assert "cannot be read: Is a directory" in config.problems(tmp_path)[0].message


def test_what_this_machine_lacks_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A laptop without the device's secrets can check the file; the daemon names what it misses."""
    monkeypatch.delenv("CAM_PASSWORD", raising=False)
    path = write(tmp_path, CONTRACT)
    found = config.problems(path)
    assert [(problem.path, problem.missing_here) for problem in found] == [
        ("mqtt.password", True),
        ("cameras.porch.source.url", True),
    ]
    with pytest.raises(ConfigError, match="the environment variable CAM_PASSWORD is not set"):
        config.load(path)


def test_what_this_machine_lacks_is_the_only_complaint_about_it(tmp_path: Path) -> None:
    """Not that it is no address, or that nothing has its name."""
    rules = (
        "[{name: {env: NOT_HERE}, when: enter, zone: {env: NOT_HERE}}, {name: {env: NOT_HERE}, when: all, seconds: 2"
    )
    path = write(
        tmp_path,
        "cameras:\n  porch:\n    source: {type: rtsp, url: {file: not_here}}\n"
        f"    rules: {rules}, all: [{{env: NOT_HERE}}]}}]\n  yard: {{source: {{type: http, url: {{env: NOT_HERE}}}}}}",
    )
    found = config.problems(path)
    assert found and all(problem.missing_here for problem in found), [problem.text("") for problem in found]
    path.write_text(path.read_text().replace("type: rtsp", "type: rtps"))
    path.write_text(path.read_text() + "\nmqtt: {host: mqtt://10.0.0.9, password: {env: NOT_HERE}}")
    wrong = [problem.path for problem in config.problems(path) if not problem.missing_here]
    assert wrong == ["cameras.porch.source", "mqtt"], "all else is checked as ever"


def test_secrets_come_from_where_the_file_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The credentials directory first, then a path; the environment; the text itself."""
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "pw").write_text("from credentials\n")
    (tmp_path / "pw").write_text("from the folder\n")
    monkeypatch.setenv("PW", "12345")

    def password(written: str) -> Secret:
        return config.load(write(tmp_path, CAMERA + f"mqtt:\n  username: me\n  password: {written}")).mqtt.password

    assert password("{file: pw}") == Secret("from the folder")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert password("{file: pw}") == Secret("from credentials")
    assert password(f"{{file: {tmp_path}/pw}}") == Secret("from the folder")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert password("{file: ~/pw}") == Secret("from the folder")
    (tmp_path / "pw").write_bytes(b"\xef\xbb\xbffrom Windows\r\n")
    assert password(f"{{file: {tmp_path}/pw}}") == Secret("from Windows")
    assert password("{env: PW}") == Secret("12345")
    assert password("${PW}") == Secret("12345")
    assert password("'$${PW}'") == Secret("${PW}")
    assert password("12345") == Secret("12345")


@pytest.mark.parametrize("written", ["{env: WORD}", "'${WORD}'"])
def test_what_is_no_text_is_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    """Saved in another encoding, it can be sent to no broker and no camera."""
    monkeypatch.setenv("WORD", "p\udce4ss")
    (line,) = told(tmp_path, CAMERA + f"mqtt: {{username: me, password: {written}}}")
    assert line.endswith(":4: mqtt.password: the environment variable WORD is not UTF-8 text")


@pytest.mark.parametrize(
    ("content", "words"),
    [("pässword".encode("latin-1"), "is not UTF-8 text"), (b"x" * 65537, "is larger than 64 KB: not a secret")],
)
def test_a_file_that_can_be_no_secret_is_told(tmp_path: Path, content: bytes, words: str) -> None:
    """Saved in another encoding, or another file than was meant."""
    (tmp_path / "pw").write_bytes(content)
    (line,) = told(tmp_path, CAMERA + "mqtt: {username: me, password: {file: pw}}")
    assert line.endswith(f":4: mqtt.password: the file {tmp_path}/pw {words}")


def test_secrets_do_not_print(tmp_path: Path) -> None:
    """Neither in a repr, a str or a format; problems never repeat text from outside the file."""
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret} {secret!r} {secret!s} {[secret]}"
    (tmp_path / "pw").write_text("hunter2")
    lines = told(tmp_path, CAMERA + "    fps: {file: pw}\ndevice: {file: pw}\nlog: {level: {file: pw}}\n")
    assert len(lines) == 2
    assert "hunter2" not in "".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        "    rules: [{name: a, when: enter, zone: HERE}]",
        "    rules: [{name: a, when: cross, line: HERE}]",
        "    labels: [HERE]",
        "model: {name: HERE}",
        "model: {engine: HERE}",
        "model: {engine: {type: HERE}}",
        "model: {engine: {type: remote, url: HERE}}",
        "metrics: {host: HERE}",
        "place: {timezone: HERE}",
    ],
)
def test_what_stands_elsewhere_is_not_repeated(tmp_path: Path, text: str) -> None:
    """A file may hold more than was thought, and the state tells what is wrong to all who subscribe."""
    (tmp_path / "pw").write_text("hunter2")
    (line,) = told(tmp_path, CAMERA + text.replace("HERE", "{file: pw}"))
    assert "hunter2" not in line and "'***'" in line
    (line,) = told(tmp_path, CAMERA + text.replace("HERE", "hunter2"))
    assert "'hunter2'" in line


def test_it_comes_through_a_process_of_its_own(tmp_path: Path) -> None:
    """The daemon gets the same options, or the same error, without ever importing YAML or pydantic."""
    good = write(tmp_path, CAMERA + "model: {engine: tflite}")
    program = (
        "import sys, pickle\nfrom pathlib import Path\nfrom edgerun import config\n"
        f"loaded = config.load_isolated(Path({str(good)!r}))\n"
        "heavy = {'yaml', 'pydantic', 'pydantic_core', 'rich', 'jsonschema'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "sys.stdout.buffer.write(pickle.dumps(loaded))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert pickle.loads(done.stdout) == config.load(good)

    bad = write(tmp_path, CAMERA + "    fps: 0")
    with pytest.raises(ConfigError, match=r"edgerun.yaml:4: cameras.porch.fps: must be greater than 0, not '0'"):
        config.load_isolated(bad)


def test_options_stay_frozen_and_comparable(tmp_path: Path) -> None:
    """A reload restarts only what differs, so equal files must give equal options."""
    path = write(tmp_path, CONTRACT.replace("${CAM_PASSWORD}", "x").replace("{file: mqtt_password}", "x"))
    first, second = config.load(path), config.load(path)
    assert first == second
    assert pickle.loads(pickle.dumps(first)) == first
    changed = config.load(write(tmp_path, path.read_text().replace("fps: 5", "fps: 6")))
    assert changed.cameras["porch"] != first.cameras["porch"]
    assert changed.mqtt == first.mqtt


# the schema


def test_the_schema_agrees_with_the_checks(tmp_path: Path) -> None:
    """An editor that knows the schema accepts what edgerun accepts."""
    import jsonschema
    import yaml

    schema = config.editor_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(CONTRACT), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"cameras": {"a": {"source": {"type": "file", "path": "x", "pth": "y"}}}}, schema)


FROM_OUTSIDE = """
device: {env: WORD}
state_dir: {file: word}
mqtt:
  host: {env: WORD}
  port: "${NUMBER}"
  tls: {ca: {file: word}}
  password: {env: WORD}
  username: x
  commands: {env: TRUTH}
model: {path: x.onnx, engine: {env: ENGINE}, score: "0.${NUMBER}"}
cameras:
  a:
    source: {type: rtsp, url: {env: URL}, transport: {env: TCP}}
    enabled: {env: TRUTH}
    fps: {env: NUMBER}
    labels: [{env: WORD}, person]
    zones: {path: {polygon: [[0, 0], [{env: NUMBER}, 0], [1, 1]]}}
"""


def test_the_schema_knows_what_comes_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a check takes it, an editor does not mark it as wrong; what it does not take stays wrong."""
    import jsonschema
    import yaml

    outside = {"WORD": "word", "NUMBER": "1", "TRUTH": "true", "ENGINE": "onnx", "URL": "rtsp://camera/", "TCP": "tcp"}
    for name, value in outside.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "word").write_text("word")
    assert config.load(write(tmp_path, FROM_OUTSIDE)).cameras["a"].fps == 1
    schema = config.editor_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(FROM_OUTSIDE), schema)
    for wrong in (
        "{env: WORD}",
        "{device: {environment: WORD}}",
        "{device: {env: WORD, file: word}}",
        "{mqtt: {password: {env: {env: WORD}}}}",
        "{mqtt: {tls: {ca: [x]}}}",
        "{mqtt: {port: word}}",
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"cameras": {"a": {"source": {"type": "v4l2"}}}} | yaml.safe_load(wrong), schema)


AS_IT_LOOKS = """
device: 7
mqtt: {version: 5, username: 0815, password: 4711, client_id: true, tls: }
model: {path: x.onnx, engine: {type: onnx, provider_options: {cuda: {device_id: 1}}}}
outbox:
cameras:
  a:
    source: {type: v4l2, device: }
    zones:
    labels: [7, no]
    rules:
      - {name: 1, when: count, zone: , at_least: 1, schedule: 22:00-06:00}
"""


def test_the_schema_takes_what_stands_there_for_what_it_is(tmp_path: Path) -> None:
    """As the check does: a text that looks like a number, a truth or a date is a text, and no value is none."""
    import jsonschema
    import yaml

    said = {problem.path: problem.message for problem in config.problems(write(tmp_path, AS_IT_LOOKS))}
    assert said == {"cameras.a.rules[0]": "a rule with when: count needs zone"}
    schema = config.editor_schema()
    jsonschema.validate(yaml.safe_load(AS_IT_LOOKS), schema)
    for wrong in ("{mqtt: {version: 4}}", "{mqtt: {port: , host: [x]}}", "{model: {rollout: 1}}", "{cameras:}"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"cameras": {"a": {"source": {"type": "v4l2"}}}} | yaml.safe_load(wrong), schema)


def test_every_field_is_described() -> None:
    """The reference and editors' hints come from these sentences."""

    def undescribed(node: Any, path: str) -> list[str]:
        found = []
        if isinstance(node, dict):
            for name, one in node.get("properties", {}).items():
                if "description" not in one and "const" not in one:
                    found.append(f"{path}.{name}")
            for key, child in node.items():
                found += undescribed(child, f"{path}.{key}")
        elif isinstance(node, list):
            for child in node:
                found += undescribed(child, path)
        return found

    assert undescribed(config.json_schema(), "") == []


def test_everything_in_the_tree_is_frozen() -> None:
    """No part of a configuration changes after it was read."""

    def open_ones(value: Any) -> list[str]:
        if not is_dataclass(value) or isinstance(value, type):
            return []
        found = []
        for part in fields(value):
            inside = getattr(value, part.name)
            found += open_ones(inside)
            with suppress(FrozenInstanceError):
                setattr(value, part.name, inside)
                found.append(f"{type(value).__name__}.{part.name}")
        return found

    root = text.parse((CAMERA + "model: {engine: tflite, head: yolox}").encode())
    loaded, problems = validation.validate(root)
    assert loaded is not None, problems
    assert open_ones(loaded) == []
    assert asdict(loaded)["cameras"]["porch"]["source"]["type"] == "file"


# hostile texts

SCALARS = st.one_of(st.text(max_size=8), st.integers(), st.floats(), st.booleans(), st.none())
NAMES = st.sampled_from(
    ["cameras", "porch", "source", "type", "file", "path", "zones", "polygon", "rules", "name", "when", "zone", "all",
     "mqtt", "model", "engine", "head", "device", "env", "outbox", "labels", "lines", "from", "to", "ground", "place"]
)  # fmt: skip
TREES = st.recursive(
    SCALARS | NAMES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=24,
)


def survives(raw: bytes) -> None:
    """Any text is either a Config or problems; nothing else comes out, and soon."""
    start = time.process_time()
    try:
        root = text.parse(raw)
    except text.RefusedError as refused:
        assert refused.problem.line >= 1
    else:
        missing = outside.fill_in(root, Path("/nonexistent"), {})
        loaded, problems = validation.validate(root)
        assert isinstance(loaded, Config) or problems or missing
    assert time.process_time() - start < 20  # a hang, not a speed


@settings(max_examples=300)
@given(st.dictionaries(NAMES, TREES, max_size=6))
@example({"cameras": {"porch": {"source": {"type": "file", "path": 1}, "rules": {"all": 3}, "zones": [None]}}})
def test_no_tree_gets_through_unchecked(tree: Any) -> None:
    """Whatever stands where, it is a problem and never an exception."""
    survives(json.dumps(tree).encode())


@settings(max_examples=300)
@given(st.binary(max_size=200) | st.text("{}[]:,-&*!|>'\"#%@`?\n \tab1~$", max_size=120).map(str.encode))
def test_no_text_gets_through_unchecked(raw: bytes) -> None:
    """Nor any bytes."""
    survives(raw)


@settings(max_examples=200)
@given(st.integers(0, len(CONTRACT) - 1), st.sampled_from(["", "\n", "  ", ":", "{", "]", "-", "${", "~", "\0"]))
def test_no_slip_of_the_pen_gets_through_unchecked(at: int, typed: str) -> None:
    """Nor one wrong key pressed in a good file."""
    survives((CONTRACT[:at] + typed + CONTRACT[at + 1 :]).encode())


@pytest.mark.parametrize(("told", "starts"), [(None, 0.3), (0.5, 0.5), (0.2, 0.2)])
def test_the_models_score_starts_tracks_where_the_tracker_is_not_told(told: float | None, starts: float) -> None:
    camera = config.CameraOptions(
        source=config.source("file", path="clip.mp4"), tracker=TrackerOptions(start_score=told)
    )
    whole = Config(cameras={"gate": camera}, model=config.ModelChoice(score=0.3))
    assert pipeline_for(whole, "gate", ("person",), (300, 300)).score == starts


@pytest.mark.parametrize("written", ["9.41\u202fPM.mp4", "\u00a0clip.mp4\u00a0", "'\u201cclip\u201d.mp4'"])
def test_odd_blanks_and_quotation_marks_that_may_be_meant_are_taken(tmp_path: Path, written: str) -> None:
    """As macOS names its recordings, and in quotes."""
    assert told(tmp_path, CAMERA.replace("clip.mp4", written) + f"# \u201c\u00a0\u201d {written}\n") == []
