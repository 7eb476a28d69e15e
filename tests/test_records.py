"""``edgerun.records.dataclass`` against the standard library's: whoever uses the one must not notice that it is not the
other."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, field, fields, replace
from typing import Any

import pytest

from edgerun import records


class Ours:
    """One class of each kind, by edgerun's decorator."""

    @records.dataclass(frozen=True, slots=True)
    class Plain:
        a: int
        b: str = "x"
        c: list[int] = field(default_factory=list)

    @records.dataclass(frozen=True, slots=True, kw_only=True)
    class Named:
        a: int = 1
        b: int

    @records.dataclass(frozen=True, slots=True)
    class Quiet:
        a: int = 0
        secret: str = field(default="s", repr=False, compare=False)

    @records.dataclass(frozen=True, slots=True, eq=False)
    class Itself:
        a: int = 0

    @records.dataclass(frozen=True, slots=True)
    class Checked:
        a: int = 0

        def __post_init__(self) -> None:
            if self.a < 0:
                raise ValueError("below 0")

        def __repr__(self) -> str:
            return "checked"

    @records.dataclass(frozen=True, slots=True)
    class Empty:
        pass

    @records.dataclass(slots=True)
    class Changing:
        a: int = 0


class Theirs:
    """The same by the standard library's."""

    Plain = dataclasses.make_dataclass(
        "Plain", [("a", int), ("b", str, "x"), ("c", list, field(default_factory=list))], frozen=True, slots=True
    )
    Named = dataclasses.make_dataclass("Named", [("a", int, 1), ("b", int)], frozen=True, slots=True, kw_only=True)
    Quiet = dataclasses.make_dataclass(
        "Quiet",
        [("a", int, 0), ("secret", str, field(default="s", repr=False, compare=False))],
        frozen=True,
        slots=True,
    )
    Empty = dataclasses.make_dataclass("Empty", [], frozen=True, slots=True)


CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("Plain", (1,), {}),
    ("Plain", (1, "y", [2]), {}),
    ("Plain", (), {"c": [3], "a": 4}),
    ("Plain", (), {}),
    ("Plain", (1, "y", [], 5), {}),
    ("Plain", (1,), {"d": 5}),
    ("Named", (), {"b": 2}),
    ("Named", (2,), {}),
    ("Named", (), {}),
    ("Quiet", (1, "hidden"), {}),
    ("Empty", (), {}),
    ("Empty", (1,), {}),
]


def outcome(made: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Any:
    try:
        found = made(*args, **named)
    except TypeError:
        return "refused"
    return [getattr(found, each.name) for each in fields(found)], repr(found).replace("Ours.", "")


@pytest.mark.parametrize(("kind", "args", "named"), CALLS)
def test_takes_tells_and_refuses_the_same(kind: str, args: tuple[Any, ...], named: dict[str, Any]) -> None:
    assert outcome(getattr(Ours, kind), args, named) == outcome(getattr(Theirs, kind), args, named)


def test_each_instance_has_a_default_of_its_own() -> None:
    assert Ours.Plain(1).c is not Ours.Plain(1).c


def test_equal_by_value_and_hashable() -> None:
    assert Ours.Named(b=2) == Ours.Named(a=1, b=2) != Ours.Named(b=3)
    assert len({Ours.Named(b=2), Ours.Named(b=2), Ours.Named(b=3)}) == 2
    assert Ours.Quiet(1, "x") == Ours.Quiet(1, "y"), "what is not to be compared counted"
    assert Ours.Empty() == Ours.Empty() and hash(Ours.Empty()) == hash(Ours.Empty())
    other: object = Ours.Checked(0)
    assert Ours.Quiet(0) != other, "another class with the same values"


def test_eq_false_is_equal_to_itself_alone() -> None:
    one = Ours.Itself(1)
    assert one == one != Ours.Itself(1)
    assert one in {one}


@pytest.mark.parametrize("name", ["a", "not_there"])
def test_frozen_and_slotted(name: str) -> None:
    one = Ours.Plain(1)
    with pytest.raises(FrozenInstanceError):
        setattr(one, name, 2)
    with pytest.raises(FrozenInstanceError):
        delattr(one, name)
    assert not hasattr(one, "__dict__")
    assert one.a == 1


def test_a_field_to_be_filled_in_later_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Late\.a: what is frozen"):

        @records.dataclass(frozen=True, slots=True)
        class Late:
            a: int = field(init=False)


def test_what_the_class_says_itself_stays() -> None:
    assert repr(Ours.Checked(1)) == "checked"
    with pytest.raises(ValueError, match="below 0"):
        Ours.Checked(-1)
    with pytest.raises(ValueError, match="below 0"):
        replace(Ours.Checked(1), a=-1)


def test_copies_travel() -> None:
    one = Ours.Plain(1, "y", [1, 2])
    assert replace(one, b="z") == Ours.Plain(1, "z", [1, 2])
    assert copy.copy(one) == copy.deepcopy(one) == pickle.loads(pickle.dumps(one)) == one
    assert copy.deepcopy(one).c is not one.c
    assert dataclasses.asdict(one) == {"a": 1, "b": "y", "c": [1, 2]}


def test_inherits() -> None:
    @records.dataclass(frozen=True, slots=True)
    class More(Ours.Plain):
        d: int = 4

    assert More(1) == More(1, "x", [], 4)
    assert More(1) != Ours.Plain(1)
    assert [each.name for each in fields(More)] == ["a", "b", "c", "d"]


def test_matches_by_place() -> None:
    match Ours.Plain(1, "y"):
        case Ours.Plain(a, b):
            assert (a, b) == (1, "y")


def test_others_are_the_standard_librarys() -> None:
    @records.dataclass
    class Open:
        a: int = 0

    for kind in (Ours.Changing, Open):
        one = kind(1)
        one.a = 2
        assert one == kind(2)
