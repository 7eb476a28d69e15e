"""What a rule can be told. Each kind of rule takes the fields it needs and no others."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Literal, TypeAlias

from edgerun.limits import NOT_EMPTY, POSITIVE, Ge, Interval
from edgerun.records import dataclass
from edgerun.rules.schedule import parse

Kind: TypeAlias = Literal["enter", "exit", "dwell", "cross", "count", "absent", "speed", "stationary", "removed", "all"]
Direction: TypeAlias = Literal["both", "left_to_right", "right_to_left"]

_FILTERS = frozenset({"min_score", "min_area", "max_area", "min_aspect", "max_aspect"})
_PACE = frozenset({"min_speed_kmh", "max_speed_kmh"})
_ALWAYS = frozenset({"name", "when", "cooldown_s", "schedule", "silent"})
_TRACK = _FILTERS | {"labels", "track_cooldown_s"}

_NEEDS: dict[str, frozenset[str]] = {
    "enter": frozenset({"zone"}),
    "exit": frozenset({"zone"}),
    "dwell": frozenset({"zone", "seconds"}),
    "cross": frozenset({"line"}),
    "count": frozenset({"zone"}),
    "absent": frozenset({"zone", "seconds"}),
    "speed": frozenset({"zone"}),
    "stationary": frozenset({"zone", "seconds"}),
    "removed": frozenset({"zone", "seconds"}),
    "all": frozenset({"all", "seconds"}),
}
_MAY: dict[str, frozenset[str]] = {
    "enter": _TRACK | _PACE,
    "exit": _TRACK | _PACE,
    "dwell": _TRACK,
    "cross": _TRACK | _PACE | {"direction"},
    "count": _FILTERS | {"labels", "seconds", "at_least", "at_most"},
    "absent": _FILTERS | {"labels"},
    "speed": _TRACK | _PACE,
    "stationary": _TRACK,
    "removed": _TRACK,
    "all": frozenset(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleOptions:
    """One rule of a camera: what must happen, to whom, and when it is worth an alert."""

    name: Annotated[str, NOT_EMPTY]
    """The rule's own name, as alerts tell it; unique within a camera."""
    when: Kind
    """What must happen.

    `enter`, `exit`: somebody comes into or leaves a zone, also by leaving the picture; `cross`: passes a line; `dwell`:
    stays in a zone for `seconds`; `count`: `at_least`/`at_most` so many are in a zone; `absent`: nobody has been
    there for `seconds`; `speed`: somebody in a zone is as fast as told; `stationary`: something in a zone has not moved
    for `seconds`; `removed`: something that had not moved for `seconds` is gone from its place; `all`: several other
    rules within `seconds`. `dwell`, `count`, `absent` and `stationary` say when they start and when they end, the
    others happen at one moment."""
    zone: str = ""
    """The zone looked at."""
    line: str = ""
    """The line looked at, for `cross`."""
    labels: tuple[str, ...] = ()
    """Which of the model's labels count; all where empty."""
    min_score: Annotated[float, Interval(ge=0, le=1)] = 0.0
    """The least score of a track: the median of its latest detections, so one good or bad frame decides nothing. A
    track whose score, area and aspect were once right together counts from then on."""
    min_area: Annotated[float, Interval(ge=0, le=1)] = 0.0
    """The least area of a box, as a part of the picture."""
    max_area: Annotated[float, Interval(ge=0, le=1)] = 1.0
    """The largest area of a box, as a part of the picture."""
    min_aspect: Annotated[float, Ge(0)] = 0.0
    """The least width of a box divided by its height, in pixels."""
    max_aspect: Annotated[float, POSITIVE] = 1000.0
    """The largest width of a box divided by its height, in pixels."""
    min_speed_kmh: Annotated[float, Ge(0)] = 0.0
    """The least speed over the ground; needs the camera's `ground`."""
    max_speed_kmh: Annotated[float, POSITIVE] = 1000.0
    """The highest speed over the ground; needs the camera's `ground`."""
    seconds: Annotated[float, Ge(0)] = 0.0
    """How long, for `dwell`, `count`, `absent`, `stationary` and `removed`; within which time, for `all`."""
    at_least: Annotated[int, Ge(1)] | None = None
    """For `count`: true from so many on."""
    at_most: Annotated[int, Ge(0)] | None = None
    """For `count`: true up to so many; with `at_least` both must hold."""
    direction: Direction = "both"
    """For `cross`: which way, as seen by somebody who stands at the line's `from` and looks to its `to`."""
    all: tuple[str, ...] = ()
    """For `all`: the names of the rules that must all be true, or have happened, within `seconds`."""
    cooldown_s: Annotated[float, Ge(0)] = 0.0
    """After an alert of this rule, the time in which it gives no other."""
    track_cooldown_s: Annotated[float, Ge(0)] = 0.0
    """After an alert of this rule about a track, the time in which it gives no other about the same track."""
    schedule: str = ""
    """When the rule is awake, such as `22:00-06:00`, `mon-fri 08:00-18:00; sat,sun`, `sunset-30m-sunrise`; always where
    empty. A day is the one on which the window starts. A replay is told the time with `--recorded-at`."""
    silent: bool = False
    """No alerts of its own: the rule only serves an `all`."""

    def __post_init__(self) -> None:
        if self.when not in _NEEDS:
            raise ValueError(f"when: {self.when!r} is not known; it is one of {', '.join(_NEEDS)}")
        needs = _NEEDS[self.when]
        given = {f.name for f in fields(self) if f.name not in ("name", "when") and getattr(self, f.name) != f.default}
        if missing := sorted(needs - given):
            needed = " and ".join(missing).replace("seconds", "seconds above 0")
            raise ValueError(f"a rule with when: {self.when} needs {needed}")
        if extra := sorted(given - needs - _MAY[self.when] - _ALWAYS):
            raise ValueError(f"a rule with when: {self.when} takes no {' or '.join(extra)}; leave it out")
        self._check_ranges()
        if self.schedule:
            parse(self.schedule)

    def _check_ranges(self) -> None:
        for what in ("area", "aspect", "speed_kmh"):
            low, high = f"min_{what}", f"max_{what}"
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"{low} is above {high}; nothing could ever match")
        if self.when == "count":
            if self.at_least is None and self.at_most is None:
                raise ValueError("a rule with when: count needs at_least or at_most")
            if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
                raise ValueError("at_least is above at_most; no count could ever match")
        if self.when == "speed" and not self.is_paced:
            raise ValueError("a rule with when: speed needs min_speed_kmh or max_speed_kmh")
        if self.when == "all" and (len(set(self.all)) < 2 or self.name in self.all):
            raise ValueError("a rule with when: all needs the names of at least two other rules in all")

    @property
    def is_paced(self) -> bool:
        """Whether it asks for a speed, and so for a calibrated ground."""
        return self.min_speed_kmh > 0 or self.max_speed_kmh < 1000.0
