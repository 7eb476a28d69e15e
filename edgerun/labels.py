"""What a class is called, and what none is."""

from __future__ import annotations

from collections.abc import Sequence


def label(labels: Sequence[str], class_id: int) -> str:
    """A class's name; its number in words where the model has no name for it."""
    name = labels[class_id] if 0 <= class_id < len(labels) else ""
    return name or f"class {class_id}"


def not_known(name: str, labels: Sequence[str]) -> str:
    """What is wrong with a label that is not among the model's ``labels``, in words."""
    from difflib import get_close_matches  # takes a while

    said = f"the model does not know the label {name!r}"
    if not any(labels):
        return f"{said}; its file brings none: name a labels file under `model.labels`"
    close = get_close_matches(name, labels, 1)
    return f"{said}; is it {close[0]!r}?" if close else said
