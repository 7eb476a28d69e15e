"""A tree of nodes to a Config, or every reason why not. The only module that knows pydantic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from itertools import islice
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema

from edgerun.config.references import hint, references
from edgerun.config.text import Loc, Node, Problem, dotted
from edgerun.config.tree import Config
from edgerun.rules.schedule import Schedule
from edgerun.secrets import Secret

_SHOWN = 60
_TOLD = 100
"""More complaints than this say that it is the wrong file."""


@cache
def _adapter() -> TypeAdapter[Config]:
    return TypeAdapter(Config)


class _SchemaWriter(GenerateJsonSchema):
    """Knows how a secret that was not given is written."""

    def encode_default(self, dft: Any) -> Any:
        return dft.value if isinstance(dft, Secret) else super().encode_default(dft)


@cache
def json_schema() -> dict[str, Any]:
    """The configuration's JSON Schema (2020-12), with every field's description."""
    schema = _adapter().json_schema(schema_generator=_SchemaWriter)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "edgerun configuration"}


def validate(root: Node) -> tuple[Config | None, list[Problem]]:
    """The Config, unless there are problems; the problems in the order of the lines."""
    config = None
    problems = list(islice(references(root), 2 * _TOLD))  # each looks for what may have been meant
    try:
        config = _adapter().validate_python(root.plain())
    except ValidationError as error:
        problems += _explain(error, root)
    else:
        problems += _contradictions(config, root)
    problems = sorted(_discreet(problems, root), key=lambda problem: problem.line)
    if len(problems) > _TOLD:
        more = Problem(problems[_TOLD].line, "file", "and many more like these")
        problems[_TOLD:] = [more]
    return (None if problems else config), problems


def _discreet(problems: Iterable[Problem], root: Node) -> Iterator[Problem]:
    """The problems without quotations of what stands elsewhere, which may be secret."""
    quotations = [repr(node.value) for _, node in root.walk() if node.outside and node.value]
    for problem in problems:
        message = problem.message
        for quotation in quotations:
            message = message.replace(quotation, "'***'")
        yield replace(problem, message=message)


def _contradictions(config: Config, root: Node) -> Iterator[Problem]:
    """What is right by itself and wrong together."""
    for camera_name, camera in config.cameras.items():
        for index, rule in enumerate(camera.rules):
            node, loc = _locate(root, ("cameras", camera_name, "rules", index))
            if rule.is_paced and camera.ground is None:
                yield Problem(
                    node.line, dotted(loc), "asks for a speed, and this camera has no ground to measure it on"
                )
            try:
                if rule.schedule:
                    Schedule(rule.schedule, config.place)
            except ValueError as error:
                yield Problem(node.line, dotted((*loc, "schedule")), f"{error}; write them into place")


def _explain(error: ValidationError, root: Node) -> Iterator[Problem]:
    """One problem per place: the several complaints of a union about one value become one sentence."""
    places: dict[Loc, tuple[Node, list[str]]] = {}
    errors = error.errors(include_url=False)
    for one in errors[: 2 * _TOLD]:
        if one["type"] == "too_short" and any(_is_below(other["loc"], one["loc"]) for other in errors):
            continue  # only because wrong entries were not counted
        names_a_key = one["type"] in ("missing", "unexpected_keyword_argument")
        node, loc = _locate(root, one["loc"][:-1] if names_a_key else one["loc"])
        if node.unknown or (one["type"] == "value_error" and _is_empty_here(node)):
            continue
        message = _message(one, root, node, loc)
        if names_a_key:
            node, loc = node.get(one["loc"][-1]) or node, (*loc, one["loc"][-1])
        places.setdefault(loc, (node, []))[1].append(message)
    for loc, (node, messages) in places.items():
        yield Problem(node.line, dotted(loc), " or ".join(dict.fromkeys(messages)))


def _is_empty_here(node: Node) -> bool:
    """Whether something of it, but for a password, is empty only because this machine does not have it."""
    return any(
        below.unknown and below.value == "" and loc[-1:] not in (("password",), ("token",))
        for loc, below in node.walk()
    )


def _is_below(loc: Loc, other: Loc) -> bool:
    return len(loc) > len(other) and loc[: len(other)] == other


def _locate(root: Node, loc: Iterable[str | int]) -> tuple[Node, Loc]:
    """The deepest node that is written at an error's place; parts that pydantic adds for itself are skipped."""
    node, path = root, list[str | int]()
    for part in loc:
        child = node.get(part)
        if child is not None and not _is_tag(node, part):
            node = child
            path.append(part)
    return node, tuple(path)


