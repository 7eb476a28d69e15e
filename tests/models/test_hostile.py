"""Model files that mean harm: whatever they do is done in a process of its own, and the answer is one sentence."""

from __future__ import annotations

import ast
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgerun.cli.models import inspect
from edgerun.config import ModelChoice, engine
from edgerun.engines.exported import read_exported
from edgerun.errors import EdgerunError, ModelError
from edgerun.models import resolve
from edgerun.runtime.inference.session import Session
from tests.engines import onnx_models as make
from tests.shared_media import SHARED, needs_shared

TFLITE = resolve("person-ssdlite-int8").path
ONNX = SHARED / "models" / "fastestdet_352.onnx"


def damaged(source: Path, folder: Path) -> Iterator[Path]:
    """The file cut short at eleven places, and with bits turned in twelve ways: everywhere, or at its start, where its
    structure is told."""
    whole = np.fromfile(source, np.uint8)
    for tenth in range(11):
        path = folder / f"cut-{tenth}{source.suffix}"
        whole[: len(whole) * tenth // 11].tofile(path)
        yield path
    for seed in range(12):
        rng = np.random.default_rng(seed)
        reach = len(whole) if seed % 2 else 4096
        places = rng.integers(4 if seed % 3 else 0, reach, size=1 + 40 * (seed % 4))
        turned = whole.copy()
        turned[places] ^= rng.integers(1, 256, size=len(places), dtype=np.uint8)
        path = folder / f"turned-{seed}{source.suffix}"
        turned.tofile(path)
        yield path


def judge(path: Path) -> str:
    """The one sentence, or that it could be loaded after all: turned bits in the weights make a model, if a bad one."""
    try:
        return f"loaded by {inspect(resolve('', str(path)))[0]}"
    except EdgerunError as error:
        return str(error)


@needs_shared
@pytest.mark.long
@pytest.mark.parametrize("source", [TFLITE, ONNX], ids=["tflite", "onnx"])
def test_damaged_files(source: Path, tmp_path: Path) -> None:
    said = {path.name: judge(path) for path in damaged(source, tmp_path)}
    assert len(said) == 23
    for name, sentence in said.items():
        assert sentence, name
        assert "\n" not in sentence, name
        assert "Traceback" not in sentence, name
    assert sum(not sentence.startswith("loaded") for sentence in said.values()) >= 10


def test_a_file_of_another_kind_under_a_model_s_name(tmp_path: Path) -> None:
    for suffix in (".tflite", ".onnx"):
        path = tmp_path / f"poem{suffix}"
        path.write_text("roses are red " * 1000)
        assert any(words in judge(path) for words in ("no TensorFlow Lite model", "not a whole ONNX model"))


def test_a_model_that_would_fill_the_memory(tmp_path: Path) -> None:
    """Its output is the brightest value of the picture, two thousand million times: 8 GB."""
    pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
    top = make.node("ReduceMax", ["picture"], ["top"], make.attribute("keepdims", 0))
    content = make.model(
        [top, make.node("Expand", ["top", "count"], ["all"])],
        [make.value("picture", [1, 3, 8, 8])],
        [make.value("all", ["n"])],
        [make.integers("count", [2 << 30])],
    )
    path = tmp_path / "vast.onnx"
    path.write_bytes(content)
    assert "onnx: No execution provider of ONNX Runtime could run vast.onnx" in judge(path)


def test_an_input_that_no_picture_fits(tmp_path: Path) -> None:
    """Whole numbers of which nothing tells what they stand for."""
    pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
    int8 = 3
    nodes = [
        make.node("Cast", ["in"], ["real"], make.attribute("to", 1)),
        make.node("GlobalMaxPool", ["real"], ["out"]),
    ]
    path, labels = tmp_path / "odd.onnx", tmp_path / "labels.txt"
    path.write_bytes(make.model(nodes, [make.value("in", [1, 3, 8, 8], int8)], [make.value("out", [1, 3, 1, 1])]))
    labels.write_text("red\ngreen\nblue\n")
    with pytest.raises(ModelError, match="'in' of type int8 cannot hold a picture"):
        Session(ModelChoice(path=str(path), labels=str(labels), engine=engine("onnx")))


def test_of_several_engines_refusals_the_wanted_one_s_is_told(tmp_path: Path) -> None:
    path = tmp_path / "poem.tflite"
    path.write_text("roses are red " * 1000)
    with pytest.raises(ModelError, match="no TensorFlow Lite model"):
        Session(ModelChoice(path=str(path)))


def test_a_path_that_is_no_plain_file(tmp_path: Path) -> None:
    """Reading a pipe or a device would never end."""
    pipe, vast = tmp_path / "pipe.onnx", tmp_path / "vast.onnx"
    os.mkfifo(pipe)
    with vast.open("wb") as file:
        file.truncate(1 << 40)
    for path, words in ((pipe, "a device or a pipe"), (vast, "larger than 4 GB"), (Path("/dev/zero"), "a device")):
        with pytest.raises(ModelError, match=words):
            resolve("", str(path))
        with pytest.raises(ModelError, match=r"no labels file|larger|is not there|cannot be read"):
            resolve("", str(TFLITE), labels=str(path))
    with pytest.raises(ModelError, match="cannot be read"):
        resolve("", "model\0.onnx")


@pytest.mark.parametrize("said", ["{[]: 1}", f"{{'names': 0x{'f' * 9999}}}", '{"names": "{[]: 1}", "stride": "32"}'])
def test_metadata_that_python_cannot_read_or_write(tmp_path: Path, said: str) -> None:
    path = tmp_path / "model.tflite"
    shutil.copy(TFLITE, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("metadata.json", said)
    assert judge(path) == "loaded by tflite"


def test_exported_metadata_with_a_number_that_is_too_long(tmp_path: Path) -> None:
    """For Python, which reads none of more than 4,300 digits."""
    (tmp_path / "metadata.yaml").write_text(f"names:\n  {'9' * 5000}: far\n  0: door\n")
    told = read_exported(tmp_path / "metadata.yaml")
    assert ast.literal_eval(told["names"]) == {"9" * 5000: "far", 0: "door"}


def test_metadata_made_to_explode_or_to_escape(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    shutil.copy(TFLITE, path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../escaped.txt", "someone\n")
        archive.writestr("huge.txt", b"\0" * 30_000_000)
        archive.writestr("metadata.json", "{" + '"a":' * 100_000)
    assert judge(path) == "loaded by tflite"
    assert not list(tmp_path.rglob("escaped.txt"))
