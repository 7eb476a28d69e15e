"""The ``metadata.yaml`` that Ultralytics' exporters write beside a model, read without a YAML library.

Only its plain form is known: ``key: value`` lines, and below ``key:`` indented ``key: value`` or ``- value`` lines.
"""

from __future__ import annotations

import re
from pathlib import Path

_MOST_BYTES = 1 << 16
_NUMBER = re.compile(r"[0-9]{1,9}")


def read_exported(path: Path) -> dict[str, str]:
    """Each top-level key with its text; a nested mapping or list as a Python literal. Empty where there is no file."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            lines = file.read(_MOST_BYTES).splitlines()
    except OSError:
        return {}
    found: dict[str, str] = {}
    nested: dict[str, dict[str | int, str] | list[str]] = {}
    key = ""
    for line in lines:
        name, colon, text = line.partition(":")
        if line.lstrip().startswith("- ") and key:
            items = nested.setdefault(key, [])
            if isinstance(items, list):
                items.append(_plain(line.lstrip()[2:]))
        elif line.startswith(" ") and colon and key:
            items = nested.setdefault(key, {})
            if isinstance(items, dict):
                items[int(name) if _NUMBER.fullmatch(name.strip()) else _plain(name)] = _plain(text)
        elif colon and not line.startswith((" ", "#")):
            key = _plain(name)
            found[key] = _plain(text)
    return found | {key: repr(items) for key, items in nested.items()}


def _plain(text: str) -> str:
    """Without the quotes around it."""
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text
