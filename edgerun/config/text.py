"""The configuration file's text to a tree of nodes that remember their lines.

YAML 1.2 without its traps: every scalar stays the text that was written (the schema decides what it means, so
``no``, ``12:30`` and ``22:00-06:00`` surprise nobody), only an empty value and ``null`` are nothing. RefusedError: more
than 256 KB, more than 32 levels, anchors, aliases, tags, duplicate keys, keys that other readers take for numbers,
blanks and quotation marks that are none to YAML.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from edgerun import remembered
from edgerun.records import dataclass
from edgerun.remembered import MAX_BYTES

MAX_DEPTH = 32
_TOO_DEEP = f"is nested deeper than {MAX_DEPTH} levels"

Loc: TypeAlias = tuple[str | int, ...]

_NULLS = {"", "~", "null", "Null", "NULL"}
_NOT_TEXT = re.compile(r"[-+]?(\.?[0-9][0-9_.]*(e[-+]?[0-9]+)?|0[xo][0-9a-f]+|\.inf|\.nan)|true|false", re.IGNORECASE)

_PASTED = re.compile("[\u00a0\u2000-\u200b\u202f\u2060\ufeff]|^[\u00ab\u00bb\u2018-\u201f]")
"""Blanks of which YAML knows nothing, and at the beginning such quotation marks: as web pages and word processors have
them."""
_PASTED_VALUE = re.compile("^[\u200b\u2060\ufeff\u00ab\u00bb\u2018-\u201f]|[\u200b\u2060\ufeff]$")
"""In a value blanks may well be meant: macOS writes the time in a file's name with such a one."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, at ``line`` (from 1) and ``path`` (``cameras.porch.rules[2].zone``).

    A ``missing_here`` problem is an environment variable or a secret's file that this machine does not have: it
    keeps the daemon from starting, but says nothing about the file itself.
    """

    line: int
    path: str
    message: str
    missing_here: bool = False

    def text(self, file: str) -> str:
        """``FILE:LINE: path: what is wrong, and what is allowed``."""
        return f"{file}:{self.line}: {self.path}: {self.message}"


@dataclass(slots=True)
class Node:
    """A value and the line where it (or its key) stands. ``outside`` marks text that came from the environment or
    another file: it is never repeated in a message. ``unknown`` marks text that could not be had on this machine."""

    line: int
    value: str | list[Node] | dict[str, Node] | None
    outside: bool = False
    unknown: bool = False

    def plain(self) -> Any:
        """The value as nested dict, list and str. A key without a value counts as not written."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items() if node.value is not None}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    @property
    def word(self) -> str | None:
        """Its text, where it is one and known on this machine."""
        return self.value if isinstance(self.value, str) and not self.unknown else None

    def get(self, part: str | int) -> Node | None:
        """The child by key or index, if there is one."""
        if isinstance(self.value, dict):
            return self.value.get(str(part))
        if isinstance(self.value, list) and isinstance(part, int) and part < len(self.value):
            return self.value[part]
        return None

    def walk(self, loc: Loc = ()) -> Iterator[tuple[Loc, Node]]:
        """Every node below and this one, with where it stands."""
        yield loc, self
        if isinstance(self.value, dict):
            for key, node in self.value.items():
                yield from node.walk((*loc, key))
        elif isinstance(self.value, list):
            for index, node in enumerate(self.value):
                yield from node.walk((*loc, index))


def dotted(loc: Loc) -> str:
    """``("cameras", "porch", "rules", 2)`` as ``cameras.porch.rules[2]``; the whole is ``file``."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return path.lstrip(".") or "file"


class RefusedError(Exception):
    """The text cannot be read at all; holds the one Problem."""

    def __init__(self, line: int, message: str, path: str = "file") -> None:
        super().__init__(message)
        self.problem = Problem(line, path, message)


def read(path: Path) -> Node:
    """The file's tree. Raises RefusedError."""
    return parse(content(path))


def content(path: Path) -> bytes:
    """The file's text, or more than may be parsed. Raises RefusedError."""
    try:
        return remembered.content(path)
    except OSError as error:
        raise RefusedError(1, f"cannot be read: {error.strerror or error}") from error


def parse(raw: bytes) -> Node:
    """The tree of a text. Raises RefusedError."""
    if len(raw) > MAX_BYTES:
        raise RefusedError(1, f"is larger than {MAX_BYTES // 1024} KB")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RefusedError(raw.count(b"\n", 0, error.start) + 1, "is not UTF-8 text; save it as UTF-8") from error
    try:
        root = _Builder().build(text)
    except yaml.YAMLError as error:
        raise _not_yaml(error, text) from error
    if root is None or root.value is None:
        raise RefusedError(1, "is empty; at least one camera with its source is needed")
    if not isinstance(root.value, dict):
        raise RefusedError(root.line, "must be a mapping (key: value) with cameras in it")
    return root


