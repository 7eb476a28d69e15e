"""``dataclasses.dataclass``, with a shorter way to classes that are frozen and slotted.

For such a class the standard decorator writes and compiles nine methods, which takes it about a millisecond; the
daemon has some hundred of these classes, and a start is counted in milliseconds. Here only ``__init__`` is compiled, as
only that differs: the rest is the same for all of them. It sets the slots by their descriptors, so that an instance is
made in two thirds of the time, too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import MISSING, FrozenInstanceError, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(cls=None, /, *, frozen=False, slots=False, eq=True, kw_only=False):
        """The standard decorator's options of these names, with its meaning and its defaults."""

        def made(cls):
            if frozen and slots:
                return _frozen(cls, eq, kw_only)
            return dataclasses.dataclass(cls, frozen=frozen, slots=slots, eq=eq, kw_only=kw_only)

        return made if cls is None else made(cls)


def _frozen(cls: type, eq: bool, kw_only: bool) -> type:
    """A frozen, slotted dataclass; methods that the class has itself stay."""
    for name, method in (_SHARED | _BY_VALUE if eq else _SHARED).items():
        if cls.__dict__.get(name) is None:
            setattr(cls, name, method)
    made: Any = dataclasses.dataclass(cls, init=False, repr=False, eq=False, slots=True, kw_only=kw_only)
    made.__init__ = _initializer(made)
    compared = [field.name for field in fields(made) if field.compare]
    made.__compared__ = attrgetter(*compared) if compared else bool
    return made  # type: ignore[no-any-return]  # a class, to which no type allows to give methods


def _initializer(cls: Any) -> Callable[..., None]:
    """``__init__``, with the fields' defaults. Raises TypeError for a field that it is not to take."""
    known: dict[str, Any] = {"MISSING": MISSING}
    places: list[str] = []
    named: list[str] = []
    body: list[str] = []
    for field in fields(cls):
        name = value = field.name
        if not field.init:
            raise TypeError(f"{cls.__qualname__}.{name}: what is frozen cannot be filled in later")
        known[f"__set_{name}"] = getattr(cls, name).__set__
        given = name
        if field.default is not MISSING:
            known[f"__default_{name}"] = field.default
            given = f"{name}=__default_{name}"
        elif field.default_factory is not MISSING:
            known[f"__make_{name}"] = field.default_factory
            given, value = f"{name}=MISSING", f"__make_{name}() if {name} is MISSING else {name}"
        (named if field.kw_only else places).append(given)
        body.append(f"__set_{name}(self, {value})")
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    parameters = ", ".join(["self", *places, *(["*"] if named else []), *named])
    exec(f"def __init__({parameters}): {'; '.join(body) or 'pass'}", known)
    made: Callable[..., None] = known["__init__"]
    return made


def _equal(self: Any, other: Any) -> bool:
    same: bool = NotImplemented
    if other.__class__ is self.__class__:
        same = self.__compared__(self) == other.__compared__(other)
    return same


def _hash(self: Any) -> int:
    return hash(self.__compared__(self))


def _told(self: Any) -> str:
    shown = (f"{field.name}={getattr(self, field.name)!r}" for field in fields(self) if field.repr)
    return f"{self.__class__.__qualname__}({', '.join(shown)})"


def _no_change(self: Any, name: str, value: object = None) -> None:
    raise FrozenInstanceError(f"{self.__class__.__qualname__}.{name} is frozen")


def _state(self: Any) -> list[Any]:
    return [getattr(self, field.name) for field in fields(self)]


def _set_state(self: Any, state: Sequence[Any]) -> None:
    for field, value in zip(fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)


_SHARED: dict[str, Callable[..., Any]] = {
    "__repr__": _told,
    "__setattr__": _no_change,
    "__delattr__": _no_change,
    "__getstate__": _state,
    "__setstate__": _set_state,
}
_BY_VALUE: dict[str, Callable[..., Any]] = {"__eq__": _equal, "__hash__": _hash}
