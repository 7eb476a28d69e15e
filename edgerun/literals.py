"""Python's notation, in which exporters write names of classes and more into models."""

from __future__ import annotations

import ast
from typing import Any

MOST_TEXT = 1 << 18
"""Longer texts are not read: 10,000 class names fit, and a file's author may mean harm."""


def read_literal(text: str) -> Any:
    """The value that a text writes out; None where it writes none, or one that cannot be written again: Python reads
    integers of any length, and writes none of thousands of digits."""
    if len(text) > MOST_TEXT:
        return None
    try:
        value = ast.literal_eval(text)
        repr(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    return value
