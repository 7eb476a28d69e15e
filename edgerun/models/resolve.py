"""From what a configuration says to a model file on disk."""

from __future__ import annotations

import stat
from dataclasses import field
from pathlib import Path

from edgerun.errors import ModelError
from edgerun.filestate import FileState, states_of
from edgerun.folders import expanded, unseen
from edgerun.models.catalogue import Entry, catalogue, parts
from edgerun.models.checksums import known_sha256_of
from edgerun.models.labels import read_labels
from edgerun.models.store import find, folders, is_pickle
from edgerun.records import dataclass

MOST_BYTES = 4 << 30
_COMPILED = "_edgetpu.tflite"


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model that is there. ``sha256`` is of all its contents, first the file and then its weights where apart.
    No labels: the model itself may bring some (``from_metadata``). No head: to be recognised from the model's outputs.
    ``spares`` are further files of the same model, in formats for other engines. ``files`` are all of them as they were
    before the hash was told."""

    name: str
    path: Path
    sha256: str
    labels: tuple[str, ...] = ()
    head: str | None = None
    spares: tuple[Path, ...] = ()
    files: tuple[FileState, ...] = field(default=(), compare=False)


def is_path(model: str) -> bool:
    """Whether somebody who writes a model in one word means a file: all that looks like one or is there, but never a
    name of the catalogue."""
    seems = "/" in model or "." in model or (model != "" and Path(model).exists())
    return seems and model not in catalogue(folders())


def catalogued(*names: str) -> list[Entry]:
    """The catalogue's entries of these names. Raises ModelError for one that it does not have."""
    entries = catalogue(folders())
    for name in names:
        if name not in entries:
            raise ModelError(f"No model is called {name!r}. Known are: {', '.join(sorted(entries))}.")
    return [entries[name] for name in names]


def resolve(name: str, path: str = "", labels: str = "") -> ModelFile:
    """The model of a path (with an optional labels file), or else of a name in the catalogue.

    Raises ModelError that says what is missing and how to get it.
    """
    if path:
        return _of_path(expanded(path), labels)
    (entry,) = catalogued(name)
    there = [found for file in entry.files if (found := find(file))]
    if not there:
        raise ModelError(f"The model {name!r} is not on this machine yet. Get it with: edgerun models pull {name}")
    files = _states(*there)
    sha256 = known_sha256_of(*parts(there[0]))
    return ModelFile(name, there[0], sha256, entry.labels, entry.head, tuple(there[1:]), files)


def _states(*paths: Path) -> tuple[FileState, ...]:
    return states_of(part for path in paths for part in parts(path))


def _siblings(path: Path) -> tuple[Path, ...]:
    """The same model without the Edge TPU's compilation, where the compiler's own naming shows it: ``x.tflite`` beside
    ``x_edgetpu.tflite``."""
    plain = path.with_name(path.name.replace(_COMPILED, ".tflite"))
    return (plain,) if path.name.endswith(_COMPILED) and plain.is_file() else ()


def _of_path(path: Path, labels: str) -> ModelFile:
    if "\0" in str(path):
        raise ModelError(f"The model file {path} cannot be read: no file has such a name.")
    if is_pickle(path):
        raise ModelError(
            f"{path} is a pickle, which could run any program when loaded. Export it first, for instance with: "
            f"yolo export model={path.name} format=onnx"
        )
    files = parts(path)
    try:
        for file in files:
            _refuse_oddity(file)
        names = read_labels(expanded(labels)) if labels else ()
        spares = _siblings(path)
        states = _states(path, *spares)
        return ModelFile(path.stem, path, known_sha256_of(*files), names, spares=spares, files=states)
    except FileNotFoundError as error:
        missing = Path(error.filename)
        belongs = f"; it belongs beside {path.name}" if missing != path else ""
        raise ModelError(f"The model file {missing} is not there{belongs}.") from None
    except OSError as error:
        raise ModelError(f"The model file {path} cannot be read: {error.strerror}{unseen(path)}.") from error


def _refuse_oddity(path: Path) -> None:
    """What is no plain file may never end, or never begin. Raises ModelError, or OSError."""
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise ModelError(f"{path} is a folder; the model's file is meant.")
    if not stat.S_ISREG(status.st_mode):
        raise ModelError(f"{path} is a device or a pipe; the model's file is meant.")
    if status.st_size > MOST_BYTES:
        raise ModelError(f"{path} is larger than {MOST_BYTES >> 30} GB; no model for such a device is.")
