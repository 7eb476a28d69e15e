"""What an editor is told of the configuration: it sees the file before anything from outside is filled in, and takes
for a number, a truth or nothing what edgerun reads as the text that stands there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OUTSIDE = "FromOutside"
_SINGLE = ("string", "number", "integer", "boolean")
_ABOUT = ("title", "description", "default")
_NAMED = ("patternProperties", "$defs")
_REFERENCE = {"$ref": f"#/$defs/{_OUTSIDE}"}
_NOTHING = {"type": "null"}


def for_editors(options: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON Schema of the options, where each single value may also come from outside, as ``outside.fill_in`` takes
    it, a text may look like something else, and what need not be written may have no value."""
    schema = _widened(options)
    return {**schema, "$defs": {**schema["$defs"], _OUTSIDE: _from_outside()}}


def _from_outside() -> dict[str, Any]:
    variable = {"type": "string", "description": "Name of an environment variable."}
    file = {"type": "string", "description": "A file, in the credentials directory or by its path."}
    within = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*\}"}
    return {
        "description": "A value that stands in the environment or in a file of its own.",
        "anyOf": [_only("env", variable), _only("file", file), within],
    }


def _only(key: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {key: value}, "required": [key], "additionalProperties": False}


def _widened(schema: Mapping[str, Any]) -> dict[str, Any]:
    if _is_single(schema):
        told = {key: schema[key] for key in _ABOUT if key in schema}
        return {"anyOf": [_loosely({key: schema[key] for key in schema if key not in _ABOUT}), _REFERENCE], **told}
    wide = dict(schema)
    for key, part in schema.items():
        if key == "properties":
            wide[key] = {name: _property(one, name in schema.get("required", ())) for name, one in part.items()}
        elif key in _NAMED:
            wide[key] = {name: _widened(one) for name, one in part.items()}
        elif key in ("items", "additionalProperties") and isinstance(part, dict):
            wide[key] = _widened(part)
        elif key == "prefixItems":
            wide[key] = [_widened(one) for one in part]
        elif key == "anyOf":
            wide[key] = _any_of(part)
    return wide


def _any_of(variants: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same with one more, where one of them is a single value."""
    if not any(map(_is_single, variants)):
        return [_widened(one) for one in variants]
    return [*(_loosely(one) if _is_single(one) else _widened(one) for one in variants), _REFERENCE]


def _property(schema: Mapping[str, Any], required: bool) -> dict[str, Any]:
    wide = _widened(schema)
    if required or "const" in schema:
        return wide
    variants = wide.pop("anyOf", None) or [{key: wide.pop(key) for key in [*wide] if key not in _ABOUT}]
    return {"anyOf": variants if _NOTHING in variants else [*variants, _NOTHING], **wide}


def _loosely(single: Mapping[str, Any]) -> dict[str, Any]:
    """The same, where a text is wanted also as what YAML makes of it without quotes: ``version: 5`` is a number."""
    if single.get("type") != "string":
        return dict(single)
    if "enum" not in single:
        return {**single, "type": ["string", "number", "boolean"]}
    numbers = [int(choice) for choice in single["enum"] if choice.isdecimal()]
    return {**single, "type": ["string", "integer"], "enum": [*single["enum"], *numbers]} if numbers else dict(single)


def _is_single(schema: Mapping[str, Any]) -> bool:
    """Whether it is one text, number or choice; the ``type`` of a plugin, by which an editor knows the rest, is not."""
    return schema.get("type") in _SINGLE or "enum" in schema
