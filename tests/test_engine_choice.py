"""Which engines may serve a model file, and with which file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgerun.config import engine
from edgerun.errors import ModelError
from edgerun.models import resolve
from edgerun.models.catalogue import parts
from edgerun.runtime.inference.engines import candidates

MARK = b"....edgetpu-custom-op...."


@pytest.fixture
def compiled(tmp_path: Path) -> Path:
    """A compiled model with its plain file beside it."""
    (tmp_path / "door_edgetpu.tflite").write_bytes(MARK)
    (tmp_path / "door.tflite").write_bytes(b"plain")
    return tmp_path / "door_edgetpu.tflite"


def served_by(path: Path, name: str = "", *, fallback: bool = True, **options: Any) -> list[tuple[str, str]]:
    chosen = engine(name, **options) if name else None
    found = candidates(resolve("", str(path)), chosen, fallback=fallback)
    return [(one.name, one.load.model.name) for one in found]


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with TensorFlow Lite and ONNX Runtime, whatever is here."""
    there = {"tflite", "edgetpu", "onnx"}
    monkeypatch.setattr("edgerun.runtime.inference.engines.installed", lambda name: name if name in there else "")


def test_a_compiled_model_runs_on_the_accelerator_and_its_plain_sibling_on_the_processor(compiled: Path) -> None:
    wanted = [("edgetpu", "door_edgetpu.tflite"), ("tflite", "door.tflite")]
    assert served_by(compiled) == wanted
    assert served_by(compiled, "edgetpu") == wanted


def test_a_catalogued_model_may_come_in_two_files(
    compiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [
        {"name": path.name, "sha256": "0" * 64, "size": path.stat().st_size, "source": str(path)}
        for path in (compiled, compiled.with_name("door.tflite"))
    ]
    words = {"task": "detection", "good_for": "doors", "input": "8x8", "licence": "none", "labels": ["door"]}
    (tmp_path / "catalogue.json").write_text(json.dumps({"door": {**words, "files": files}}))
    monkeypatch.setenv("EDGERUN_MODELS", str(tmp_path))
    found = candidates(resolve("door"), None)
    assert [(one.name, one.load.model.name) for one in found] == [
        ("edgetpu", "door_edgetpu.tflite"),
        ("tflite", "door.tflite"),
    ]


def test_without_fallback_and_without_a_sibling_there_is_just_the_accelerator(compiled: Path) -> None:
    alone = [("edgetpu", "door_edgetpu.tflite")]
    assert served_by(compiled, "edgetpu", fallback=False) == alone
    compiled.with_name("door.tflite").unlink()
    assert served_by(compiled) == alone


def test_an_explicit_engine_gets_the_file_that_it_can_run(compiled: Path) -> None:
    assert served_by(compiled, "tflite") == [("tflite", "door.tflite")]


@pytest.mark.parametrize(
    ("file", "name", "options", "wanted"),
    [
        ("m.onnx", "", {}, ["onnx"]),
        ("m.onnx", "onnx", {}, ["onnx"]),
        ("m.onnx", "onnx", {"providers": ("cuda", "cpu")}, ["onnx", "onnx"]),
        ("m.onnx", "tensorrt", {}, ["tensorrt", "onnx"]),
        ("m.onnx", "openvino", {"device": "NPU"}, ["openvino", "onnx"]),
        ("m.tflite", "remote", {"url": "http://10.0.0.9:8000"}, ["remote", "tflite"]),
        ("m.tflite", "tflite", {}, ["tflite"]),
        ("m.other", "remote", {"url": "http://10.0.0.9:8000"}, ["remote"]),
        ("m.param", "", {}, ["ncnn"]),
    ],
)
def test_what_can_go_away_has_the_processor_behind_it(
    tmp_path: Path, file: str, name: str, options: dict[str, Any], wanted: list[str]
) -> None:
    for path in parts(tmp_path / file):
        path.write_bytes(b"model")
    assert [one for one, _ in served_by(tmp_path / file, name, **options)] == wanted


def test_what_is_built_on_the_device_is_given_time(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"model")
    model = resolve("", str(tmp_path / "m.onnx"))
    chosen = engine("tensorrt"), engine("onnx", providers=("tensorrt", "cpu")), engine("onnx", providers=("cuda",))
    assert [candidates(model, one)[0].builds for one in chosen] == [True, True, False]


def test_a_file_of_an_unknown_kind_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "model.h5").write_bytes(b"model")
    with pytest.raises(ModelError, match=r"model\.h5 is of a kind that no engine runs"):
        served_by(tmp_path / "model.h5")


@pytest.mark.parametrize(
    ("file", "name", "use"),
    [("m.tflite", "onnx", "tflite, openvino, or auto"), ("m.onnx", "tflite", "tensorrt, onnx, openvino, or auto")],
)
def test_a_file_of_a_kind_that_the_chosen_engine_does_not_run_is_not_called_damaged(
    tmp_path: Path, file: str, name: str, use: str
) -> None:
    """As where `engine: onnx` is written and the default model served."""
    (tmp_path / file).write_bytes(b"model")
    with pytest.raises(ModelError, match=f"The engine {name} does not run {file}. Use {use}"):
        served_by(tmp_path / file, name)


def test_what_an_accelerator_does_not_run_is_served_all_the_same(tmp_path: Path) -> None:
    """As is what it cannot run now; its own words say why."""
    (tmp_path / "m.tflite").write_bytes(b"model")
    assert [name for name, _ in served_by(tmp_path / "m.tflite", "tensorrt")] == ["tensorrt", "tflite"]


def test_engines_that_this_package_does_not_have_are_passed_over(
    compiled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgerun.runtime.inference.engines.plugin_tables", lambda: {"engines": ("tflite",)})
    assert served_by(compiled) == [("tflite", "door.tflite")]
