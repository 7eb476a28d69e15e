"""A diagnostics bundle: what a person needs who is to help from afar, in one archive, without secrets."""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import platform
import re
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgerun import __version__
from edgerun.config import load, secrets_of
from edgerun.errors import ConfigError
from edgerun.logs import Redactor
from edgerun.secrets import passwords_in

_KEY = r"\w*(?:pass|pwd|token|secret|credential)\w*"
_SECRET_KEY = re.compile(_KEY, re.IGNORECASE)
_SECRET_LINE = re.compile(rf"""(?i)(["']?{_KEY}["']?\s*:\s*)(?!\s*\{{)("[^"\n]*"|'[^'\n]*'|[^\s,}}\n][^,}}\n]*)""")
_JOURNAL = ["journalctl", "--unit", "edgerun", "--lines", "2000", "--no-pager", "--output", "short-iso-precise"]
_LARGEST = 2_000_000
_PROC = ("meminfo", "loadavg", "uptime", "mounts", "cpuinfo", "version")


def write(path: Path, config: Path, health: Mapping[str, Any], devices: Callable[[], object]) -> None:
    """Write the archive, readable by the owner alone; nothing in it comes from the cameras. Raises OSError."""
    redactor = Redactor()
    texts = {
        "config.yaml": _config(config, redactor),
        "health.json": json.dumps(health, indent=1),
        "devices.json": json.dumps(devices(), indent=1),
        "versions.txt": _versions(),
        "system.txt": _system(),
        "journal.txt": _journal(),
    }
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    os.fchmod(descriptor, 0o600)  # a file that was there keeps the mode it had
    with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, text in texts.items():
            content = redactor.hide(text).encode(errors="replace")[-_LARGEST:]
            member = tarfile.TarInfo(f"edgerun/{name}")
            member.size, member.mtime, member.mode = len(content), int(time.time()), 0o600
            archive.addfile(member, io.BytesIO(content))


def _config(path: Path, redactor: Redactor) -> str:
    """The file as it is written, with its problems and without its secrets, which the redactor learns here."""
    from edgerun.config import text

    try:
        root = text.read(path)
    except text.RefusedError as refused:
        return f"# left out, as it cannot be read: {refused.problem.text(path.name)}\n"
    texts = [(loc, node.value) for loc, node in root.walk() if isinstance(node.value, str)]
    secrets = {value for loc, value in texts if loc and _SECRET_KEY.fullmatch(str(loc[-1]))}
    secrets |= {one for _, value in texts for one in passwords_in(value)}
    problems = "# edgerun check finds nothing wrong\n"
    try:
        secrets |= secrets_of(load(path))
    except ConfigError as error:
        problems = "".join(f"# {line}\n" for line in str(error).splitlines())
    redactor.set(secrets)
    return problems + _SECRET_LINE.sub(r"\1'***'", path.read_text(errors="replace"))


def _versions() -> str:
    found = {(one.metadata["Name"] or "?", one.version) for one in importlib.metadata.distributions()}
    lines = [f"edgerun {__version__}", f"Python {platform.python_version()}", platform.platform(), ""]
    return "\n".join([*lines, *(f"{name} {version}" for name, version in sorted(found))]) + "\n"


def _system() -> str:
    """The kernel's own words on processor, memory, disks; nothing of other processes."""
    parts = [f"## {name}\n{_read(Path('/proc') / name)}" for name in _PROC]
    for folder in ("/", "/var", "/tmp"):
        usage = shutil.disk_usage(folder)
        parts.append(f"{folder}: {usage.free >> 20} of {usage.total >> 20} MB free\n")
    return "\n".join(parts)


def _journal() -> str:
    try:
        done = subprocess.run(_JOURNAL, capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"no journal could be read: {error}\n"
    return (done.stdout or done.stderr).decode(errors="replace")


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")[:20_000]
    except OSError as error:
        return f"{error.strerror}\n"
