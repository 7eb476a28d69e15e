"""A text that must not be seen."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import field
from typing import Any
from urllib.parse import unquote

from edgerun.records import dataclass

_PASSWORD = re.compile(r"://[^\s/?#:]*:([^\s/?#\"]+)@")
_PARAMETER = re.compile(
    r"((?:[?&;/][\w.=-]{0,64}?|\s[\w-]{0,64}-)"  # after a blank only where it is no keyword of Python, as in tracebacks
    r"(?:pass(?!ive)|pas(?==)|pwd|pw(?==)|token|key(?!frame|int)|secret|auth(?!or)|credential)[\w.-]{0,64}=)"
    r"(\\?\"[^\"\\\n]*\\?\"|'[^'\n]*'|[^&\s\"\\]+)",
    re.IGNORECASE,
)
"""A parameter whose name says that it is secret, and its value: in a URL, also in the path of those cameras that take
it there, and as an option such as GStreamer's ``user-pw=``, where it may stand in quotes (``\\"`` within JSON).
Bounded, as strangers can bring texts to be searched."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A password or a token. It prints as ``***``; ``value`` is asked for only where it is used."""

    value: str = field(repr=False)

    def __bool__(self) -> bool:
        return bool(self.value)

    def __str__(self) -> str:
        return "***"

    def __repr__(self) -> str:
        return "Secret(***)"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Callable[[Any], Any]) -> dict[str, Any]:
        """In the configuration a secret is a text; this is pydantic's protocol, spoken without importing it."""
        return {"type": "function-after", "function": {"type": "no-info", "function": cls}, "schema": {"type": "str"}}


def passwords_in(text: str) -> set[str]:
    """The passwords in the URLs of a text, as they are written there and as they are meant."""
    found = {*_PASSWORD.findall(text), *(value.strip("\\\"'") for _, value in _PARAMETER.findall(text))}
    return found | {unquote(one) for one in found}


def hide_parameters(text: str) -> str:
    """The text with ``***`` for every value of a parameter that is secret by its name."""
    return _PARAMETER.sub(r"\1***", text)


NO_SECRET = Secret("")
"""None was given."""
