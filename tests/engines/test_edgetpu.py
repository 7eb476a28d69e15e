"""The Edge TPU engine at libedgetpu's C boundary: whatever the device does, the daemon is told and goes on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from edgerun import corals
from edgerun.engines.edgetpu import Edgetpu, EdgetpuOptions
from edgerun.engines.tflite import Tflite, TfliteOptions
from edgerun.errors import EngineError, ModelError
from edgerun.heads.ssd import Ssd, SsdOptions
from edgerun.types import Fit
from edgerun.worker.terms import SLOTS, Candidate, Terms
from edgerun.worker.wire import Load
from tests.engines import built_library
from tests.engines.edge_tpu import CLASSIFIER, PLAIN, compiled_detector, write_script
from tests.shared_media import needs_shared
from tests.test_worker import PATIENCE_S, ask, loaded, working

pytestmark = needs_shared


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    return built_library("edgetpu.c", tmp_path_factory.mktemp("edgetpu"))


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that says how the device behaves."""
    path = tmp_path / "script"
    monkeypatch.setenv("EDGETPU_SCRIPT", str(path))
    write_script(path, {"usb": 1})
    return path


def test_a_compiled_model_runs_on_the_device(library: str, script: Path, tmp_path: Path) -> None:
    engine = Edgetpu(EdgetpuOptions(library=library), compiled_detector(tmp_path))
    assert engine.device == "usb:0"
    (picture,) = engine.io.inputs
    outputs = engine.infer([np.zeros(picture.shape, np.uint8)])
    found = Ssd(SsdOptions()).decode(outputs, engine.io, Fit(1, 1, 0, 0, (0, 0, 300, 300)), 0.5)
    assert found.xyxy.round().tolist() == [[120, 75, 180, 225]]
    engine.close()


@pytest.mark.parametrize(
    ("there", "asked", "got"),
    [
        ({"usb": 1}, "auto", "usb:0"),
        ({"usb": 2, "pci": 1}, "auto", "pci:0"),
        ({"usb": 2, "pci": 1}, "usb", "usb:0"),
        ({"usb": 2, "pci": 1}, "usb:1", "usb:1"),
        ({"usb": 2, "refuse": 1}, "auto", "usb:1"),
    ],
)
def test_the_device_is_chosen(library: str, script: Path, there: Mapping[str, int], asked: str, got: str) -> None:
    """By name, or the first that nobody else has taken."""
    write_script(script, there)
    assert Edgetpu(EdgetpuOptions(library=library, device=asked, performance="low"), CLASSIFIER).device == got


@pytest.mark.parametrize(
    ("there", "asked", "words"),
    [
        ({"usb": 0}, "auto", "sees no Edge TPU"),
        ({"usb": 1}, "pci", r"no Edge TPU pci; there is usb:0"),
        ({"usb": 2}, "usb:2", r"no Edge TPU usb:2; there is usb:0, usb:1"),
        ({"usb": 2, "refuse": 2}, "auto", r"usb:0: .*refused to start.*usb:1: .*refused to start"),
    ],
)
def test_a_device_that_is_not_there_may_come_back(
    library: str, script: Path, there: Mapping[str, int], asked: str, words: str
) -> None:
    write_script(script, there)
    with pytest.raises(EngineError, match=words) as caught:
        Edgetpu(EdgetpuOptions(library=library, device=asked), CLASSIFIER)
    assert caught.value.retriable


