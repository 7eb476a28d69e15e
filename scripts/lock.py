"""Writes requirements.lock: every package that edgerun needs, pinned by version and by the hash of each wheel.

python scripts/lock.py            asks pip's own resolver, once for each Python and machine (some minutes)
pip install --require-hashes -r requirements.lock && pip install --no-deps .    installs what it says and nothing else

Which index pip asked does not show in the file: a hash is the same wherever a wheel comes from.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
MACHINES = ("x86_64", "aarch64")
EXTRAS = ("metrics",)
"""Of which a device may want some, and whose packages run wherever edgerun does."""
_OLDEST_GLIBC, _NEWEST_GLIBC = 17, 35
"""Minor versions of the C library that wheels may be built for: Ubuntu 22.04's is 2.35, and so JetPack 6's."""

Environment = tuple[str, str]
HEADER = """\
# Written by scripts/lock.py. Do not edit.
# pip install --require-hashes -r requirements.lock
"""


def wanted() -> list[str]:
    """What pyproject.toml asks for, as the installed package's metadata would say it."""
    text = (ROOT / "pyproject.toml").read_text()
    blocks = [re.search(r"^dependencies = \[$(.*?)^\]$", text, re.M | re.S)]
    blocks += [re.search(rf"^{extra} = \[$(.*?)^\]$", text, re.M | re.S) for extra in EXTRAS]
    return [line for block in blocks if block for line in re.findall(r'^\s+"([^"]+)"', block[1], re.M)]


def resolve(python: str, machine: str) -> list[dict[str, Any]]:
    """pip's report on one environment. Raises CalledProcessError."""
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(_OLDEST_GLIBC, _NEWEST_GLIBC + 1)]
    asked = [f"--platform={name}" for name in (*platforms, f"manylinux2014_{machine}")]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        command += ["--only-binary=:all:", f"--python-version={python}", f"--target={folder}/none", *asked]
        requirements = [line.partition(";")[0] for line in wanted()]
        subprocess.run([*command, f"--report={report}", *requirements], check=True, stderr=subprocess.DEVNULL)
        found: list[dict[str, Any]] = json.loads(report.read_text())["install"]
    return found


def marker(environments: Iterable[Environment]) -> str:
    """Where a pin holds, in the words of PEP 508; empty: everywhere."""
    there = set(environments)
    pythons = [one for one in PYTHONS if any(one == python for python, _ in there)]
    machines = [one for one in MACHINES if any(one == machine for _, machine in there)]
    if there != set(product(pythons, machines)):
        return " or ".join(
            f'(python_version == "{python}" and platform_machine == "{machine}")' for python, machine in sorted(there)
        )
    parts = []
    if len(pythons) < len(PYTHONS):
        parts.append("(" + " or ".join(f'python_version == "{one}"' for one in pythons) + ")")
    if len(machines) < len(MACHINES):
        parts.append("(" + " or ".join(f'platform_machine == "{one}"' for one in machines) + ")")
    return " and ".join(parts)


def main() -> int:
    pins: dict[tuple[str, str], dict[Environment, str]] = defaultdict(dict)
    for python, machine in product(PYTHONS, MACHINES):
        print(f"Python {python} on {machine}", file=sys.stderr)
        for one in resolve(python, machine):
            name = re.sub(r"[-_.]+", "-", one["metadata"]["name"]).lower()
            digest = one["download_info"]["archive_info"]["hashes"]["sha256"]
            pins[name, one["metadata"]["version"]][python, machine] = digest
    lines = [HEADER]
    for (name, version), digests in sorted(pins.items()):
        condition = marker(digests)
        hashes = "".join(f" \\\n    --hash=sha256:{digest}" for digest in sorted(set(digests.values())))
        lines.append(f"{name}=={version}{f' ; {condition}' if condition else ''}{hashes}\n")
    LOCK.write_text("".join(lines))
    print(f"{LOCK.relative_to(ROOT)}: {len(pins)} pins", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
