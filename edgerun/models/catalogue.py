"""The catalogue: which models there are, where they come from, and what they are good for.

JSON, because the process that reads it may be the daemon, which loads no YAML. A ``catalogue.json`` in a store folder
adds entries of the same form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgerun.errors import ModelError
from edgerun.models.labels import parse_labels

HERE = Path(__file__).parent
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class CataloguedFile:
    """One file of a model. ``source`` is an https URL, ``wheel:PACKAGE==VERSION``, ``bundled``, or a local path;
    ``member`` names the file inside it where that is an archive."""

    name: str
    sha256: str
    size: int
    source: str
    member: str = ""


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
            text = path.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        try:
            entries = {name: _entry(name, said, folder) for name, said in json.loads(text).items()} | entries
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"{path} is no model catalogue: {type(error).__name__}: {error}.") from error
    return entries


def _entry(name: str, said: Mapping[str, Any], folder: Path) -> Entry:
    """One entry from its JSON. Raises ValueError, KeyError or TypeError where it is not one."""
    files = tuple(CataloguedFile(**file) for file in said["files"])
    for word in (name, *(file.name for file in files)):
        if not NAME.fullmatch(word):
            raise ValueError(f"{word!r} is no name for a file: small letters, digits and ._- only")
    for file in files:
        if not re.fullmatch(r"[0-9a-f]{64}", file.sha256) or not isinstance(file.size, int) or file.size < 1:
            raise ValueError(f"{file.name} needs the sha256 and the size of the file")
    labels = said["labels"]
    if isinstance(labels, str):  # the name of a labels file beside the catalogue
        labels = parse_labels((folder / Path(labels).name).read_text(encoding="utf-8"))
    words = {key: str(said[key]) for key in ("task", "good_for", "input", "licence")}
    return Entry(name, head=said.get("head"), labels=tuple(labels), files=files, **words)
