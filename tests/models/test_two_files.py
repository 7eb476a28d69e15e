"""Models whose weights are a file of their own (ncnn, OpenVINO): both go everywhere together."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgerun.cli import main
from edgerun.config import ModelChoice
from edgerun.errors import ModelError
from edgerun.models import resolve
from edgerun.models.catalogue import catalogue
from edgerun.models.store import find, pull
from edgerun.runtime import reload
from edgerun.runtime.inference.engines import candidates
from edgerun.runtime.inference.preference import key_of

PARAM, WEIGHTS = b"7767517\n", b"\1\2\3\4"


def said(folder: Path, name: str, content: bytes) -> dict[str, Any]:
    (folder / name).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return {"name": name, "sha256": digest, "size": len(content), "source": str(folder / name)}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with a catalogue of one such model, whose files lie elsewhere yet."""
    store, source = tmp_path / "store", tmp_path / "source"
    store.mkdir()
    source.mkdir()
    file = said(source, "door.param", PARAM) | {"weights": said(source, "door.bin", WEIGHTS)}
    words = {"task": "detection", "good_for": "doors", "input": "8x8", "licence": "none", "labels": ["door"]}
    (store / "catalogue.json").write_text(json.dumps({"door": {**words, "files": [file]}}))
    monkeypatch.setenv("EDGERUN_MODELS", str(store))
    return store


def test_both_are_pulled_verified_and_told_of_as_one(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (file,) = catalogue([store])["door"].files
    assert main(["models", "pull", "door"]) == 0
    assert (store / "door.bin").read_bytes() == WEIGHTS
    model = resolve("door")
    assert (model.path, model.sha256) == (store / "door.param", hashlib.sha256(PARAM + WEIGHTS).hexdigest())
    assert [one.name for one in candidates(model, None)] == ["ncnn"]
    (store / "door.bin").write_bytes(b"\1\2\3\5")
    assert main(["models", "verify", "door"]) == 1
    assert "door.bin" in next(line for line in capsys.readouterr().out.splitlines() if "DAMAGED" in line)
    pull(file, lambda have, total: None)
    assert (store / "door.bin").read_bytes() == WEIGHTS
    (store / "door.bin").unlink()
    assert find(file) is None
    with pytest.raises(ModelError, match="edgerun models pull door"):
        resolve("door")


def test_new_weights_are_another_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgerun.runtime.inference.engines.installed", lambda name: name)
    path = tmp_path / "door.xml"
    path.write_bytes(b"<net/>")
    with pytest.raises(ModelError, match=r"door\.bin is not there; it belongs beside door\.xml"):
        resolve("", str(path))
    path.with_suffix(".bin").write_bytes(WEIGHTS)
    before = resolve("", str(path))
    running: Any = SimpleNamespace(choice=ModelChoice(path=str(path)), model=before)
    remembered = key_of(before, candidates(before, None))
    assert not reload.is_another(running)
    path.with_suffix(".bin").write_bytes(WEIGHTS * 2)
    after = resolve("", str(path))
    assert after.sha256 != before.sha256
    assert key_of(after, candidates(after, None)) != remembered, "engines are tried out anew"
    assert reload.is_another(running), "a reload takes it over"
    path.with_suffix(".bin").unlink()
    assert not reload.is_another(running), "what was loaded runs on without its file"


def test_a_catalogue_that_forgets_the_weights_is_refused(store: Path, tmp_path: Path) -> None:
    told = json.loads((store / "catalogue.json").read_text())
    told["door"]["files"][0]["weights"]["name"] = "../door.bin"
    (store / "catalogue.json").write_text(json.dumps(told))
    with pytest.raises(ModelError, match=r"'\.\./door\.bin' is no name for a file"):
        resolve("door")
    del told["door"]["files"][0]["weights"]
    (store / "catalogue.json").write_text(json.dumps(told))
    with pytest.raises(ModelError, match=r"door\.param is to have door\.bin for its weights"):
        resolve("door")
