"""What a machine has is told from files that stand in for its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgerun import config, devices
from edgerun.cli import main
from edgerun.cli.devices import lines


def put(root: Path, name: str, text: str = "") -> None:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def stick(root: Path, vendor: str = "18d1", product: str = "9302", speed: str = "5000") -> None:
    """A Coral USB stick at bus 2, device 3."""
    for name, text in (
        ("idVendor", vendor),
        ("idProduct", product),
        ("busnum", "2"),
        ("devnum", "3"),
        ("speed", speed),
    ):
        put(root, f"sys/bus/usb/devices/2-1/{name}", f"{text}\n")
    put(root, "dev/bus/usb/002/003")


def test_every_engine_has_its_words() -> None:
    """A new engine must say what to install."""
    assert set(config.plugin_tables()["engines"]) <= set(devices.RUNTIMES)


def test_no_coral() -> None:
    """One finding, with what to do."""
    (finding,) = devices.edge_tpus(Path("/nonexistent"))
    assert not finding.present
    assert finding.remedy


def test_a_stick_without_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by its numbers, before and after its firmware is loaded; a slow port is told."""
    monkeypatch.setattr(devices, "LIBRARY", "libedgetpu-that-is-not-there.so.1")
    stick(tmp_path, "1a6e", "089a", "480")
    (finding,) = devices.edge_tpus(tmp_path)
    assert not finding.present
    assert "not initialised yet, at 480 Mbit/s" in finding.says
    assert "not installed" in finding.says
    assert "libedgetpu1-std" in finding.remedy


def test_other_sticks_are_no_corals(tmp_path: Path) -> None:
    """The same vendor makes phones."""
    stick(tmp_path, "18d1", "4ee1")
    (finding,) = devices.edge_tpus(tmp_path)
    assert finding.name == "Coral Edge TPU"


def test_a_card_with_its_heat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PCIe cards have a thermometer."""
    monkeypatch.setattr(devices, "edgetpu_library", lambda: "libedgetpu X sees 1 of them")
    put(tmp_path, "dev/apex_0")
    put(tmp_path, "sys/class/apex/apex_0/temp", "61234\n")
    (finding,) = devices.edge_tpus(tmp_path)
    assert finding == devices.Finding(
        "accelerator", "Coral Edge TPU (PCIe apex_0)", True, "there, 61 °C; libedgetpu X sees 1 of them"
    )


def test_a_stick_that_may_not_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The udev rule is the remedy."""
    monkeypatch.setattr("os.access", lambda path, mode: False)
    stick(tmp_path)
    (finding,) = devices.edge_tpus(tmp_path)
    assert "may not be opened" in finding.says
    assert "60-edgerun-coral.rules" in finding.remedy


def test_a_jetson(tmp_path: Path) -> None:
    """By its release file and device tree, whose text ends in a NUL."""
    assert not devices.jetson(tmp_path).present
    put(tmp_path, "etc/nv_tegra_release", "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n")
    put(tmp_path, "proc/device-tree/model", "NVIDIA Jetson Orin Nano Developer Kit\0")
    assert devices.jetson(tmp_path).says == "NVIDIA Jetson Orin Nano Developer Kit, L4T 36.4.3"


@pytest.mark.parametrize(
    ("cpuinfo", "said"),
    [
        ("model name\t: Intel(R) N100\nflags\t\t: fpu avx2 avx_vnni\n", "INT8 instructions: AVX-VNNI"),
        ("processor\t: 0\nFeatures\t: fp asimd asimddp\n", "INT8 instructions: dot product"),
        ("Features\t: fp asimd\n", "no INT8 instructions"),
    ],
)
def test_the_processor(tmp_path: Path, cpuinfo: str, said: str) -> None:
    """What matters for a quantized model."""
    put(tmp_path, "proc/cpuinfo", cpuinfo)
    put(tmp_path, "proc/meminfo", "MemTotal:        3884220 kB\n")
    finding = devices.processor(tmp_path)
    assert said in finding.says
    assert "3.9 GB of memory" in finding.says


