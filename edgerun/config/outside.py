"""What a configuration leaves to its environment and to other files, put in its place."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from edgerun.config.text import Loc, Node, Problem, dotted
from edgerun.folders import expanded

MAX_SECRET_BYTES = 64 * 1024

_VARIABLE = re.compile(r"\$(\$?)\{([^}]*)(\}?)")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def fill_in(root: Node, folder: Path, environ: Mapping[str, str] = os.environ) -> list[Problem]:
    """Put the environment into ``${NAME}`` and the secret's text in the place of ``{env: NAME}`` and
    ``{file: NAME}``, in place. What is not there is left as it stands, marked unknown and reported."""
    found = (_fill_one(loc, node, folder, environ) for loc, node in root.walk())
    return [problem for problem in found if problem is not None]


def _fill_one(loc: Loc, node: Node, folder: Path, environ: Mapping[str, str]) -> Problem | None:
    try:
        if isinstance(node.value, str):
            _expand(node, environ)
        elif isinstance(node.value, dict) and len(node.value) == 1 and loc:
            _fetch(node, node.value, folder, environ)
    except LookupError as error:
        node.unknown = True
        return Problem(node.line, dotted(loc), str(error.args[0]), missing_here=True)
    except ValueError as error:
        node.unknown = True
        return Problem(node.line, dotted(loc), str(error))
    return None


def _expand(node: Node, environ: Mapping[str, str]) -> None:
    def one(match: re.Match[str]) -> str:
        escaped, name, closed = match.groups()
        if escaped:
            return match[0][1:]
        if not closed or not _VARIABLE_NAME.fullmatch(name):
            raise ValueError("an environment variable is written ${NAME}; for the characters themselves write $${")
        node.outside = True
        return _variable(name, environ)

    assert isinstance(node.value, str)
    node.value = _VARIABLE.sub(one, node.value)


def _variable(name: str, environ: Mapping[str, str]) -> str:
    if name not in environ:
        raise LookupError(f"the environment variable {name} is not set")
    value = environ[name]
    if any("\ud800" <= sign <= "\udfff" for sign in value):  # how Python holds bytes that are no text
        raise ValueError(f"the environment variable {name} is not UTF-8 text")
    return value


def _fetch(node: Node, mapping: dict[str, Node], folder: Path, environ: Mapping[str, str]) -> None:
    (key, child) = next(iter(mapping.items()))
    if key not in ("env", "file") or not isinstance(child.value, str):
        return
    name = child.value
    node.outside = True
    node.value = ""  # a secret that is not here stands as an empty text, so that the rest can still be checked
    if key == "env":
        node.value = _variable(name, environ)
        return
    credentials = environ.get("CREDENTIALS_DIRECTORY")
    path = Path(folder, expanded(name))
    if credentials and Path(credentials, name).is_file():
        path = Path(credentials, name)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise LookupError(f"the file {path} cannot be read: {error.strerror or error}") from error
    if len(raw) > MAX_SECRET_BYTES:
        raise ValueError(f"the file {path} is larger than {MAX_SECRET_BYTES // 1024} KB: not a secret")
    try:
        node.value = raw.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"the file {path} is not UTF-8 text") from error
