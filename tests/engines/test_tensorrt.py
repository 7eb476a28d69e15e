"""The TensorRT engine: built on the device, kept, and honest about what a version can do."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from edgerun.engines.tensorrt import Tensorrt, TensorrtOptions
from edgerun.errors import EngineError, ModelError
from tests.engines import onnx_models as make
from tests.engines.fake_tensorrt import Machine, install

PICTURE = np.zeros((1, 3, 6, 8), np.float32)
PICTURE[0, :, 2, 3] = 1, 2, 3


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    install(monkeypatch, made)
    return made


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(make.pooling([1, 3, 6, 8], metadata={"stride": "32", "names": "{0: 'person'}"}))
    return path


def options(model: Path, **more: object) -> TensorrtOptions:
    chosen = {"cache_dir": model.parent / "cache", "input_size": (8, 6), **more}
    return TensorrtOptions(**chosen)  # type: ignore[arg-type]  # whatever the test asks for


def quantized(model: Path) -> Path:
    model.write_bytes(
        make.model(
            [make.node("QuantizeLinear", ["picture", "s"], ["q"])],
            [make.value("picture", [1, 3, 6, 8])],
            [make.value("top", [1, 3])],
        )
    )
    return model


def test_a_model_runs(machine: Machine, model: Path) -> None:
    engine = Tensorrt(options(model), model)
    assert engine.io.inputs[0].shape == (1, 3, 6, 8)
    assert engine.io.metadata["stride"] == "32"
    assert engine.infer([PICTURE])[0].tolist() == [[1, 2, 3]]
    with pytest.raises(EngineError, match="takes float32"):
        engine.infer([PICTURE.astype(np.float64)])
    engine.close()
    assert machine.allocated == {}


def test_an_engine_is_built_once_and_again_when_anything_changes(
    monkeypatch: pytest.MonkeyPatch, machine: Machine, model: Path
) -> None:
    for _ in range(2):
        Tensorrt(options(model), model).close()
    assert len(machine.builds) == 1
    Tensorrt(options(model, precision="model"), model).close()
    machine.version = "10.13.0"
    install(monkeypatch, machine)
    Tensorrt(options(model), model).close()
    machine.gpu = b"Thor"
    install(monkeypatch, machine)
    Tensorrt(options(model), model).close()
    model.write_bytes(make.pooling([1, 3, 6, 8]))
    Tensorrt(options(model), model).close()
    assert len(machine.builds) == 5
    assert machine.builds[-1]["timings"] == "timing;" * 4


def test_a_damaged_engine_is_built_anew(machine: Machine, model: Path) -> None:
    Tensorrt(options(model), model).close()
    (kept,) = (model.parent / "cache").glob("*.engine")
    kept.write_bytes(b"\0")
    Tensorrt(options(model), model).close()
    assert len(machine.builds) == 2
    machine.refuses_kept = True
    with pytest.raises(EngineError, match="has just built: Version tag does not match"):
        Tensorrt(options(model), model)


def test_why_an_engine_cannot_be_built_is_told_in_its_error(machine: Machine, model: Path) -> None:
    """Its logger's words go nowhere else that a user looks; those of warnings say nothing of it."""
    machine.refuses_to_build = True
    with pytest.raises(EngineError, match=r"for model.onnx: Could not find any implementation for node pool\.; Assert"):
        Tensorrt(options(model), model)


def test_a_cache_that_others_may_write_to_is_not_read(machine: Machine, model: Path) -> None:
    """What lies there would run as native code."""
    cache = model.parent / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    with pytest.raises(EngineError, match="Others may write to"):
        Tensorrt(options(model), model)


