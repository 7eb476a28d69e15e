"""Measured figures: several values each, beside their floor's, and how they are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from statistics import median
from typing import Any

import numpy as np

from edgerun.records import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing measured several times. ``floor`` holds the floor's values of the same rounds, where there is one.

    ``compare`` says how the two are set against each other: ``ratio`` (value / floor) or ``difference``. ``goal`` is
    in words, for the table; nothing is judged here.
    """

    name: str
    unit: str
    values: tuple[float, ...]
    floor: tuple[float, ...] = ()
    floor_name: str = ""
    compare: str = "ratio"
    goal: str = ""
    note: str = ""

    @property
    def compared(self) -> tuple[float, ...]:
        """Value against floor, round by round."""
        if self.compare == "difference":
            return tuple(value - floor for value, floor in zip(self.values, self.floor, strict=True))
        return tuple(value / floor for value, floor in zip(self.values, self.floor, strict=True) if floor)

    def row(self) -> tuple[str, str, str, str, str]:
        """What is measured, the value, the floor, value against floor, and the goal."""
        against = ""
        if self.floor:
            if self.compare == "ratio":
                against = "×" + spread(self.compared, 3)
            else:
                against = ("" if median(self.compared) < 0 else "+") + spread(self.compared, 2)
        floor = f"{spread(self.floor)} {self.unit} ({self.floor_name})" if self.floor else ""
        name = f"{self.name} ({self.note})" if self.note else self.name
        return name, f"{spread(self.values)} {self.unit}".strip(), floor, against, self.goal

    @staticmethod
    def of(record: dict[str, Any]) -> Figure:
        """The figure that ``record`` told of."""
        floor = record.get("floor", {"values": (), "name": ""})
        compare = "difference" if "difference" in record else "ratio"
        name, unit, values = record["name"], record["unit"], tuple(record["values"])
        more = {key: record[key] for key in ("goal", "note") if key in record}
        return Figure(name, unit, values, tuple(floor["values"]), floor["name"], compare, **more)

    def record(self) -> dict[str, Any]:
        told: dict[str, Any] = {"name": self.name, "unit": self.unit, **summary(self.values)}
        if self.floor:
            told["floor"] = {"name": self.floor_name, **summary(self.floor)}
            told[self.compare] = summary(self.compared)
        return told | {key: value for key, value in (("goal", self.goal), ("note", self.note)) if value}


@dataclass(slots=True)
class Section:
    """The figures of one subject; ``remarks`` say under what conditions they were taken."""

    title: str
    figures: list[Figure] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @staticmethod
    def of(record: dict[str, Any]) -> Section:
        """The section that ``record`` told of."""
        return Section(record["title"], [Figure.of(one) for one in record["figures"]], record["remarks"])

    def record(self) -> dict[str, Any]:
        return {"title": self.title, "remarks": self.remarks, "figures": [one.record() for one in self.figures]}


HEADINGS = ("measured", "edgerun", "floor", "against it", "goal")


def summary(values: Sequence[float]) -> dict[str, Any]:
    return {"median": median(values), "min": min(values), "max": max(values), "values": [round(v, 6) for v in values]}


def spread(values: Sequence[float], digits: int | None = None) -> str:
    """Median and, where there are several values, least and most."""

    def short(value: float) -> str:
        if digits is not None:
            return f"{value:.{digits}f}"
        size = abs(value)
        return f"{value:.0f}" if size >= 1000 else f"{value:.1f}" if size >= 100 else f"{value:.3g}"

    if not values:
        return "none"
    middle = short(median(values))
    return middle if len(values) == 1 else f"{middle} [{short(min(values))} – {short(max(values))}]"


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which ``part`` percent lie; 0 without values."""
    return float(np.percentile(values, part)) if len(values) else 0.0


def interleaved(repeats: int, measures: Mapping[str, Callable[[], float]]) -> dict[str, tuple[float, ...]]:
    """Each measure once, then each once more: what disturbs the machine disturbs them all."""
    rounds = [{name: measure() for name, measure in measures.items()} for _ in range(repeats)]
    return {name: tuple(one[name] for one in rounds) for name in measures}


def table(section: Section) -> str:
    """Plain text, in columns."""
    rows = [HEADINGS, *(figure.row() for figure in section.figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([section.title, *(f"  {line}" for line in lines), *(f"  {note}" for note in section.remarks), ""])


def markdown(section: Section) -> str:
    rows = [figure.row() for figure in section.figures]
    head = (HEADINGS, ("---",) * len(HEADINGS)) if rows else ()
    lines = [f"| {' | '.join(row)} |" for row in (*head, *rows)]
    return "\n".join([f"## {section.title}", "", *(f"{note}\n" for note in section.remarks), *lines, ""])