def test_a_device_that_may_not_be_opened(
    library: str, script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libedgetpu does not see it at all then; sysfs does."""
    write_script(script, {"usb": 0})
    locked = corals.Coral("usb", "2-1", tmp_path / "no such node")
    monkeypatch.setattr("edgerun.engines.edgetpu.corals", lambda: iter([locked]))
    with pytest.raises(EngineError, match=r"may not open .*no such node.*plugdev"):
        Edgetpu(EdgetpuOptions(library=library), CLASSIFIER)


def test_a_missing_a_foreign_and_an_unfit_library(library: str, script: Path) -> None:
    with pytest.raises(EngineError, match=r"libnone\.so cannot be loaded .* Install libedgetpu1-std"):
        Edgetpu(EdgetpuOptions(library="libnone.so"), CLASSIFIER)
    with pytest.raises(EngineError, match=r"libm\.so\.6 is not libedgetpu"):
        Edgetpu(EdgetpuOptions(library="libm.so.6"), CLASSIFIER)
    write_script(script, {"usb": 1, "mismatch": 1})
    with pytest.raises(EngineError, match=r"stand-in 1\.0 does not fit the installed TensorFlow Lite"):
        Edgetpu(EdgetpuOptions(library=library), CLASSIFIER)


def test_a_plain_and_a_missing_model(library: str, script: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"not compiled for the Edge TPU: run edgetpu_compiler"):
        Edgetpu(EdgetpuOptions(library=library), PLAIN)
    with pytest.raises(ModelError, match="cannot be read"):
        Edgetpu(EdgetpuOptions(library=library), tmp_path / "none.tflite")


@pytest.mark.parametrize("device", ["tpu", "usb:", ":0", "usb:x"])
def test_an_unknown_kind_of_device_is_a_config_error(device: str) -> None:
    with pytest.raises(ValueError, match="must be auto, usb, pci"):
        EdgetpuOptions(device=device)


def test_a_failed_request_is_worth_another_try(library: str, script: Path) -> None:
    engine = Edgetpu(EdgetpuOptions(library=library), CLASSIFIER)
    write_script(script, {"fail": 0})
    with pytest.raises(EngineError, match="Failed to execute request") as caught:
        engine.infer([np.zeros((1, 128, 128, 3), np.uint8)])
    assert caught.value.retriable
    write_script(script, {"usb": 1})
    assert engine.infer([np.zeros((1, 128, 128, 3), np.uint8)])[0].max() == 7


@pytest.mark.parametrize("fault", ["abort", "hang"])
def test_the_processor_takes_over_and_the_device_is_taken_back(
    library: str, script: Path, tmp_path: Path, fault: str
) -> None:
    """Unplugged in mid-run (libedgetpu aborts its process) or hung; every request is answered."""
    write_script(script, {"usb": 1, fault: 20})
    detector = compiled_detector(tmp_path)
    tpu = Candidate("edgetpu", Load(Edgetpu, EdgetpuOptions(library=library), detector, SLOTS))
    cpu = Candidate("tflite", Load(Tflite, TfliteOptions(), PLAIN, SLOTS))
    served, reasons = [], []
    with working(tpu, cpu, terms=Terms(deadline_s=1.0, retry_primary_s=0.5)) as (worker, heard):
        loaded(heard)
        for picture in range(60):
            reasons.append(ask(worker, heard, 0).reason)
            served.append(worker.candidate.name)
            if picture == 15:
                write_script(script, {"usb": 0, fault: 0})
            if worker.candidate.name == "tflite":
                break
        assert served[0] == "edgetpu"
        assert served[-1] == "tflite"
        assert sum(reason != "" for reason in reasons) <= 2, "only what was asked while there was no engine is lost"
        words = heard.losses.get(timeout=PATIENCE_S)
        assert ("SIGABRT" in words and "USB transfer error 5" in words) if fault == "abort" else "no answer" in words
        write_script(script, {"usb": 1})
        loaded(heard)
        while worker.candidate.name != "edgetpu":
            loaded(heard)
        assert ask(worker, heard, 0).reason == ""
        box = np.ravel(worker.slot(0).outputs()[0])[:4]
        assert box.tolist() == pytest.approx([0.25, 0.4, 0.75, 0.6])


@pytest.mark.device
def test_a_real_edge_tpu() -> None:
    try:
        if not corals.listed().buses:
            pytest.skip("no Edge TPU is plugged in")
    except (OSError, ValueError):
        pytest.skip("libedgetpu is not installed")
    engine = Edgetpu(EdgetpuOptions(), CLASSIFIER)
    (scores,) = engine.infer([np.zeros((1, 128, 128, 3), np.uint8)])
    assert scores.max() > 0
