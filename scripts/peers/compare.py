"""Each peer and edgerun in turn on the same clip and model, several rounds; see scripts/bench-peers."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

from edgerun.bench.figures import Figure, Section, table
from edgerun.bench.machine import describe, sentence
from edgerun.bench.processes import held_mb, spent
from edgerun.bench.service import serving
from edgerun.bench.workplace import Workplace, workplace
from edgerun.runtime.health.footprint import processes

HERE = Path(__file__).parent
PEERS: dict[str, tuple[str, ...]] = {
    "litert": ("LiteRT's bare loop, nothing else", "opencv-python-headless", "ai-edge-litert"),
    "mediapipe_tasks": ("MediaPipe Tasks, detection only", "mediapipe"),
    "supervision_trackers": (
        "LiteRT + supervision + trackers: detection, ByteTrack, a zone",
        "supervision",
        "trackers",
        "ai-edge-litert",
    ),
    "opencv_dnn": ("OpenCV DNN, detection only", "opencv-python-headless"),
}
OURS = "edgerun: detection, tracking, a zone, a line, rules, alerts on disk, MQTT"
_UNITS = {"wall_ms": "ms a frame", "cpu_ms": "CPU ms a frame", "memory_mb": "MB"}
_SETTLE_S = 2.0


def environment(name: str, packages: tuple[str, ...], cache: Path) -> Path:
    """The Python of a peer's own environment, made where it is missing. Raises CalledProcessError."""
    python = cache / name / "bin" / "python"
    if not python.exists():
        print(f"installing {', '.join(packages)}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(cache / name)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *packages], check=True, stdout=sys.stderr)
    return python


def peer(python: Path, name: str, place: Workplace, frames: int) -> dict[str, float] | str:
    """What a frame costs there, or in words why it does not work."""
    command = [python, HERE / f"{name}.py", place.clip.resolve(), place.model.resolve(), place.labels, frames]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        return lines[-1] if lines else f"status {done.returncode}"
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def ours(place: Workplace, seconds: float) -> dict[str, float]:
    """The full daemon with one worker, as fast as it goes; memory is its processes' PSS."""
    with serving(place.setup(240.0, pace=False), place.broker, place.folder) as service:
        time.sleep(_SETTLE_S)
        before, count, began = spent(service.pid), len(service.subscriber), time.perf_counter()
        time.sleep(seconds)
        count, took = len(service.subscriber) - count, time.perf_counter() - began
        cpu_s = spent(service.pid).since(before).cpu_s
        memory = held_mb(processes(service.pid))
    return {"wall_ms": took / count * 1000, "cpu_ms": cpu_s / count * 1000, "memory_mb": memory}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clip", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True, help="a .tflite detector with its post-processing inside")
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "edgerun-peers")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    pythons = {name: environment(name, told[1:], args.cache) for name, told in PEERS.items()}
    described = describe()
    print(sentence(described) + "\n")
    with workplace(args.clip, args.model, args.labels.resolve(), args.repeats, 0.0) as place:
        section = compare(place, pythons, args.frames)
    print(table(section))
    if args.json:
        found = {"machine": described, "sections": [section.record()]}
        args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def compare(place: Workplace, pythons: dict[str, Path], frames: int) -> Section:
    section = Section(f"Beside the peers: {place.conditions}, {frames} frames a round")
    load = os.getloadavg()[0]
    costs: dict[str, list[dict[str, float]]] = defaultdict(list)
    for _ in range(place.repeats):
        costs[OURS].append(ours(place, seconds=4.0))
        for name, python in pythons.items():
            title = PEERS[name][0]
            found = peer(python, name, place, frames)
            if isinstance(found, str):
                section.remarks.append(f"{title}: cannot run this model: {found}")
            else:
                costs[title].append(found)
    section.remarks = list(dict.fromkeys(section.remarks))
    for key, unit in _UNITS.items():
        for title, rounds in costs.items():
            section.figures.append(Figure(title, unit, tuple(one[key] for one in rounds)))
    section.remarks.append(f"The machine's load average when this began: {load:.1f}.")
    section.remarks.append(
        "Reading the clip counts for all. Memory: what is resident, of a peer's one process at its peak; pages that "
        "our processes share count once."
    )
    return section


if __name__ == "__main__":
    sys.exit(main())
