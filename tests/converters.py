"""One model in several formats, so that engines can be held against each other."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.servers.mlserver import TOOLS


def as_ncnn(model: Path, folder: Path, width: int, height: int) -> Path:
    """An ONNX model as ncnn's two files; their ``.param``. Skips the test where the converter is missing."""
    converters = [*TOOLS.parent.glob("lib/python3*/site-packages/pnnx/pnnx"), shutil.which("pnnx")]
    if not converters[0]:
        pytest.skip("the converter pnnx is not there: scripts/test installs it where the package index can be reached")
    shutil.copy(model, folder / model.name)
    shape = f"inputshape=[1,3,{height},{width}]f32"
    subprocess.run([converters[0], folder / model.name, shape], check=True, capture_output=True, timeout=120)
    return folder / f"{model.stem}.ncnn.param"


def as_openvino(model: Path, folder: Path) -> Path:
    """An ONNX model as OpenVINO's two files; their ``.xml``."""
    openvino = pytest.importorskip("openvino", reason="the extra [openvino] is not installed")
    path = folder / f"{model.stem}.xml"
    openvino.save_model(openvino.Core().read_model(str(model)), str(path), compress_to_fp16=False)
    return path