def _is_tag(node: Node, part: str | int) -> bool:
    tag = node.get("type")
    return tag is not None and tag.value == part


_SAYS = {  # what pydantic-core's error types say to whoever wrote the file; the only pattern is NAME
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be a text",
    "path_type": "must be a text",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be {expected}",
    "string_pattern_mismatch": "must be 1 to 32 of a-z, 0-9, _ and -",
    "string_too_short": "must not be empty",
    "too_short": "must hold {min_length} or more, holds {actual_length}",
    "too_long": "must hold {max_length} at most, holds {actual_length}",
    "dict_type": "must be a mapping (key: value)",
    "dataclass_type": "must be a mapping (key: value)",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "missing": "is missing, and has no default",
    "union_tag_not_found": "needs a type: one of {tags}",
    "union_tag_invalid": "has no type {tag!r}: one of {tags}",
    "model_attributes_type": "must be a mapping (key: value) with a type",
}
_ECHO = ("int_", "float_", "finite", "bool_", "greater", "less", "literal", "string_pattern")


def _message(one: Mapping[str, Any], root: Node, node: Node, loc: Loc) -> str:
    kind, context = one["type"], one.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "unexpected_keyword_argument":
        allowed = [key for variant in _variants(root, loc) for key in variant.get("properties", ())]
        return f"unknown key{hint(str(one['loc'][-1]), allowed)}"
    if kind == "missing" and node.get(one["loc"][-1]) is not None:
        return "has no value; what belongs to it stands below it, indented further"
    if kind not in _SAYS:
        return str(one["msg"]).replace("Input should", "must").replace("Value should", "must")
    if kind.startswith("union_tag"):
        names = [name for one in _variants(root, loc) for name in one.get("enum", [_type_of(one)])]
        context = {**context, "tags": ", ".join(dict.fromkeys(filter(None, names)))}
    said = _SAYS[kind].format(**context)
    if kind.startswith(_ECHO) and isinstance(node.value, str) and not node.outside:
        said += f", not {node.value[:_SHOWN]!r}"
    return said


def _variants(root: Node, loc: Loc) -> list[dict[str, Any]]:
    """The schemas that could stand at a place; where a ``type`` is written, the one it names."""
    schema = json_schema()
    node: Node | None = root
    level = [schema]
    for part in (*loc, None):
        objects = list(_flat(level, schema["$defs"]))
        written = node.get("type") if node else None
        if written:
            # where no ``type`` belongs, it is an unknown key as others are
            objects = [one for one in objects if _type_of(one) == written.value] or objects
        if part is None:
            return objects
        level = [child for one in objects for child in _children(one, part)]
        node = node.get(part) if node else None
    return []


def _type_of(schema: Mapping[str, Any]) -> str | None:
    name = schema.get("properties", {}).get("type", {}).get("const")
    return name if isinstance(name, str) else None


def _flat(level: Iterable[dict[str, Any]], defs: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for one in level:
        target = defs[one["$ref"].rsplit("/", 1)[-1]] if "$ref" in one else one
        if "anyOf" in target:
            yield from _flat(target["anyOf"], defs)
        else:
            yield target


def _children(schema: dict[str, Any], part: str | int) -> Iterator[dict[str, Any]]:
    if part in schema.get("properties", {}):
        yield schema["properties"][part]
    yield from schema.get("patternProperties", {}).values()
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield schema[key]