def test_namesakes_are_told_from_the_vendors_own(tmp_path: Path) -> None:
    """By what lies in them; neither is imported, so a broken one does no harm."""
    put(tmp_path, "wrong/pycoral/__init__.py", "raise SystemExit('imported')")
    put(tmp_path, "wrong/jetson_utils/__init__.py", "raise SystemExit('imported')")
    put(tmp_path, "right/pycoral/__init__.py")
    put(tmp_path, "right/pycoral/utils/edgetpu.py")
    put(tmp_path, "right/jetson_utils/__init__.py")
    put(tmp_path, "right/jetson_utils_python.so")
    wrong = list(devices.namesakes([str(tmp_path / "wrong")]))
    assert [finding.remedy for finding in wrong] == ["pip uninstall pycoral", "pip uninstall jetson-utils"]
    assert list(devices.namesakes([str(tmp_path / "right")])) == []


def test_a_missing_runtime_says_how_to_get_it(tmp_path: Path) -> None:
    """Nothing is imported to find out."""
    finding = devices.runtime("onnx", [str(tmp_path)])
    assert (finding.present, finding.says) == (
        False,
        ".onnx models on any processor: onnxruntime is not installed",
    )
    assert finding.remedy == "pip install onnxruntime"
    put(tmp_path, "onnxruntime/__init__.py", "raise SystemExit('imported')")
    assert devices.runtime("onnx", [str(tmp_path)]).present


def test_what_is_missing_comes_with_a_remedy() -> None:
    """On this machine, whatever it is: nobody is left with a bare no."""
    findings = [*devices.look_around(config.plugin_tables()["engines"])]
    for finding in findings:
        assert finding.says
        if not finding.present and finding.kind in ("engine", "warning"):
            assert finding.remedy, finding
    text = "\n".join(lines(findings))
    assert "Accelerators:" in text
    assert "Processor:" in text


def test_in_short_it_says_what_models_will_run_on(tmp_path: Path) -> None:
    engines = config.plugin_tables()["engines"]
    bare = [*devices.look_around(engines, tmp_path, [str(tmp_path)])]
    assert "pip install ai-edge-litert" in devices.in_short(bare)
    put(tmp_path, "ai_edge_litert/__init__.py", "")
    put(tmp_path, "etc/nv_tegra_release", "# R36 (release), REVISION: 4.3, more")
    there = [*devices.look_around(engines, tmp_path, [str(tmp_path)])]
    assert devices.in_short(there) == "there is NVIDIA Jetson; on the processor models run with tflite"


def test_json_is_all_of_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    """For programs."""
    assert main(["devices", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["devices"]
    assert {"accelerator", "processor", "engine", "camera"} <= {finding["kind"] for finding in told}
    assert any("smaller stream" in finding["remedy"] for finding in told)
    assert all(set(finding) == {"kind", "name", "present", "says", "remedy"} for finding in told)


def test_a_model_is_tried_out_on_every_engine_that_may_run_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main(["devices", "--json", "--model", "person-ssdlite-int8"]) == 0
    best = json.loads(capsys.readouterr().out)["engines"][0]
    assert (best["engine"], best["agrees"]) == ("tflite", True)
    assert best["ms"] > 0


def test_a_library_is_told_with_the_version_that_its_installer_noted(tmp_path: Path) -> None:
    """A vendor's own installation notes none."""
    (tmp_path / "ncnn").mkdir()
    (tmp_path / "ncnn" / "__init__.py").touch()
    assert devices.installed("ncnn", [str(tmp_path)]) == "ncnn"
    (tmp_path / "ncnn-1.0.2.dist-info").mkdir()
    (tmp_path / "ncnn_extras-7.0.dist-info").mkdir()
    assert devices.installed("ncnn", [str(tmp_path)]) == "ncnn 1.0.2"
