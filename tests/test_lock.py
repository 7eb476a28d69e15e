"""What is installed on a device is what was looked at: every package by version and hash, whoever serves it."""

from __future__ import annotations

import re
import runpy
import subprocess
from itertools import product
from pathlib import Path

import pytest
from packaging.markers import Marker

ROOT = Path(__file__).resolve().parents[1]
_script = runpy.run_path(str(ROOT / "scripts" / "lock.py"))
LOCK, PYTHONS, MACHINES = _script["LOCK"], _script["PYTHONS"], _script["MACHINES"]
marker, wanted = _script["marker"], _script["wanted"]

PIN = re.compile(r"^([a-z0-9-]+)==([\w.]+)(?: ; (.+?))?((?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n", re.MULTILINE)


def holds(condition: str, python: str, machine: str) -> bool:
    return not condition or Marker(condition).evaluate({"python_version": python, "platform_machine": machine})


def test_everything_wanted_is_pinned_once_for_every_environment() -> None:
    """By hash; nothing else stands in the file, and no index is named."""
    text = LOCK.read_text()
    pins = PIN.findall(text)
    assert "".join(f"{n}=={v}{f' ; {c}' if c else ''}{h}\n" for n, v, c, h in pins) == text[text.index("\nai") + 1 :]
    assert "://" not in text
    for python, machine in product(PYTHONS, MACHINES):
        names = [name for name, _, condition, _ in pins if holds(condition, python, machine)]
        assert len(names) == len(set(names))
        assert {re.split(r"[<>=!~ ;\[]", line)[0].lower() for line in wanted()} <= set(names)


@pytest.mark.parametrize(
    "environments",
    [
        set(product(PYTHONS, MACHINES)),
        set(product(PYTHONS[:1], MACHINES)),
        set(product(PYTHONS, MACHINES[:1])),
        {(PYTHONS[0], MACHINES[0]), (PYTHONS[1], MACHINES[1])},
    ],
)
def test_a_condition_holds_just_where_it_should(environments: set[tuple[str, str]]) -> None:
    condition = marker(environments)
    assert {one for one in product(PYTHONS, MACHINES) if holds(condition, *one)} == environments


def test_the_audit_is_a_good_script() -> None:
    """Its shell parses; it runs in CI, for it asks the network."""
    script = ROOT / "scripts" / "audit"
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
