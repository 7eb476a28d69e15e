"""What this machine has: accelerators, the processor, runtimes. Read from sysfs and the import path, nothing is opened.

``root`` and ``path`` stand in for the real file system and import path, so that a Jetson can be described on a laptop.
"""

from __future__ import annotations

import importlib.machinery
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from edgerun.corals import LIBRARY, Coral, corals, listed
from edgerun.kernel import text
from edgerun.records import dataclass

ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked for. ``says`` tells what is there or why it is not, ``remedy`` what to do."""

    kind: Literal["accelerator", "processor", "engine", "camera", "warning"]
    name: str
    present: bool
    says: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Runtime:
    """What an engine is for, the Python modules of which one must be there for it, and how to get it."""

    purpose: str
    modules: tuple[str, ...]
    install: str


_LIBEDGETPU = "libedgetpu1-std, 16.0TF2.17 or newer (github.com/feranick/libedgetpu/releases)"

RUNTIMES = {
    "tflite": Runtime(
        ".tflite models on any processor; the default",
        ("ai_edge_litert", "tflite_runtime"),
        "pip install ai-edge-litert (on 32-bit Arm: pip install tflite-runtime 'numpy<2')",
    ),
    "edgetpu": Runtime(
        "_edgetpu.tflite models on a Coral",
        ("ai_edge_litert", "tflite_runtime"),
        f"with a Coral: pip install ai-edge-litert, and {_LIBEDGETPU}",
    ),
    "onnx": Runtime(".onnx models on any processor", ("onnxruntime",), "pip install onnxruntime"),
    "openvino": Runtime(
        ".xml and .onnx models on Intel's processors, GPUs and NPUs", ("openvino",), "pip install openvino"
    ),
    "tensorrt": Runtime(
        ".onnx models on a Jetson",
        ("tensorrt",),
        "on a Jetson: apt install python3-libnvinfer, and a virtual environment with --system-site-packages",
    ),
    "ncnn": Runtime(".param models on small Arm processors, also of 32 bits", ("ncnn",), "pip install ncnn"),
    "executorch": Runtime(
        ".pte programs made with PyTorch; over 1 GB", ("executorch",), "pip install executorch torch"
    ),
    "remote": Runtime("models on a server in the network", ("tritonclient",), "pip install 'tritonclient[http,grpc]'"),
}


def look_around(engines: Sequence[str], root: Path = ROOT, path: Sequence[str] | None = None) -> Iterator[Finding]:
    """Everything but the cameras. ``engines`` are the names to report on."""
    yield from edge_tpus(root)
    yield jetson(root)
    yield nvidia_gpu(root)
    yield processor(root)
    for name in engines:
        yield runtime(name, path)
    yield from namesakes(path)


def edge_tpus(root: Path) -> Iterator[Finding]:
    """Every Edge TPU, by USB and PCIe; one Finding that says there is none otherwise."""
    found = list(corals(root))
    library = edgetpu_library()
    for coral in found:
        name = f"Coral Edge TPU ({'USB' if coral.bus == 'usb' else 'PCIe'} {coral.name})"
        state = f"there{_condition(coral)}"
        if not coral.permitted:
            says = f"{state}, but {coral.node} may not be opened by this user"
            remedy = "put systemd/60-edgerun-coral.rules into /etc/udev/rules.d, add the user to plugdev, replug it"
            yield Finding("accelerator", name, False, says, remedy)
        elif not library:
            says = f"{state}, but {LIBRARY} is not installed"
            yield Finding("accelerator", name, False, says, f"install {_LIBEDGETPU}")
        else:
            yield Finding("accelerator", name, True, f"{state}; {library}")
    if not found:
        remedy = "if you have one: plug the stick into a USB 3 port, or look with lspci whether the card is seen"
        yield Finding("accelerator", "Coral Edge TPU", False, "none on USB or PCIe", remedy)


def _condition(coral: Coral) -> str:
    if coral.bus == "pci":
        return f", {coral.celsius:.0f} °C" if coral.celsius is not None else ""
    slow = f", at {coral.speed_mbit} Mbit/s: a USB 3 port is several times faster"
    state = ", initialised" if coral.initialised else ", not initialised yet"
    return state + (slow if 0 < coral.speed_mbit < 5000 else "")


def edgetpu_library() -> str:
    """What libedgetpu says about itself and the devices it sees; empty without the library."""
    try:
        listing = listed(LIBRARY)
    except (OSError, ValueError):
        return ""
    return f"libedgetpu {listing.version} sees {len(listing.buses)} of them"


def jetson(root: Path = ROOT) -> Finding:
    """An NVIDIA Jetson by its release file and its device tree."""
    release = text(root / "etc/nv_tegra_release")
    model = text(root / "proc/device-tree/model")
    if not release and "jetson" not in model.lower():
        return Finding("accelerator", "NVIDIA Jetson", False, "this machine is not one")
    major, _, rest = release.removeprefix("# R").partition(" (release), REVISION: ")
    version = f", L4T {major}.{rest.split(',')[0]}" if rest else ""
    return Finding("accelerator", "NVIDIA Jetson", True, (model or "NVIDIA Jetson") + version)


def nvidia_gpu(root: Path) -> Finding:
    """A desktop or server GPU by its kernel driver."""
    driver = text(root / "proc/driver/nvidia/version")
    names = [text(gpu).partition("\n")[0] for gpu in sorted((root / "proc/driver/nvidia/gpus").glob("*/information"))]
    if not driver:
        remedy = "if a card is in this machine: install NVIDIA's driver"
        return Finding("accelerator", "NVIDIA GPU", False, "no driver of one is loaded", remedy)
    models = ", ".join(name.removeprefix("Model:").strip() for name in names) or "there"
    return Finding("accelerator", "NVIDIA GPU", True, models)


def processor(root: Path = ROOT) -> Finding:
    """Name, cores, memory, and whether it multiplies 8-bit integers quickly."""
    facts: dict[str, str] = {}
    for line in text(root / "proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip().lower(), value.strip())
    flags = set((facts.get("flags") or facts.get("features") or "").split())
    name = text(root / "proc/device-tree/model") or facts.get("model name") or os.uname().machine
    known = {"avx512_vnni": "AVX-512 VNNI", "avx_vnni": "AVX-VNNI", "i8mm": "i8mm", "asimddp": "dot product"}
    quick = [said for flag, said in known.items() if flag in flags]
    memory = next((line for line in text(root / "proc/meminfo").splitlines() if line.startswith("MemTotal")), "")
    gigabytes = f", {int(memory.split()[1]) / 1e6:.1f} GB of memory" if memory else ""
    int8 = f"INT8 instructions: {', '.join(quick)}" if quick else "no INT8 instructions"
    return Finding("processor", name, True, f"{len(os.sched_getaffinity(0))} cores{gigabytes}, {int8}")


def installed(engine: str, path: Sequence[str] | None = None) -> str:
    """The module that an engine stands on, with its version; empty where there is none. It is not imported."""
    modules = RUNTIMES[engine].modules if engine in RUNTIMES else ()
    for module in modules:
        folder = _find(module, path)
        if folder is not None:
            return f"{module} {_version(module, folder)}".strip()
    return ""


def runtime(engine: str, path: Sequence[str] | None) -> Finding:
    """Whether an engine's library can be found; it is not imported."""
    wanted = RUNTIMES[engine]
    found = installed(engine, path)
    if not found:
        says = f"{wanted.purpose}: {' or '.join(wanted.modules)} is not installed"
        return Finding("engine", engine, False, says, wanted.install)
    if engine == "edgetpu" and not edgetpu_library():
        says = f"{wanted.purpose}: {found} is there, but no {LIBRARY}"
        return Finding("engine", engine, False, says, f"with a Coral: install {_LIBEDGETPU}")
    return Finding("engine", engine, True, f"{wanted.purpose}: {found}")


