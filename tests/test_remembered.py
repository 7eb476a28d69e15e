"""What a start came to is found again by the next one, and by nobody who could have forged it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edgerun.cli import main
from edgerun.config import load_isolated, problems
from edgerun.remembered import Remembered, key_of, note_load, recall, remember

CONFIG = "device: porch\ncameras:\n  door:\n    source: {type: file, path: clip.mp4}\n"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "cache"))
    return tmp_path / "cache" / "starts"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "edgerun.yaml"
    file.write_text(CONFIG)
    return file


def test_a_good_configuration_is_not_checked_again(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_isolated(config)
    monkeypatch.setattr("edgerun.config.ISOLATED_S", 0.0)  # a second check would fail
    assert load_isolated(config) == first


def test_what_the_engine_had_to_load_is_kept_beside_it(config: Path) -> None:
    assert problems(config) == []
    note_load(config, b"load")
    found = recall(config)
    assert found is not None and found.load == b"load"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda config, kept: config.write_text(CONFIG.replace("porch", "gate")),
        lambda config, kept: kept.write_bytes(kept.read_bytes()[:-1] + b"?"),
        lambda config, kept: kept.write_bytes(b""),
        lambda config, kept: kept.chmod(0o666),
        lambda config, kept: kept.parent.chmod(0o777),
        lambda config, kept: kept.rename(kept.with_suffix(".real")) and kept.symlink_to(kept.with_suffix(".real")),
    ],
    ids=["another text", "damaged", "empty", "writable by others", "in a folder of others", "a link"],
)
def test_what_is_not_surely_the_same_does_not_count(
    config: Path, cache: Path, spoil: Callable[[Path, Path], object]
) -> None:
    assert problems(config) == []
    assert recall(config) is not None
    (kept,) = cache.iterdir()
    spoil(config, kept)
    assert recall(config) is None


@pytest.mark.parametrize("value", ["{env: MQTT_WORD}", "${MQTT_WORD}", "{file: word}"])
def test_secrets_from_elsewhere_are_never_kept(
    config: Path, cache: Path, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would be copied to another disk, and outlive a change of the environment."""
    monkeypatch.setenv("MQTT_WORD", "sesame")
    (config.parent / "word").write_text("sesame")
    config.write_text(CONFIG + f"mqtt: {{username: me, password: {value if value[0] == '{' else repr(value)}}}\n")
    assert load_isolated(config).mqtt.password.value == "sesame"
    assert recall(config) is None and not cache.exists()


def test_a_model_that_a_store_adds_may_be_gone_the_next_time(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGERUN_MODELS", str(tmp_path))
    door = {"files": [], "labels": ["door"], **dict.fromkeys(("task", "good_for", "input", "licence"), "x")}
    (tmp_path / "catalogue.json").write_text(json.dumps({"door": door}))
    config.write_text(CONFIG + "model: {name: door}\n")
    assert problems(config) == []
    assert recall(config) is None
    (tmp_path / "catalogue.json").unlink()
    assert [problem.path for problem in problems(config)] == ["model.name"]


def test_only_some_are_kept_and_only_for_their_user(tmp_path: Path, cache: Path) -> None:
    for number in range(20):
        file = tmp_path / f"{number}.yaml"
        file.write_text(CONFIG)
        remember(file, key_of(file, CONFIG.encode()), Remembered(b"config"))
    kept = list(cache.iterdir())
    assert len(kept) == 16
    assert {file.stat().st_mode & 0o777 for file in kept} == {0o600}


def test_check_says_the_same_of_a_known_file(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(config)]) == 0
    first = capsys.readouterr().out
    assert main(["check", str(config)]) == 0
    assert capsys.readouterr().out == first
    config.write_text(CONFIG + "nonsense: 1\n")
    assert main(["check", str(config)]) == 78
