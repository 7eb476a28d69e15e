"""What every alert goes through: whether the rule is awake and has cooled down, and how the event is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from edgerun.labels import label
from edgerun.records import dataclass
from edgerun.rules.filters import Filters
from edgerun.rules.memory import Memory
from edgerun.rules.options import RuleOptions
from edgerun.rules.pace import Pace
from edgerun.rules.schedule import Place, Schedule
from edgerun.types import Event, Phase, Stamp, TrackedObject
from edgerun.zones import LineOptions, Rows, ZoneOptions, Zones, in_both

_FEW = 4
"""So many cooldowns of tracks may be over before they are looked through."""

Terms: TypeAlias = tuple[RuleOptions, ZoneOptions | None, LineOptions | None]
"""A rule, its zone and its line: where all of these are as before, it goes on."""


@dataclass(frozen=True, slots=True)
class Scene:
    """All that rules look at, each part of it kept up to date."""

    memory: Memory
    zones: Zones
    filters: Filters
    pace: Pace | None


class Journal(Rows):
    """Schedules, cooldowns and episodes of R rules. Cooldowns run on the frames' own clock, gaps included."""

    def __init__(self, terms: Sequence[Terms], labels: Sequence[str], place: Place | None, scene: Scene) -> None:
        super().__init__([("alerted", "f8", (len(terms),))], {"alerted": terms})
        self.blank["alerted"] = -np.inf
        self.terms = terms
        self.rules = tuple(rule for rule, _, _ in terms)
        self._labels = tuple(labels)
        self._schedules = [Schedule(rule.schedule, place) if rule.schedule else None for rule in self.rules]
        self._scene = scene
        self._alerted = [-np.inf] * len(terms)
        self._told: dict[tuple[int, int], float] = {}
        """When rules with a cooldown for each track last told of an id, which may come back after its row was over."""
        self._many = _FEW
        """From how many on it is looked which of these are over: not for each alert, as a day may have 100,000."""
        self._episode = 0
        self._stamp = Stamp("", 0, 0.0, 0.0, 1, 1)
        self.pages: list[tuple[int, Event]] = []
        """The events of this frame, each with its rule's number."""

    def take_over(self, before: Journal) -> None:
        """Go on with its cooldowns, too; episodes go on counting."""
        super().take_over(before)
        self._episode = before._episode
        for here, there in in_both(self.terms, before.terms):
            self._alerted[here] = before._alerted[there]
            self._told |= {(here, who): at for (rule, who), at in before._told.items() if rule == there}

    def turn(self, stamp: Stamp) -> None:
        """Begin a frame."""
        self._stamp = stamp
        self.pages = []

    def clear(self) -> None:
        """Forget the cooldowns. Episodes go on counting."""
        super().clear()
        self._alerted = [-np.inf] * len(self.rules)
        self._told.clear()

    def label(self, class_id: int) -> str:
        """A class's name, as events tell it."""
        return label(self._labels, class_id)

    def awake(self, rule: int) -> bool:
        """Whether the rule's schedule is open."""
        schedule = self._schedules[rule]
        return schedule is None or schedule.awake(self._stamp.wall)

    def cool(self, rule: int) -> bool:
        """Whether the rule's last alert is long enough ago."""
        return self._stamp.captured - self._alerted[rule] >= self.rules[rule].cooldown_s

    def describe(self, rows: Sequence[int]) -> tuple[TrackedObject, ...]:
        """Rows as an event tells of them."""
        table = self._scene.memory.table[list(rows)]
        scores = self._scene.memory.scores()[list(rows)] if len(rows) else ()
        return tuple(
            TrackedObject(
                int(row["track_id"]), self.label(int(row["class_id"])), float(score), tuple(row["xyxy"].tolist())
            )
            for row, score in zip(table, scores, strict=True)
        )

    def about(self, rule: int, row: int, phase: Phase, direction: str = "") -> int:
        """Open an episode about one row, unless the rule or the track still cools down: its number, or 0."""
        wait_s = self.rules[rule].track_cooldown_s
        now = self._stamp.captured
        who = rule, int(self._scene.memory.table["track_id"][row])
        last = max(self.table["alerted"][row, rule], self._told.get(who, -np.inf))
        if not self.cool(rule) or (wait_s and now - last < wait_s):
            return 0
        self.table["alerted"][row, rule] = now
        if wait_s:
            if len(self._told) >= self._many:
                last_of = self._told.items()
                self._told = {key: at for key, at in last_of if now - at < self.rules[key[0]].track_cooldown_s}
                self._many = len(self._told) * 3 // 2 + _FEW
            self._told[who] = now
        return self.open(rule, phase, self.describe([row]), 1, direction)

    def open(self, rule: int, phase: Phase, objects: tuple[TrackedObject, ...], count: int, direction: str = "") -> int:
        """Open an episode, or tell of an instant, unless the rule still cools down: its number, or 0."""
        if not self.cool(rule):
            return 0
        self._alerted[rule] = self._stamp.captured
        self._episode += 1
        self._write(rule, phase, self._episode, objects, count, direction)
        return self._episode

    def close(self, rule: int, episode: int, objects: tuple[TrackedObject, ...], count: int) -> None:
        """End an episode."""
        self._write(rule, "end", episode, objects, count, "")

    def _write(
        self, rule: int, phase: Phase, episode: int, objects: tuple[TrackedObject, ...], count: int, direction: str
    ) -> None:
        told = self.rules[rule]
        event = Event(
            kind=told.when,
            rule=told.name,
            phase=phase,
            episode=episode,
            stamp=self._stamp,
            zone=told.zone,
            line=told.line,
            direction=direction,
            objects=objects,
            count=count,
        )
        self.pages.append((rule, event))
