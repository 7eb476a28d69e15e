"""The ExecuTorch engine, against stand-ins with the real names (executorch 1.5.1 runtime/__init__.py): PyTorch is too
large to bring along."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from edgerun.engines.executorch import Executorch, ExecutorchOptions
from edgerun.errors import EngineError, ModelError
from edgerun.types import Array


class Tensor:
    def __init__(self, array: Array) -> None:
        self._array = array

    def numpy(self) -> Array:
        return self._array


class TensorInfo:
    def __init__(self, sizes: tuple[int, ...], dtype: int) -> None:
        self._sizes, self._dtype = sizes, dtype

    def sizes(self) -> tuple[int, ...]:
        return self._sizes

    def dtype(self) -> int:
        return self._dtype


class MethodMeta:
    """A factor, then a picture."""

    def num_inputs(self) -> int:
        return 2

    def num_outputs(self) -> int:
        return 1

    def input_tensor_meta(self, index: int) -> TensorInfo:
        return TensorInfo(((1, 1), (1, 3, 6, 8))[index], 6)


class Method:
    metadata = MethodMeta()

    def execute(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        factor, picture = (tensor.numpy() for tensor in inputs)
        if picture.shape != (1, 3, 6, 8):
            raise RuntimeError("method->execute() failed with error 0x12")
        return [Tensor(picture.max(axis=(2, 3)) * factor)]


class Program:
    method_names = frozenset({"forward"})

    def load_method(self, name: str) -> Method:
        return Method()


class Runtime:
    @classmethod
    def get(cls) -> Runtime:
        return cls()

    def load_program(self, data: Path) -> Program:
        if data.read_bytes()[4:8] != b"ET12":
            raise RuntimeError("loading program failed with error 0x23")
        return Program()


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    torch = SimpleNamespace(from_numpy=Tensor, set_num_threads=lambda count: None)
    package, runtime = ModuleType("executorch"), ModuleType("executorch.runtime")
    runtime.Runtime = Runtime  # type: ignore[attr-defined]  # a module made here
    for name, module in {"torch": torch, "executorch": package, "executorch.runtime": runtime}.items():
        monkeypatch.setitem(sys.modules, name, module)
    path = tmp_path / "model.pte"
    path.write_bytes(b"\0\0\0\0ET12")
    (tmp_path / "metadata.yaml").write_text("stride: 32\nnames:\n  0: person\n")
    return path


def test_a_program_runs_with_the_picture_first(model: Path) -> None:
    engine = Executorch(ExecutorchOptions(), model)
    assert [spec.name for spec in engine.io.inputs] == ["input_1", "input_0"]
    assert engine.io.size == (8, 6)
    assert engine.io.outputs[0].shape == (1, 3)
    assert engine.io.metadata == {"stride": "32", "names": "{0: 'person'}"}
    picture = np.zeros((1, 3, 6, 8), np.float32)
    picture[0, :, 2, 3] = 1, 2, 3
    assert engine.infer([picture, np.full((1, 1), 10, np.float32)])[0].tolist() == [[10, 20, 30]]
    with pytest.raises(EngineError, match="error 0x12"):
        engine.infer([picture[:, :2], np.ones((1, 1), np.float32)])
    engine.close()


def test_what_is_missing_or_unfit_is_told(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match=r"no method 'encode'; it has \['forward'\]"):
        Executorch(ExecutorchOptions(method="encode"), model)
    model.write_bytes(b"nonsense")
    with pytest.raises(ModelError, match=r"cannot load it .*error 0x23"):
        Executorch(ExecutorchOptions(), model)
    with pytest.raises(ModelError, match="is not there"):
        Executorch(ExecutorchOptions(), model.with_name("none.pte"))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EngineError, match="pip install executorch torch"):
        Executorch(ExecutorchOptions(), model)
