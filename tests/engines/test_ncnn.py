"""The ncnn engine runs a pair of .param and .bin files, and gives its tensors the batch that heads expect."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgerun.engines.ncnn import Ncnn, NcnnOptions
from edgerun.errors import EngineError, ModelError
from tests.converters import as_ncnn
from tests.engines.agreement import assert_agrees
from tests.shared_media import SHARED, needs_shared

pytest.importorskip("ncnn", reason="the extra [ncnn] is not installed")

MAXIMUM = """7767517
2 2
Input    in0   0 1 in0{size}
Pooling  pool  1 1 in0 out0 0=0 4=1
"""
METADATA = """\
# written by an exporter
description: A "model", for tests
stride: 32
task: detect
imgsz:
- 24
- 32
names:
  0: person
  1: 'traffic light'
"""


def saved(folder: Path, param: str) -> Path:
    (folder / "model.ncnn.bin").write_bytes(b"")
    path = folder / "model.ncnn.param"
    path.write_text(param)
    return path


def test_a_model_runs(tmp_path: Path) -> None:
    engine = Ncnn(NcnnOptions(input_size=(8, 6)), saved(tmp_path, MAXIMUM.format(size="")))
    assert engine.io.inputs[0].shape == (1, 3, 6, 8)
    assert engine.io.outputs[0].shape == (1, 3)
    picture = np.zeros((1, 3, 6, 8), np.float32)
    picture[0, :, 2, 3] = 1, 2, 3
    assert engine.infer([picture])[0].tolist() == [[1, 2, 3]]
    engine.close()


def test_the_input_size_is_taken_from_what_tells_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The option, the exporter's metadata, the model, the converter's file beside it, and last the usual size."""
    path = saved(tmp_path, MAXIMUM.format(size=""))
    assert Ncnn(NcnnOptions(), path).io.size == (640, 640)
    assert "Set input_size" in caplog.text
    (tmp_path / "model.pnnx.param").write_text("7767517\n1 1\npnnx.Input in0 0 1 0 #0=(1,3,40,48)f32\n")
    assert Ncnn(NcnnOptions(), path).io.size == (48, 40)
    assert Ncnn(NcnnOptions(), saved(tmp_path, MAXIMUM.format(size=" 0=56 1=64 2=3"))).io.size == (56, 64)
    (tmp_path / "metadata.yaml").write_text(METADATA)
    engine = Ncnn(NcnnOptions(), path)
    assert engine.io.size == (32, 24)
    assert engine.io.metadata["names"] == "{0: 'person', 1: 'traffic light'}"
    assert engine.io.metadata["task"] == "detect"


@pytest.mark.parametrize(
    ("param", "words"),
    [("nonsense", "is no ncnn model"), (MAXIMUM.replace("Pooling", "Unheard"), "operation ncnn lacks")],
)
def test_an_unfit_file_is_a_model_error(tmp_path: Path, param: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        Ncnn(NcnnOptions(), saved(tmp_path, param))


def test_an_ending_in_capitals_is_the_same(tmp_path: Path) -> None:
    path = saved(tmp_path, MAXIMUM.format(size=""))
    Ncnn(NcnnOptions(), path.rename(path.with_suffix(".PARAM"))).close()


def test_a_missing_half_is_a_model_error(tmp_path: Path) -> None:
    path = saved(tmp_path, MAXIMUM.format(size=""))
    path.with_suffix(".bin").unlink()
    with pytest.raises(ModelError, match=r"model\.ncnn\.bin belongs beside it"):
        Ncnn(NcnnOptions(), path)
    with pytest.raises(ModelError, match=r"give the path of the \.param file"):
        Ncnn(NcnnOptions(), path.with_suffix(".bin"))
    with pytest.raises(ModelError, match="cannot be read"):
        Ncnn(NcnnOptions(), tmp_path / "none.param")


def test_sides_that_no_picture_has_are_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="pixels a side is the most"):
        Ncnn(NcnnOptions(), saved(tmp_path, MAXIMUM.format(size=" 0=2000000000 1=2000000000 2=3")))


def test_no_gpu_is_told(tmp_path: Path) -> None:
    if __import__("ncnn").get_gpu_count():
        pytest.skip("this machine has a GPU with Vulkan")
    with pytest.raises(EngineError, match="sees no GPU"):
        Ncnn(NcnnOptions(vulkan=True), saved(tmp_path, MAXIMUM.format(size="")))


@needs_shared
def test_a_real_model_agrees_with_onnx_runtime(tmp_path: Path) -> None:
    model = SHARED / "models" / "fastestdet_352.onnx"
    assert_agrees(Ncnn(NcnnOptions(), as_ncnn(model, tmp_path, 352, 352)), "fastestdet", model.name)
