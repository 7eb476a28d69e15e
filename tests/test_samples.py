"""Every sample can be used as it stands, and the reference says what the options say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from edgerun import config

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = sorted((ROOT / "configs").rglob("*.yaml"))
WHOLE = {"usb-camera.yaml", "rtsp-zones.yaml", "jetson-coral.yaml"}


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_sample_is_a_good_configuration(path: Path) -> None:
    """Only passwords are left to the reader."""
    wrong = [problem for problem in config.problems(path) if not problem.missing_here]
    assert wrong == []


def test_there_is_a_sample_for_every_plugin() -> None:
    """And none for a plugin that is not there."""
    there = {
        room: {path.stem for path in (ROOT / "configs" / room).glob("*.yaml")}
        for room in ("sources", "engines", "heads", "sinks")
    }
    assert there == {room: set(names) for room, names in config.plugin_tables().items()}
    assert {path.name for path in (ROOT / "configs").glob("*.yaml")} == WHOLE


def with_every_option(path: Path) -> str:
    """A sample with what is commented out taken in."""
    return re.sub(r"^( *)# (\w+:( .*)?)$", r"\1\2", path.read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("path", [path for path in SAMPLES if path.name not in WHOLE], ids=lambda path: path.stem)
def test_a_plugins_sample_stays_good_with_every_option_taken_in(path: Path, tmp_path: Path) -> None:
    """Its commented options are real ones at their right place."""
    (whole := tmp_path / path.name).write_text(with_every_option(path))
    wrong = [problem for problem in config.problems(whole) if not problem.missing_here]
    assert wrong == []


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_editor_marks_nothing_in_a_sample(path: Path) -> None:
    """Neither as it stands nor with every option taken in."""
    schema = jsonschema.Draft202012Validator(config.editor_schema())
    for text in (path.read_text(), with_every_option(path)):
        assert [f"{error.json_path}: {error.message}" for error in schema.iter_errors(yaml.safe_load(text))] == []


def test_the_reference_and_the_samples_are_current() -> None:
    """They are written by a script; this is the reminder to run it."""
    script = [sys.executable, str(ROOT / "scripts" / "build_docs.py"), "--check"]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_reference_has_no_dead_links() -> None:
    """Each type that a table mentions has its section."""
    text = (ROOT / "docs" / "config.md").read_text()
    headings = {line.lstrip("# ").lower() for line in text.splitlines() if line.startswith("## ")}
    assert set(re.findall(r"\]\(#([a-z]+)\)", text)) <= headings