def in_short(findings: Sequence[Finding]) -> str:
    """One sentence: what models will run on."""
    there = [finding.name for finding in findings if finding.present and finding.kind == "engine"]
    fast = [finding.name for finding in findings if finding.present and finding.kind == "accelerator"]
    local = [name for name in there if name not in ("edgetpu", "tensorrt", "remote")]
    if not there:
        return f"nothing here can run a model yet; begin with: {RUNTIMES['tflite'].install}"
    if not fast:
        return f"models run on the processor, with {', '.join(local) or 'no engine yet'}"
    return f"there is {' and '.join(fast)}; on the processor models run with {', '.join(local) or 'no engine yet'}"


def namesakes(path: Sequence[str] | None) -> Iterator[Finding]:
    """Packages of the index that only share a name with the vendors' libraries, and stand in their way."""
    for module, marks, about in (
        ("pycoral", ("utils/edgetpu.py",), "a client for a coral reef atlas"),
        ("jetson_utils", ("cuda", "../jetson_utils_python*"), "not NVIDIA's"),
    ):
        folder = _find(module, path)
        if folder and not any(True for mark in marks for _ in folder.glob(mark)):
            says = f"the {module} in {folder} is a namesake from the package index ({about})"
            yield Finding("warning", module, False, says, f"pip uninstall {module.replace('_', '-')}")


def _find(module: str, path: Sequence[str] | None) -> Path | None:
    """The folder of a top-level package on the import path, without running any of it."""
    spec = importlib.machinery.PathFinder.find_spec(module, list(path) if path is not None else sys.path)
    if spec is None:
        return None
    places = list(spec.submodule_search_locations or [])
    return Path(places[0]) if places else Path(spec.origin or ".").parent


def _version(module: str, folder: Path) -> str:
    """As the name of what the installer left beside the package's folder says; importlib.metadata would take a good
    part of the daemon's start. Empty for a vendor's own installation."""
    notes = (note for kind in ("dist", "egg") for note in folder.parent.glob(f"{module}-*.{kind}-info"))
    return next((note.stem.split("-")[1] for note in notes), "")
