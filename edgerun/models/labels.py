"""Names of classes, from a file or from what a model says about itself."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from edgerun.errors import ModelError
from edgerun.folders import is_file, unseen
from edgerun.literals import read_literal

MOST = 10_000
"""Classes beyond this are no detector's."""
_OTHER_FORMS = (".yaml", ".yml", ".json", ".pbtxt", ".xml")
_NUMBER = re.compile(r"\d{1,4}")


def read_labels(path: Path) -> tuple[str, ...]:
    """The labels of a text file: one a line, the first line class 0; or numbered lines such as ``17 cat``.

    A class without a name is an empty text. Raises ModelError for a file that is missing, empty or no text.
    """
    if os.path.exists(path) and not is_file(path):  # noqa: PTH110  raises nothing
        raise ModelError(f"{path} is no labels file: it is a folder, a device or a pipe.")
    if path.suffix.lower() in _OTHER_FORMS:
        raise ModelError(f"{path} is no labels file. Write one label a line into a text file, class 0 first.")
    try:
        with path.open(encoding="utf-8-sig") as stream:
            text = stream.read(1 << 20)
    except OSError as error:
        raise ModelError(f"The labels file {path} cannot be read: {error.strerror}{unseen(path)}.") from error
    except ValueError as error:
        raise ModelError(f"{path} is no labels file: it is not UTF-8 text.") from error
    labels = parse_labels(text)
    if not labels:
        raise ModelError(f"{path} names no class. Write one label a line; the first line is class 0.")
    if len(labels) > MOST or not all(label.isprintable() for label in labels):
        raise ModelError(f"{path} is no labels file: it has over {MOST} lines, or control characters.")
    return labels


def parse_labels(text: str) -> tuple[str, ...]:
    """The labels in the text of a labels file; see ``read_labels``."""
    lines = [line.strip() for line in text.rstrip().splitlines()]
    numbered = [re.fullmatch(r"(\d{1,4})[\s:]+(\S.*)", line) for line in lines if line]
    if all(numbered):
        return _by_number({int(match[1]): match[2] for match in numbered if match})
    return tuple(lines)


def from_metadata(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """The labels that a loaded model brought along (``ModelIO.metadata``), or none: the labels file in a TFLite file,
    or the ``names`` that Ultralytics' exports carry (a mapping or list in Python's notation)."""
    if "labels" in metadata:
        return parse_labels(metadata["labels"])
    names = read_literal(metadata.get("names", ""))
    if isinstance(names, dict):
        return _by_number({int(key): str(name) for key, name in names.items() if _NUMBER.fullmatch(str(key))})
    return tuple(map(str, names)) if isinstance(names, (list, tuple)) else ()


def _by_number(names: Mapping[int, str]) -> tuple[str, ...]:
    return tuple(names.get(number, "") for number in range(max(names, default=-1) + 1))
