"""What a class is called."""

from __future__ import annotations

from collections.abc import Sequence


def label(labels: Sequence[str], class_id: int) -> str:
    """A class's name; its number in words where the model has no name for it."""
    name = labels[class_id] if 0 <= class_id < len(labels) else ""
    return name or f"class {class_id}"
