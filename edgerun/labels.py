"""What a class is called."""

from __future__ import annotations

from collections.abc import Sequence


def label(labels: Sequence[str], class_id: int) -> str:
    """A class's name; its number in words where the model has no name for it."""
    return labels[class_id] if 0 <= class_id < len(labels) else f"class {class_id}"
