"""The configuration: one YAML file to typed options, or every problem it has with its line.

    config = load(Path("/etc/edgerun/edgerun.yaml"))           # in a command
    config = load_isolated(Path("/etc/edgerun/edgerun.yaml"))  # in the daemon, which never loads YAML or pydantic

This package is the only one that reads the plugin tables; a ``Chosen`` plugin carries what builds it.
"""

from __future__ import annotations

import pickle
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgerun.config.tree import (
    CameraOptions,
    Chosen,
    Config,
    ModelChoice,
    engine,
    head,
    plugin_tables,
    secrets_of,
    source,
)
from edgerun.errors import ConfigError, EdgerunError
from edgerun.remembered import Remembered, key_of, recall, remember, start_reader

if TYPE_CHECKING:
    from edgerun.config.text import Node, Problem

__all__ = [
    "CameraOptions",
    "Chosen",
    "Config",
    "ModelChoice",
    "editor_schema",
    "engine",
    "head",
    "json_schema",
    "load",
    "load_and_remember",
    "load_isolated",
    "load_without_secrets",
    "model",
    "plugin_tables",
    "problems",
    "secrets_of",
    "source",
    "state_dir_in",
]

ISOLATED_S = 60.0
"""A small device under load takes several seconds to import pydantic; more than this is a hang."""


def load(path: Path, beside: Path | None = None) -> Config:
    """The file's Config. ``beside``: where the files that it names are looked for, when that is not its own folder.
    Raises ConfigError with one line per problem."""
    return _good(path, *_examined_file(path, beside or path.absolute().parent))


def load_without_secrets(path: Path) -> Config:
    """As ``load``, for those who need neither broker nor camera: a variable or a secret's file that this machine does
    not have is no error where the rest can do without."""
    config, found = _examined_file(path, path.absolute().parent)
    wrong = [problem for problem in found if not problem.missing_here]
    return _good(path, config, wrong or ([] if config else found))


def load_and_remember(path: Path) -> Config:
    """As ``load``; what is good is found at once the next time by ``load_isolated``."""
    return _good(path, *_examine_and_remember(path))


def problems(path: Path, content: bytes | None = None) -> list[Problem]:
    """Everything that is wrong with a file, or with its ``content`` where that was read, in the order of its lines.
    Touches nothing but the file and the secrets it names, and remembers one that is good."""
    return _examine_and_remember(path, content)[1]


def model(options: Mapping[str, str], folder: Path) -> ModelChoice:
    """A model chosen by its options, each as it is written in a file: ``{"engine": "{type: onnx, threads: 2}"}``.
    Raises ConfigError."""
    from edgerun.config import text

    written: dict[str, Node] = {}
    for key, said in options.items():
        try:
            node = text.parse(f"{key}: {said}".encode(errors="surrogateescape")).get(key)
        except text.RefusedError as refused:
            raise ConfigError(f"{key}: {refused.problem.message}") from None
        if node is not None:
            written[key] = node
    camera = text.parse(b"{source: {type: v4l2}}")
    root = text.Node(1, {"cameras": text.Node(1, {"any": camera}), "model": text.Node(1, written)})
    config, found, _ = _examined(root, folder)
    if config is None or found:
        raise ConfigError("; ".join(f"{one.path.removeprefix('model.')}: {one.message}" for one in found))
    return config.model


def state_dir_in(path: Path) -> str:
    """The ``state_dir`` that stands in a file, which need not be good otherwise; empty: none that can be read."""
    from edgerun.config import text

    try:
        written = text.read(path).get("state_dir")
    except text.RefusedError:
        return ""
    return written.value if written is not None and isinstance(written.value, str) else ""


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the options, with every field's description."""
    from edgerun.config import validation

    return validation.json_schema()


def editor_schema() -> dict[str, Any]:
    """The JSON Schema of the file as it is written, where a value may also stand elsewhere."""
    from edgerun.config.editors import for_editors

    return for_editors(json_schema())


def load_isolated(path: Path, beside: Path | None = None, reader: subprocess.Popen[bytes] | None = None) -> Config:
    """As ``load``, in a process of its own that is gone afterwards with all it imported; or as it was remembered.

    ``reader`` is that process where it was started before. Raises ConfigError.
    """
    if reader is None:
        found = recall(path) if beside is None else None
        if found is not None:
            remembered: Config = pickle.loads(found.config)
            return remembered
        reader = start_reader(path, *([beside] if beside else []))
    try:
        said, _ = reader.communicate(timeout=ISOLATED_S)
    except subprocess.TimeoutExpired as error:
        reader.kill()
        reader.communicate()
        raise ConfigError(
            f"{path}: reading it took more than {ISOLATED_S:.0f} s; is the machine out of memory?"
        ) from error
    if reader.returncode != 0:
        raise ConfigError(f"{path}: the process that reads it failed with status {reader.returncode}")
    outcome: Config | EdgerunError = pickle.loads(said)
    if isinstance(outcome, EdgerunError):
        raise outcome
    return outcome


def _good(path: Path, config: Config | None, found: list[Problem]) -> Config:
    if config is None or found:
        raise ConfigError("\n".join(problem.text(str(path)) for problem in found))
    return config


def _examine_and_remember(path: Path, content: bytes | None = None) -> tuple[Config | None, list[Problem]]:
    """Reads the file once, as a pipe gives its text only once."""
    from edgerun.config import text

    try:
        content = text.content(path) if content is None else content
        key = key_of(path, content)
        config, found, alone = _examined(text.parse(content), path.absolute().parent)
    except text.RefusedError as refused:
        return None, [refused.problem]
    if config is not None and not found and alone and path.is_file():
        remember(path, key, Remembered(pickle.dumps(config)))
    return config, found


def _examined_file(path: Path, folder: Path) -> tuple[Config | None, list[Problem]]:
    from edgerun.config import text

    try:
        return _examined(text.read(path), folder)[:2]
    except text.RefusedError as refused:
        return None, [refused.problem]


def _examined(root: Node, folder: Path) -> tuple[Config | None, list[Problem], bool]:
    """The last tells whether all of it stands in the file: nothing in the environment or other files, a store's own
    catalogue included."""
    from edgerun.config import validation
    from edgerun.config.outside import fill_in
    from edgerun.models.catalogue import catalogue

    outside = fill_in(root, folder)
    alone = not any(node.outside for _, node in root.walk())
    config, found = validation.validate(root)
    alone = alone and config is not None and (config.model.path != "" or config.model.name in catalogue())
    return config, sorted(outside + found, key=lambda problem: problem.line), alone