@pytest.mark.parametrize(
    ("version", "precision", "qdq", "flags", "typed"),
    [
        ("10.3.0", "auto", False, ["FP16"], False),
        ("10.3.0", "auto", True, ["FP16", "INT8"], False),
        ("10.3.0", "fp16", True, ["FP16"], False),
        ("10.3.0", "int8", True, ["FP16", "INT8"], False),
        ("10.3.0", "model", False, [], True),
        ("11.4.1", "auto", False, [], True),
        ("11.4.1", "int8", True, [], True),
        ("11.4.1", "model", False, [], True),
    ],
)
def test_precision_is_asked_for_as_the_version_allows(
    monkeypatch: pytest.MonkeyPatch, model: Path, version: str, precision: str, qdq: bool, flags: list[str], typed: bool
) -> None:
    made = Machine(version=version)
    install(monkeypatch, made)
    path = quantized(model) if qdq else model
    Tensorrt(options(model, precision=precision), path).close()
    assert (made.builds[0]["flags"], made.builds[0]["typed"]) == (flags, typed)


def test_a_precision_that_cannot_be_had_is_refused_not_ignored(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    install(monkeypatch, Machine(version="11.4.1"))
    with pytest.raises(EngineError, match=r"11\.4\.1 cannot be told to use FP16.*autocast"):
        Tensorrt(options(model, precision="fp16"), model)
    with pytest.raises(ModelError, match="no Q/DQ nodes"):
        Tensorrt(options(model, precision="int8"), model)


def test_open_inputs_get_one_shape(machine: Machine, model: Path) -> None:
    machine.shape = (-1, 3, -1, -1)
    engine = Tensorrt(options(model, workspace_mb=64), model)
    assert engine.io.inputs[0].shape == (1, 3, 6, 8)
    assert machine.builds[0]["shapes"] == {"picture": (1, 3, 6, 8)}
    assert machine.builds[0]["workspace"] == 64 << 20
    assert engine.infer([PICTURE])[0].tolist() == [[1, 2, 3]]


def test_several_pictures_are_looked_at_at_once(machine: Machine, model: Path) -> None:
    machine.shape, machine.output = (-1, 3, -1, -1), (2, 3)
    engine = Tensorrt(options(model, batch=2), model)
    assert machine.builds[0]["shapes"] == {"picture": (2, 3, 6, 8)}
    assert engine.infer([np.concatenate([PICTURE, PICTURE / 2])])[0].tolist() == [[1, 2, 3], [0.5, 1, 1.5]]
    machine.output = (1, 3)
    Tensorrt(options(model), model).close()
    assert machine.builds[1]["shapes"] == {"picture": (1, 3, 6, 8)}, "an engine for another batch is not taken"


def test_an_ending_in_capitals_is_the_same(machine: Machine, model: Path) -> None:
    Tensorrt(options(model), model.rename(model.with_name("MODEL.ONNX"))).close()


def test_the_dla_is_used_where_there_is_one(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    made = Machine(dla_cores=2)
    install(monkeypatch, made)
    Tensorrt(options(model, dla_core=1), model).close()
    assert made.builds[0] | {"device": "DLA", "dla": 1, "flags": ["FP16", "GPU_FALLBACK"]} == made.builds[0]
    with pytest.raises(EngineError, match="no DLA core 2: this device has 2"):
        Tensorrt(options(model, dla_core=2), model)


def test_what_is_missing_or_unfit_is_told(monkeypatch: pytest.MonkeyPatch, machine: Machine, model: Path) -> None:
    with pytest.raises(ModelError, match=r"given \.onnx models only"):
        Tensorrt(options(model), model.with_suffix(".engine"))
    nonsense = model.with_name("nonsense.onnx")
    nonsense.write_bytes(make.model([make.node("Nonsense", ["x"], ["y"])], [make.value("x", [1])], []))
    with pytest.raises(ModelError, match="No importer registered for op: Nonsense"):
        Tensorrt(options(model), nonsense)
    machine.output = (-1, 6)
    with pytest.raises(ModelError, match="depends on the picture"):
        Tensorrt(options(model), model)
    machine.gpus = 0
    with pytest.raises(EngineError, match="no NVIDIA GPU"):
        Tensorrt(options(model), model)
    for name in ("cuda", "cuda.bindings", "cuda.bindings.runtime"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(EngineError, match="pip install cuda-python"):
        Tensorrt(options(model), model)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(EngineError, match="apt install python3-libnvinfer"):
        Tensorrt(options(model), model)
