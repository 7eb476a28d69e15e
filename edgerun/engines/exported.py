"""What exporters write beside a model, read without a YAML library: Ultralytics' ``metadata.yaml``, and
PaddleDetection's ``infer_cfg.yml`` (ppdet/engine/export_utils.py, ``_dump_infer_config``).

Only their plain form is known: ``key: value`` lines, and below ``key:`` indented ``key: value`` or ``- value`` lines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgerun.types import TensorSpec

_MOST_BYTES = 1 << 16
_NUMBER = re.compile(r"[0-9]{1,9}")
_NORMALIZED = re.compile(r"\b(mean|std):\s*\[?([-0-9.,\s]+)")
_PICTURE = "image"
_BYTES = re.compile(r"\bis_scale:\s*false\b")
_PIXELS: Mapping[tuple[tuple[float, ...], ...], str] = {
    ((0.0,) * 3, (1.0,) * 3): "unit",
    ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)): "imagenet",
}
"""As heads call them, by mean and deviation of what was in 0-1."""


def read_exported(path: Path) -> dict[str, str]:
    """Each top-level key with its text; a nested mapping or list as a Python literal. Empty where there is no file."""
    return _top_level(_text(path))


def _top_level(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    nested: dict[str, dict[str | int, str] | list[str]] = {}
    key = ""
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if line.lstrip().startswith("- ") and key:
            items = nested.setdefault(key, [])
            if isinstance(items, list):
                items.append(_plain(line.lstrip()[2:]))
        elif line.startswith(" ") and colon and key:
            items = nested.setdefault(key, {})
            if isinstance(items, dict):
                items[int(name) if _NUMBER.fullmatch(name.strip()) else _plain(name)] = _plain(value)
        elif colon and not line.startswith((" ", "#")):
            key = _plain(name)
            found[key] = _plain(value)
    return found | {key: repr(items) for key, items in nested.items()}


def by_paddle(model: Path, inputs: Sequence[TensorSpec]) -> dict[str, str]:
    """The class ``names``, and how the ``pixels`` are wanted where that has a name; empty where nothing is told, or the
    model's first input shows that another project's lies beside that file."""
    found: dict[str, str] = {}
    if [spec.name for spec in inputs[:1]] != [_PICTURE]:
        return found
    text = _text(model.parent / "infer_cfg.yml")
    if names := _top_level(text).get("label_list"):
        found["names"] = names
    told = {key: tuple(map(float, re.findall(r"[0-9]+\.?[0-9]*", values))) for key, values in _NORMALIZED.findall(text)}
    pixels = _PIXELS.get((told.get("mean", ()), told.get("std", ())))
    if pixels and not _BYTES.search(text):
        found["pixels"] = pixels
    return found


def _text(path: Path) -> str:
    """Empty where there is no file."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(_MOST_BYTES)
    except OSError:
        return ""


def _plain(text: str) -> str:
    """Without the quotes around it."""
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text
