"""``edgerun models`` as a person uses it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgerun.cli import main
from edgerun.images import png
from edgerun.models import resolve
from tests.engines import onnx_models as make
from tests.shared_media import SHARED, needs_shared

AXIS_1 = make.attribute("axis", 1)


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGERUN_MODELS", str(tmp_path / "store"))
    return tmp_path / "store"


def test_list_says_what_is_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    told = capsys.readouterr().out
    assert "person-ssdlite-int8          here" in told
    assert "(1 label, 300x300 uint8)" in told and "(90 labels, 300x300 uint8)" in told
    assert main(["models", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["person-ssdlite-int8"]["here"]
    assert not rows["blazeface-short-range"]["here"]


def test_info_of_the_bundled_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "info", "person-ssdlite-int8", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["engine"], told["head"], told["labels"]) == ("tflite", "ssd_raw", ["person"])
    assert told["inputs"][0]["shape"] == [1, 300, 300, 3]
    assert told["assumed"] == ""


def test_info_tells_what_is_taken_for_granted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Raw maps may be YOLOv7's as well as YOLOv5's; here they are of one class."""
    pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
    sides = (8, 4, 2)
    nodes = [make.node("GlobalMaxPool", ["picture"], ["one"]), make.node("Concat", ["one"] * 6, ["all"], AXIS_1)]
    nodes += [make.node("Expand", ["all", f"shape{side}"], [f"map{side}"]) for side in sides]
    outputs = [make.value(f"map{side}", [1, 18, side, side]) for side in sides]
    shapes = [make.integers(f"shape{side}", [1, 18, side, side]) for side in sides]
    path = tmp_path / "raw.onnx"
    path.write_bytes(make.model(nodes, [make.value("picture", [1, 3, 64, 64])], outputs, shapes))
    assert main(["models", "info", str(path)]) == 0
    told = capsys.readouterr().out
    assert "head     yolov5\nassumed  YOLOv5's own anchors" in told


def test_labels_for_a_model_that_has_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """Are not silently left out."""
    assert main(["models", "info", "person-ssdlite-int8", "--labels", "mine.txt"]) == 78
    assert "--labels goes with a model file" in capsys.readouterr().err


def test_info_of_a_damaged_model_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(resolve("person-ssdlite-int8").path.read_bytes()[:100_000])
    assert main(["models", "info", str(damaged)]) == 78
    said = capsys.readouterr().err
    assert "damaged, or no TensorFlow Lite model" in said
    assert len(said.splitlines()) == 1


@needs_shared
def test_pull_from_a_folder_then_verify_then_damage(
    tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, stick = "ssd-mobilenet-v1-coco-int8", tmp_path / "stick"
    stick.mkdir()
    shutil.copy(SHARED / "models" / "coco_ssd_mobilenet_v1_quant.tflite", stick / f"{name}.tflite")
    assert main(["models", "verify", name]) == 1
    assert "not here" in capsys.readouterr().out
    assert main(["models", "pull", name, "--from", str(stick)]) == 0
    assert main(["models", "verify"]) == 0
    assert f"good  {store / name}.tflite" in capsys.readouterr().out
    with (store / f"{name}.tflite").open("r+b") as model:
        model.seek(1000)
        model.write(b"?")
    assert main(["models", "verify"]) == 1
    assert "DAMAGED" in capsys.readouterr().out


@needs_shared
def test_a_model_that_cannot_be_had_keeps_no_other_away(
    tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, lacking, stick = "ssd-mobilenet-v1-coco-int8", "blazeface-short-range", tmp_path / "stick"
    stick.mkdir()
    shutil.copy(SHARED / "models" / "coco_ssd_mobilenet_v1_quant.tflite", stick / f"{name}.tflite")
    assert main(["models", "pull", lacking, name, "--from", str(stick)]) == 78
    assert "none of" in capsys.readouterr().err
    assert main(["models", "verify", name]) == 0


def test_a_head_that_there_is_not(tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A catalogue of one's own may name one, and it is told which there are."""
    store.mkdir()
    model, picture = resolve("person-ssdlite-int8"), tmp_path / "gray.png"
    shutil.copy(model.path, store / "mine.tflite")
    picture.write_bytes(png(np.full((30, 40, 3), 99, np.uint8)))
    file = {"name": "mine.tflite", "sha256": model.sha256, "size": model.path.stat().st_size, "source": "stick"}
    words = {"task": "detection", "good_for": "doors", "input": "x", "licence": "none", "labels": ["door"]}
    (store / "catalogue.json").write_text(json.dumps({"mine": {**words, "files": [file], "head": "yolo99"}}))
    why = "The catalogue gives 'mine' the head 'yolo99', which there is not: ssd, "
    assert main(["detect", "--model", "mine", str(picture)]) == 78
    assert why in capsys.readouterr().err
    assert main(["models", "info", "mine"]) == 0
    assert why in capsys.readouterr().out


def test_unknown_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "pull", "nothing-like-it"]) == 78
    assert "Known are: " in capsys.readouterr().err


def test_a_network_that_is_away_is_no_fault_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 1, as the same command may well go through later; 78 is for what never will."""
    file = {"name": "door.onnx", "sha256": "0" * 64, "size": 4, "source": "https://127.0.0.1:1/door.onnx"}
    words = {"task": "detection", "good_for": "doors", "input": "8x8", "licence": "none", "labels": ["door"]}
    (tmp_path / "catalogue.json").write_text(json.dumps({"door": {**words, "files": [file]}}))
    monkeypatch.setenv("EDGERUN_MODELS", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert main(["models", "pull", "door"]) == 1
    assert "Run the same command again" in capsys.readouterr().err
