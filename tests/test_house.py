"""The plan of the house: who may import whom, where vendors live, who knows the plugins."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "edgerun"

RANKS = {
    # how values are made
    "records": -1,
    # values and exceptions; what all stand on
    "__init__": 0, "types": 0, "errors": 0, "secrets": 0, "limits": 0, "kernel": 0, "folders": 0, "children": 0,
    "hashing": 0, "tls": 0, "since": 0, "filestate": 0,
    # seams, and arithmetic without state
    "stages": 1, "plugins": 1, "topics": 1, "remembered": 1, "boxes": 1, "masks": 1, "quant": 1, "corals": 1,
    "outlines": 1, "labels": 1, "literals": 1, "notes": 1, "lettering": 1, "archives": 1,
    # one thing each, none of which knows another
    "images": 2, "marks": 2, "sources": 2, "engines": 2, "heads": 2, "motion": 2, "tracking": 2, "zones": 2,
    "messages": 2, "outbox": 2, "sinks": 2, "models": 2, "notify": 2, "logs": 2, "devices": 2,
    # decisions over several of them
    "regions": 3, "rules": 3, "drawing": 3, "schemas": 3, "homeassistant": 3,
    # one camera's step; all options; the engine's child
    "config": 4, "pipeline": 4, "worker": 4, "recording": 4,
    # assembly
    "runtime": 5,
    # measuring all of it
    "bench": 6,
    # what a person types
    "cli": 7, "__main__": 8,
}  # fmt: skip
"""A room may import lower ranks and itself, never a peer or a higher one."""

FLOORS = {
    # what frames and alerts pass by
    "meters": 0, "places": 0, "early": 0,
    # frames to the engine and back; events to the broker
    "inference": 1, "delivery": 1,
    # from one to the other
    "cameras": 2,
    # how all that is
    "health": 3,
    # who is told, and who may give commands
    "exchange": 4,
    # taking over another configuration
    "rollout": 5, "reload": 6,
    # all of it
    "daemon": 7,
}  # fmt: skip
"""The same within ``runtime``."""

EVERYWHERE = {"numpy"}
VENDORS = {
    "_sha2": {"hashing"},
    "_sha256": {"hashing"},
    "cv2": {"images", "marks", "outlines", "drawing", "motion", "sources", "bench", "cli"},
    "av": {"sources", "recording", "bench"},
    "gi": {"sources"},
    "jetson_utils": {"sources"},
    "ai_edge_litert": {"engines", "bench"},
    "tflite_runtime": {"engines"},
    "onnxruntime": {"engines"},
    "openvino": {"engines"},
    "tensorrt": {"engines"},
    "cuda": {"engines"},
    "ncnn": {"engines"},
    "torch": {"engines"},
    "executorch": {"engines"},
    "tritonclient": {"engines"},
    "geventhttpclient": {"engines"},
    "paho": {"sinks", "cli"},
    "amqtt": {"runtime", "cli"},
    "prometheus_client": {"runtime"},
    "yaml": {"config"},
    "pydantic": {"config"},
    "pydantic_core": {"config"},
    "rich": {"cli"},
}
"""Where each library may be imported; one that is not here may be imported nowhere."""

PLUGIN_ROOMS = {"sources": "SOURCES", "engines": "ENGINES", "heads": "HEADS", "sinks": "SINKS"}


@dataclass(frozen=True)
class Import:
    """One imported module or name, and whether importing the file is enough to import it."""

    file: Path
    line: int
    room: str
    target: str
    at_top: bool


def rooms_of(package: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted(package.rglob("*.py")):
        yield file.relative_to(package).parts[0].removesuffix(".py"), file


def imports_of(package: Path) -> Iterator[Import]:
    for room, file in rooms_of(package):
        tree = ast.parse(file.read_text())
        lazy = {id(node) for outer in ast.walk(tree) if _defers(outer) for node in ast.walk(outer)}
        for node in ast.walk(tree):
            for target in _targets(node, file, package):
                yield Import(file.relative_to(package), getattr(node, "lineno", 0), room, target, id(node) not in lazy)


def _defers(node: ast.AST) -> bool:
    """Functions, and ``if TYPE_CHECKING:``."""
    guarded = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    return guarded or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def _targets(node: ast.AST, file: Path, package: Path) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        module = node.module or ""
        if node.level:
            base = file.relative_to(package.parent).with_suffix("").parts[: -node.level]
            module = ".".join([*base, module]).rstrip(".")
        yield from (f"{module}.{alias.name}" for alias in node.names)


def violations(package: Path) -> list[str]:
    """Everything in a package that breaks the plan."""
    found = [f"{file}: the room {room} has no rank" for room, file in rooms_of(package) if room not in RANKS]
    for one in imports_of(package):
        top, _, rest = one.target.partition(".")
        where = f"{one.file}:{one.line}: {one.room}"
        if top == "edgerun":
            other = rest.split(".")[0] if rest.split(".")[0] in RANKS else "__init__"
            if other != one.room and RANKS[other] >= RANKS.get(one.room, 99):
                found.append(f"{where} (rank {RANKS.get(one.room)}) imports {other} (rank {RANKS[other]})")
            elif other == one.room == "runtime":
                found += _wrong_floor(one, f"{rest}.".split(".")[1])
        elif one.target == "dataclasses.dataclass" and one.room != "records":
            found.append(f"{where} imports {one.target}; edgerun.records has a faster one")
        elif top not in sys.stdlib_module_names and top not in EVERYWHERE:
            if one.room not in VENDORS.get(top, set()):
                found.append(f"{where} imports {top}, which lives in {sorted(VENDORS.get(top, set()))}")
            elif one.at_top and one.room in PLUGIN_ROOMS:
                found.append(f"{where} imports {top} at the top; a plugin imports its library where it uses it")
    return found + list(_table_readers(package))


def _wrong_floor(one: Import, other: str) -> Iterator[str]:
    own = one.file.parts[1].removesuffix(".py")
    for name in (own, other):
        if name not in FLOORS:
            yield f"{one.file}:{one.line}: {name} has no floor in runtime"
            return
    if other != own and FLOORS[other] >= FLOORS[own]:
        yield f"{one.file}:{one.line}: {own} (floor {FLOORS[own]}) imports {other} (floor {FLOORS[other]})"


def _table_readers(package: Path) -> Iterator[str]:
    for room, file in rooms_of(package):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.ImportFrom) else []
            if isinstance(node, ast.Attribute):
                names = [node.attr]
            for table in set(names) & set(PLUGIN_ROOMS.values()) - {PLUGIN_ROOMS.get(room)}:
                if room != "config":
                    line = getattr(node, "lineno", 0)
                    yield f"{file.relative_to(package)}:{line}: {room} reads {table}; only config does"


def test_the_house_stands() -> None:
    """Every import of the package keeps to the plan."""
    assert violations(PACKAGE) == []


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("boxes.py", "from edgerun.rules import RuleBook", "boxes (rank 1) imports rules (rank 3)"),
        ("tracking.py", "from edgerun import motion", "tracking (rank 2) imports motion (rank 2)"),
        ("heads/new.py", "def f():\n    from ..cli import run", "heads (rank 2) imports cli (rank 7)"),
        ("rules.py", "import paho.mqtt.client", "imports paho, which lives in"),
        ("images.py", "import requests", "imports requests, which lives in []"),
        ("engines/new.py", "import onnxruntime", "imports onnxruntime at the top"),
        ("runtime/new.py", "from edgerun.sources import SOURCES", "runtime reads SOURCES; only config does"),
        ("cli/new.py", "from edgerun import heads\nheads.HEADS", "cli reads HEADS; only config does"),
        ("runtime/health/new.py", "import edgerun.runtime.daemon", "health (floor 3) imports daemon (floor 7)"),
        ("runtime/new.py", "from edgerun.runtime import meters", "new has no floor in runtime"),
        ("zones.py", "from dataclasses import dataclass", "edgerun.records has a faster one"),
        ("helpers.py", "", "the room helpers has no rank"),
    ],
)
def test_a_planted_violation_is_caught(tmp_path: Path, file: str, text: str, said: str) -> None:
    """Each rule of the plan notices when it is broken."""
    planted = tmp_path / "edgerun" / file
    planted.parent.mkdir(parents=True)
    planted.write_text(text)
    assert any(said in violation for violation in violations(tmp_path / "edgerun")), violations(tmp_path / "edgerun")


def test_what_is_allowed_is_not_caught(tmp_path: Path) -> None:
    """Lower ranks, the own room, vendors in their room and inside functions pass."""
    engine = tmp_path / "edgerun" / "engines" / "new.py"
    engine.parent.mkdir(parents=True)
    engine.write_text(
        "import json\nimport numpy as np\nfrom edgerun.types import Frame\nfrom edgerun.engines.shapes import x\n"
        "from edgerun import __version__\ndef f():\n    import onnxruntime\n"
    )
    assert violations(tmp_path / "edgerun") == []
