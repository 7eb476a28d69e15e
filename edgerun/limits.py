"""Bounds of options, for annotations: ``Annotated[int, Ge(1)]``. pydantic reads them by its protocol.

Named as in annotated-types, whose import would take a part of each start.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class _Bounds:
    """Entries of pydantic's core schema of the annotated type."""

    def __init__(self, **entries: float | None) -> None:
        self._entries = {key: entry for key, entry in entries.items() if entry is not None}

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return handler(source) | self._entries


class Interval(_Bounds):
    """Numbers above ``gt``, not below ``ge``, below ``lt``, not above ``le``."""

    def __init__(
        self, *, gt: float | None = None, ge: float | None = None, lt: float | None = None, le: float | None = None
    ) -> None:
        super().__init__(gt=gt, ge=ge, lt=lt, le=le)


class Ge(_Bounds):
    """Numbers not below ``ge``."""

    def __init__(self, ge: float) -> None:
        super().__init__(ge=ge)


class Len(_Bounds):
    """Texts and collections of at least ``least`` and at most ``most`` parts."""

    def __init__(self, least: int, most: int | None = None) -> None:
        super().__init__(min_length=least, max_length=most)


POSITIVE = Interval(gt=0)
NOT_EMPTY = Len(1)
