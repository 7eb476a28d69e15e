"""The table of a room's plugins: by name, each one's options and the class that takes them.

A room's ``__init__`` holds one table, ``{"file": "file.File"}``: module and class; the options are the class of the
same name with ``Options`` behind it. A module is imported when its row is read, so a daemon imports what its
configuration names and nothing else. Vendor libraries are imported later still, in the constructors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, Generic, TypeVar

from edgerun.records import dataclass

P = TypeVar("P", covariant=True)


@dataclass(frozen=True, slots=True)
class Plugin(Generic[P]):
    """``options`` is a frozen dataclass type; ``build(options, ...)`` makes the plugin (see ``stages``)."""

    options: type[Any]
    build: Callable[..., P]


class Table(Mapping[str, Plugin[P]]):
    """Of the room that is the package ``room``."""

    def __init__(self, room: str, rows: Mapping[str, str]) -> None:
        self._room = room
        self._rows = rows

    def __getitem__(self, name: str) -> Plugin[P]:
        module, _, plugin = self._rows[name].partition(".")
        found = import_module(f"{self._room}.{module}")
        return Plugin(getattr(found, f"{plugin}Options"), getattr(found, plugin))

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)
