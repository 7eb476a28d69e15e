"""The row of a plugin table: a name's options and the class that takes them.

A room's ``__init__`` is one plain dict ``name -> Plugin(XOptions, X)``. Vendor libraries are imported in the
constructor of ``X``, so the tables import on any machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

P = TypeVar("P", covariant=True)


@dataclass(frozen=True, slots=True)
class Plugin(Generic[P]):
    """``options`` is a frozen dataclass type; ``build(options, ...)`` makes the plugin (see ``stages``)."""

    options: type[Any]
    build: Callable[..., P]
