"""The words that schemas are written in."""

from __future__ import annotations

from typing import Any, TypeAlias

from edgerun.messages import SCHEMA
from edgerun.topics import NAME

Schema: TypeAlias = dict[str, Any]

UNIT = {"type": "number", "minimum": 0, "maximum": 1}
_TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$"}


def text(description: str, **more: Any) -> Schema:
    return {"type": "string", "description": description, **more}


def moment(description: str) -> Schema:
    return {**_TIME, "description": f"{description} UTC."}


def truth(description: str) -> Schema:
    return {"type": "boolean", "description": description}


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


VERSION = {"const": SCHEMA, "description": "The version of all payloads. It rises when a field changes its meaning."}
NAMED = {"pattern": f"^{NAME}$"}
DEVICE = text("The device's name.", **NAMED)
CAMERA = text("The camera's name.", **NAMED)
