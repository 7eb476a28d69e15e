"""The words that schemas are written in."""

from __future__ import annotations

from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]


def text(description: str, **more: Any) -> Schema:
    return {"type": "string", "description": description, **more}


def whole(description: str, low: int = 0) -> Schema:
    return {"type": "integer", "minimum": low, "description": description}


def number(description: str, **more: Any) -> Schema:
    return {"type": "number", "description": description, **more}


def record(description: str, properties: Schema, *, optional: tuple[str, ...] = (), open_: bool = False) -> Schema:
    """All properties are required but the ``optional`` ones; ``open_`` allows others that are not listed."""
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": open_,
    }


def mapping(description: str, values: Schema) -> Schema:
    return {"type": "object", "description": description, "additionalProperties": values}


def array(description: str, items: Schema) -> Schema:
    return {"type": "array", "description": description, "items": items}
