"""The configuration: one YAML file to typed options, or every problem it has with its line.

    config = load(Path("/etc/edgerun/edgerun.yaml"))           # in a command
    config = load_isolated(Path("/etc/edgerun/edgerun.yaml"))  # in the daemon, which never loads YAML or pydantic

This package is the only one that reads the plugin tables; a ``Chosen`` plugin carries what builds it.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgerun.config.tree import (
    CameraOptions,
    Chosen,
    Config,
    ModelChoice,
    engine,
    head,
    host_name,
    plugin_tables,
    secrets_of,
    source,
)
from edgerun.errors import ConfigError, EdgerunError

if TYPE_CHECKING:
    from edgerun.config.text import Problem

__all__ = [
    "CameraOptions",
    "Chosen",
    "Config",
    "ModelChoice",
    "engine",
    "head",
    "host_name",
    "json_schema",
    "load",
    "load_isolated",
    "plugin_tables",
    "problems",
    "secrets_of",
    "source",
]

ISOLATED_S = 60.0
"""A small device under load takes several seconds to import pydantic; more than this is a hang."""


def load(path: Path, beside: Path | None = None) -> Config:
    """The file's Config. ``beside``: where the files that it names are looked for, when that is not its own folder.
    Raises ConfigError with one line per problem."""
    config, found = _examine(path, beside)
    if config is None or found:
        raise ConfigError("\n".join(problem.text(str(path)) for problem in found))
    return config


def problems(path: Path) -> list[Problem]:
    """Everything that is wrong with a file, in the order of its lines. Touches nothing but the file and the secrets
    it names."""
    return _examine(path)[1]


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the file, with every field's description."""
    from edgerun.config import validation

    return validation.json_schema()


def load_isolated(path: Path, beside: Path | None = None) -> Config:
    """As ``load``, in a process of its own that is gone afterwards with all it imported. Raises ConfigError."""
    command = [sys.executable, "-m", "edgerun.config", str(path), *([str(beside)] if beside else [])]
    try:
        child = subprocess.run(command, stdout=subprocess.PIPE, timeout=ISOLATED_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ConfigError(
            f"{path}: reading it took more than {ISOLATED_S:.0f} s; is the machine out of memory?"
        ) from error
    if child.returncode != 0:
        raise ConfigError(f"{path}: the process that reads it failed with status {child.returncode}")
    outcome: Config | EdgerunError = pickle.loads(child.stdout)
    if isinstance(outcome, EdgerunError):
        raise outcome
    return outcome


def _examine(path: Path, beside: Path | None = None) -> tuple[Config | None, list[Problem]]:
    from edgerun.config import text, validation

    try:
        root = text.read(path)
    except text.RefusedError as refused:
        return None, [refused.problem]
    outside = text.fill_in(root, beside or path.absolute().parent)
    config, found = validation.validate(root)
    return config, sorted(outside + found, key=lambda problem: problem.line)