def _not_yaml(error: yaml.YAMLError, text: str) -> RefusedError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is not None:
        if "nesting depth" in (getattr(error, "problem", None) or ""):  # libyaml 0.2.6: its scanner reads ahead of us
            return RefusedError(mark.line + 1, _TOO_DEEP)
        begin = "".join(text.splitlines()[mark.line : mark.line + 1])[: mark.column + 1]
        if "\t" in begin and begin.isspace():
            return RefusedError(
                mark.line + 1, "is not valid YAML: the line begins with a tab; indent with spaces alone"
            )
        first = min(mark.line, getattr(getattr(error, "context_mark", None), "line", mark.line))
        for number, read in enumerate(text.splitlines()[first : mark.line + 1], first + 1):
            _refuse_pasted(read.partition(" #")[0], number, "file")
        said = ", ".join(part for part in (getattr(error, "context", None), getattr(error, "problem", None)) if part)
        return RefusedError(mark.line + 1, f"is not valid YAML at column {mark.column + 1}: {said}")
    character = chr(getattr(error, "character", 0))  # its position would be in bytes or not, as the parser counts
    line = text.count("\n", 0, text.find(character)) + 1
    return RefusedError(line, f"is not valid YAML: {character!r} may not stand in a text file")


def _refuse_pasted(written: str, line: int, path: str, pasted: re.Pattern[str] = _PASTED) -> None:
    found = pasted.search(written)
    if found:
        raise RefusedError(
            line,
            f"holds {found[0]!r} (U+{ord(found[0]):04X}), as copied text may, which is a letter to YAML; type this "
            "line's spaces and quotation marks anew, or put what is meant so in quotes",
            path,
        )


@dataclass(slots=True)
class _Open:
    """A collection that is still being read."""

    node: Node
    key: str | None = None
    key_line: int = 0


@dataclass(slots=True)
class _Builder:
    """Parser events to nodes with a stack of our own, so depth is bounded and nothing recurses."""

    stack: list[_Open] = field(default_factory=list)
    root: Node | None = None

    def build(self, text: str) -> Node | None:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        documents = 0
        for event in yaml.parse(text, Loader=loader):
            line = event.start_mark.line + 1 if event.start_mark else 1
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise RefusedError(line, "holds a second document (---); one is enough")
            elif isinstance(event, yaml.AliasEvent):
                raise RefusedError(line, "holds a YAML alias (*name); write the value out", self._here())
            elif isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
                self._begin(event, line)
            elif isinstance(event, yaml.CollectionEndEvent):
                self.stack.pop()
        return self.root

    def _begin(self, event: Any, line: int) -> None:
        if event.anchor is not None:
            raise RefusedError(
                line, "holds a YAML anchor (&name); write the value out where it is needed", self._here()
            )
        if event.tag is not None and event.tag != "!":
            raise RefusedError(line, f"holds a YAML tag ({event.tag}); leave it out", self._here())
        top = self.stack[-1] if self.stack else None
        if top is not None and isinstance(top.node.value, dict) and top.key is None:
            self._key(top, event, line)
            return
        if isinstance(event, yaml.ScalarEvent):
            if not event.style:
                _refuse_pasted(event.value.strip(), line, self._here(), _PASTED_VALUE)
            null = not event.style and event.value in _NULLS
            self._add(Node(line, None if null else event.value))
            return
        if len(self.stack) >= MAX_DEPTH:
            raise RefusedError(line, _TOO_DEEP, self._here())
        node = Node(line, {} if isinstance(event, yaml.MappingStartEvent) else [])
        self._add(node)
        self.stack.append(_Open(node))

    def _key(self, top: _Open, event: Any, line: int) -> None:
        if not isinstance(event, yaml.ScalarEvent):
            raise RefusedError(line, "a key must be a text, not a list or a mapping", self._here())
        key = event.value
        if not event.style:
            _refuse_pasted(key, line, self._here())
        if not event.style and (key in _NULLS or _NOT_TEXT.fullmatch(key)):
            raise RefusedError(line, f"the key {key or 'with no name'} is not a text; write it in quotes", self._here())
        assert isinstance(top.node.value, dict)
        if key in top.node.value:
            first = top.node.value[key].line
            raise RefusedError(
                line, f"the key {key!r} stands here twice (first in line {first}); keep one", self._here()
            )
        top.key, top.key_line = key, line

    def _add(self, node: Node) -> None:
        if not self.stack:
            self.root = node
            return
        top = self.stack[-1]
        if isinstance(top.node.value, dict):
            assert top.key is not None
            node.line = top.key_line
            top.node.value[top.key] = node
            top.key = None
        elif isinstance(top.node.value, list):
            top.node.value.append(node)

    def _here(self) -> str:
        parts: list[str | int] = []
        for level in self.stack:
            value, top = level.node.value, level is self.stack[-1]
            if isinstance(value, list):
                parts.append(len(value) if top else len(value) - 1)
            elif isinstance(value, dict) and not top:
                parts.append(next(reversed(value)))
            elif level.key is not None:
                parts.append(level.key)
        return dotted(tuple(parts))
