"""What the figures were taken on."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from edgerun import __version__
from edgerun.devices import processor
from edgerun.kernel import text

_LIBRARIES = ("numpy", "opencv-python-headless", "av", "ai-edge-litert", "onnxruntime", "paho-mqtt")


def describe() -> dict[str, Any]:
    return {
        "edgerun": __version__,
        "cpu": processor().name,
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1_000_000,
        "governor": text(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")) or "not told",
        "machine": platform.machine(),
        "kernel": ".".join(platform.release().split(".")[:2]),
        "python": platform.python_version(),
        "libraries": {name: version for name in _LIBRARIES if (version := _version(name))},
        "load_average": [round(one, 2) for one in os.getloadavg()],
    }


def sentence(machine: dict[str, Any]) -> str:
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_mb']} MB, governor {machine['governor']}; "
        f"Linux {machine['kernel']} on {machine['machine']}, Python {machine['python']}; {libraries}; "
        f"load average at the start {', '.join(map(str, machine['load_average']))}"
    )


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
