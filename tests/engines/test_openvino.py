"""The OpenVINO engine runs what ONNX Runtime runs, with the same result."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgerun.engines.openvino import Openvino, OpenvinoOptions
from edgerun.errors import EngineError, ModelError
from tests.engines import onnx_models as make
from tests.engines.agreement import assert_agrees
from tests.shared_media import SHARED, needs_shared

pytest.importorskip("openvino", reason="the extra [openvino] is not installed")

PICTURE = np.zeros((1, 3, 6, 8), np.float32)
PICTURE[0, :, 2, 3] = 1, 2, 3


@pytest.fixture
def options(tmp_path: Path) -> OpenvinoOptions:
    return OpenvinoOptions(input_size=(8, 6), cache_dir=tmp_path / "cache")


def test_nobody_is_told_that_it_runs(tmp_path: Path) -> None:
    """On import it calls a server on the internet, and notes who it is in the user's home."""
    program = f"""
import sys
calls = []
sys.addaudithook(lambda event, given: calls.append(event) if event in ("socket.connect", "os.fork") else None)
from pathlib import Path
from edgerun.engines.openvino import Openvino, OpenvinoOptions
Openvino(OpenvinoOptions(input_size=(8, 6), cache_dir=Path({str(tmp_path)!r})), Path({str(tmp_path)!r}, "model.onnx"))
assert calls == [], calls
"""
    saved(tmp_path, make.pooling(["batch", 3, "height", "width"]))
    environ = {**os.environ, "HOME": str(tmp_path)}
    environ.pop("CI", None)  # where it says nothing
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, env=environ)
    assert not (tmp_path / "intel").exists()


def saved(folder: Path, content: bytes, name: str = "model.onnx") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_open_dimensions_are_settled_and_metadata_is_told(tmp_path: Path, options: OpenvinoOptions) -> None:
    content = make.pooling(["batch", 3, "height", "width"], metadata={"stride": "32", "names": "{0: 'person'}"})
    engine = Openvino(options, saved(tmp_path, content))
    assert engine.io.size == (8, 6)
    assert engine.io.outputs[0].shape == (1, 3, 1, 1)
    assert engine.io.metadata == {"stride": "32", "names": "{0: 'person'}"}
    assert np.ravel(engine.infer([PICTURE])[0]).tolist() == [1, 2, 3]
    assert any((tmp_path / "cache").iterdir()), "the compiled model is kept"
    engine.close()


def test_an_ending_in_capitals_is_the_same(tmp_path: Path, options: OpenvinoOptions) -> None:
    """As other systems write it; the other engines take it, too."""
    Openvino(options, saved(tmp_path, make.pooling([1, 3, 6, 8]), "MODEL.ONNX")).close()


def test_without_a_place_to_keep_it_the_model_is_compiled_anew(
    tmp_path: Path, options: OpenvinoOptions, caplog: pytest.LogCaptureFixture
) -> None:
    path = saved(tmp_path, make.pooling([1, 3, 6, 8]))
    engine = Openvino(replace(options, cache_dir=path / "cache"), path)
    assert np.ravel(engine.infer([PICTURE])[0]).tolist() == [1, 2, 3]
    assert "Not a directory" in caplog.text and "Set cache_dir" in caplog.text
    engine.close()


def test_outputs_bear_the_names_that_the_file_gives_them(tmp_path: Path, options: OpenvinoOptions) -> None:
    """Compiling puts the last steps in another order, and the name of one stands beside the output's own then."""
    steps = [("GlobalMaxPool", "picture", "5"), ("Flatten", "5", "7"), ("Sigmoid", "7", "largest")]
    nodes = [make.node(step, [before], [after]) for step, before, after in steps]
    content = make.model(nodes, [make.value("picture", [1, 3, 6, 8])], [make.value("largest", [1, 3])])
    engine = Openvino(options, saved(tmp_path, content))
    assert [spec.name for spec in engine.io.outputs] == ["largest"]
    assert engine.infer([PICTURE])[0] == pytest.approx(1 / (1 + np.exp([[-1, -2, -3]])), abs=1e-3)


def test_several_pictures_are_looked_at_at_once(tmp_path: Path, options: OpenvinoOptions) -> None:
    engine = Openvino(replace(options, batch=2), saved(tmp_path, make.pooling(["batch", 3, "height", "width"])))
    assert engine.io.inputs[0].shape == (2, 3, 6, 8)
    (largest,) = engine.infer([np.concatenate([PICTURE, PICTURE / 2])])
    assert largest.reshape(2, 3).tolist() == [[1, 2, 3], [0.5, 1, 1.5]]


def test_the_picture_comes_first_whatever_the_files_order(tmp_path: Path, options: OpenvinoOptions) -> None:
    nodes = [make.node("GlobalMaxPool", ["picture"], ["top"]), make.node("Mul", ["top", "factor"], ["scaled"])]
    ins = [make.value("factor", [1]), make.value("picture", [1, 3, 6, 8])]
    engine = Openvino(options, saved(tmp_path, make.model(nodes, ins, [make.value("scaled", [1, 3, 1, 1])])))
    assert [spec.name for spec in engine.io.inputs] == ["picture", "factor"]
    assert np.ravel(engine.infer([PICTURE, np.array([10], np.float32)])[0]).tolist() == [10, 20, 30]


@pytest.mark.parametrize("device", ["GPU.7", "NPU", "XYZ"])
def test_a_device_that_is_not_there_is_an_engine_error(tmp_path: Path, device: str) -> None:
    path = saved(tmp_path, make.pooling([1, 3, 6, 8]))
    with pytest.raises(EngineError, match=rf"cannot use {device} .*It sees: CPU"):
        Openvino(OpenvinoOptions(device=device, cache_dir=tmp_path), path)


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (b"TFL3" * 100, "model.onnx", "not a whole ONNX model"),
        (b"nonsense" * 100, "model.tflite", "cannot read it"),
        (b"<net", "model.xml", "cannot read it"),
        (b"", "model.pt", "only"),
        (make.pooling([1, 3, 6, 8]), "saved_model.pb", "only"),
        (make.pooling([17, 3, 6, 8]), "model.onnx", "batch of 1 to 16"),
        (make.model([], [], [], [make.tensor("w", [3], b"", make.external("/etc/passwd"))]), "m.onnx", "another file"),
    ],
)
def test_an_unfit_file_is_a_model_error(
    tmp_path: Path, options: OpenvinoOptions, content: bytes, name: str, words: str
) -> None:
    with pytest.raises(ModelError, match=words):
        Openvino(options, saved(tmp_path, content, name))
    with pytest.raises(ModelError, match="is not there"):
        Openvino(options, tmp_path / "none.onnx")


@needs_shared
@pytest.mark.parametrize(("head", "model"), [("yolox", "yolox_nano_416.onnx"), ("fastestdet", "fastestdet_352.onnx")])
def test_real_models_agree_with_onnx_runtime(options: OpenvinoOptions, head: str, model: str) -> None:
    assert_agrees(Openvino(options, SHARED / "models" / model), head, model)
