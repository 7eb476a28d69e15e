"""All rules of one camera, from tracks to events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgerun.masks import some
from edgerun.rules.combinations import Combinations
from edgerun.rules.counts import Counts
from edgerun.rules.filters import Filters
from edgerun.rules.journal import Journal, Scene
from edgerun.rules.memory import Memory
from edgerun.rules.moments import Moments
from edgerun.rules.options import RuleOptions
from edgerun.rules.pace import Pace
from edgerun.rules.schedule import Place
from edgerun.rules.stays import Stays
from edgerun.tracking import ClassGroups
from edgerun.types import Event, Mask, Past, Stamp, Tracks
from edgerun.zones import GroundOptions, LineOptions, Rows, ZoneOptions, Zones


class RuleBook:
    """The rules of one camera.

    All times are the stamps' ``captured``; only schedules read ``wall``. A silence of the camera counts as at most
    ``memory.MAX_GAP_S`` seconds of anybody's presence or absence. The same tracks and stamps give the same events.

    Raises ValueError for a rule about a zone, line, label or rule that is not there, for one about sunrise without
    coordinates, and for one about speed without a ground.
    """

    def __init__(
        self,
        rules: Sequence[RuleOptions],
        zones: Mapping[str, ZoneOptions],
        lines: Mapping[str, LineOptions],
        labels: Sequence[str],
        place: Place | None = None,
        ground: GroundOptions | None = None,
        groups: ClassGroups | None = None,
    ) -> None:
        _check(rules, zones, lines, ground)
        paced = any(rule.is_paced for rule in rules)
        self._memory, self._zones = Memory(groups), Zones(zones, lines)
        self._filters = Filters(rules, labels)
        self._pace = Pace(ground) if ground is not None and paced else None
        scene = Scene(self._memory, self._zones, self._filters, self._pace)
        terms = [(rule, zones.get(rule.zone), lines.get(rule.line)) for rule in rules]
        self._journal = Journal(terms, labels, place, scene)
        self._moments, self._stays = Moments(scene, self._journal), Stays(scene, self._journal)
        self._counts, self._combinations = Counts(scene, self._journal), Combinations(self._journal)
        self._tables: list[Rows] = [self._memory, self._memory.rest, self._zones, self._filters, self._journal]
        self._tables += [self._moments, self._stays]
        if self._pace is not None:
            self._tables.append(self._pace)
        named = {label for rule in rules for label in rule.labels} or (set(labels) if len(labels) == 1 else set())
        self._stale = False
        self._occupancy = {(zone, label): 0 for zone in zones for label in labels if label in named}
        self._zones_of: list[tuple[str, ...]] = []

    def take_over(self, before: RuleBook, labels: Sequence[str] = ()) -> None:
        """Go on from where another one stopped, with whom it knew and what happened by rules, zones and lines that are
        the same here. Whoever is inside another zone does not enter it, and who has none of the ``labels`` (none given:
        all) does not leave. The other one's ``finish`` ends what is left to it."""
        known = before._memory.table
        for table in self._tables:
            table.grow(len(known))
        self._zones.settle(known["xyxy"], known["life"], before._zones.size)
        for ours, theirs in zip(self._tables, before._tables, strict=False):  # the last may be there or not
            ours.take_over(theirs)
        self._counts.take_over(before._counts)
        self._combinations.take_over(before._combinations)
        names = map(self._journal.label, known["class_id"].tolist())
        self._zones.forget(np.array([bool(labels) and name not in labels for name in names], np.bool_))
        for zone, name in before._occupancy:
            if zone in self._zones.names and (not labels or name in labels):
                self._occupancy[zone, name] = 0
        self._stale = True

    def update(self, tracks: Tracks, stamp: Stamp, looked: Mask | None = None) -> list[Event]:
        """Take one frame's tracks: the events of this frame, in the order of the rules. ``looked`` bool (M,): which of
        them were looked at, and are not merely taken to be still there (None: all)."""
        self._journal.turn(stamp)
        self._memory.tick(stamp.captured)
        added = self._memory.assign(tracks, stamp)
        for table in self._tables if added else ():
            table.grow(added or 0)
        if added and tracks.past is not None:
            self._recall(tracks.past, added, stamp)
        if len(self._memory.table):
            self._look(tracks, stamp, added is not None, looked)
            self._moments.update()
            self._stays.update()
        else:
            self._zones.changed = self._filters.changed = False
        self._counts.update()
        self._combinations.update(stamp)
        if some(self._memory.ended):
            kept = ~self._memory.ended
            for table in self._tables:
                table.keep(kept)
        return self._events()

    def _recall(self, past: Past, added: int, stamp: Stamp) -> None:
        """Take in where the rows just added were before they were confirmed."""
        at = self._memory.at
        new = at >= len(self._memory.table) - added
        since = self._memory.now - past.ago_s[new]
        self._zones.recall(at[new], past.xyxy[new], since, (stamp.width, stamp.height))

    def _look(self, tracks: Tracks, stamp: Stamp, changed: bool, looked: Mask | None) -> None:
        """Bring all that rules look at up to date; ``changed``: other tracks, or other classes, than last time."""
        memory = self._memory
        memory.update(tracks, stamp, changed, looked)
        size = (stamp.width, stamp.height)
        self._zones.update(memory.table["xyxy"], memory.extent, memory.seen, memory.table["life"], memory.now, size)
        self._zones.leave(memory.ended)
        self._filters.update(memory, stamp, changed)
        if self._pace is not None:
            self._pace.update(memory, stamp)
        self._stale |= self._zones.changed or changed

    def finish(self, stamp: Stamp) -> list[Event]:
        """End all open episodes, as when the camera is taken out of service, and forget everything."""
        self._journal.turn(stamp)
        self._stays.finish()
        self._counts.finish()
        events = self._events()
        self.reset()
        return events

    def reset(self) -> None:
        """Forget all tracks, cooldowns and open episodes, without a word."""
        for table in self._tables:
            table.clear()
        self._stale = True
        self._counts.clear()
        self._combinations.clear()

    def occupancy(self) -> dict[tuple[str, str], int]:
        """How many are inside each zone now, by ``(zone, label)``. It has a zero for each label that a rule names or
        that was once inside."""
        self._see_who_is_inside()
        return dict(self._occupancy)

    def zones_of(self) -> list[tuple[str, ...]]:
        """The zones that each track of the last update is inside of, one tuple for each of its rows."""
        self._see_who_is_inside()
        return self._zones_of

    def _see_who_is_inside(self) -> None:
        if not self._stale:
            return
        self._stale = False
        table, names, inside = self._memory.table, self._zones.names, self._zones.inside
        self._occupancy = dict.fromkeys(self._occupancy, 0)
        for row, column in np.argwhere(inside).tolist():
            key = (names[column], self._journal.label(int(table["class_id"][row])))
            self._occupancy[key] = self._occupancy.get(key, 0) + 1
        rows = inside[self._memory.at].tolist()
        self._zones_of = [tuple(name for name, within in zip(names, row, strict=True) if within) for row in rows]

    def _events(self) -> list[Event]:
        pages = sorted(self._journal.pages, key=lambda page: page[0])
        return [event for number, event in pages if not self._journal.rules[number].silent]


def _check(
    rules: Sequence[RuleOptions],
    zones: Mapping[str, ZoneOptions],
    lines: Mapping[str, LineOptions],
    ground: GroundOptions | None,
) -> None:
    names = [rule.name for rule in rules]
    for rule in rules:
        if names.count(rule.name) > 1:
            raise ValueError(f"two rules are named {rule.name!r}; each needs a name of its own")
        for kind, name, known in (("zone", rule.zone, zones), ("line", rule.line, lines)):
            if name and name not in known:
                have = f"it has {', '.join(known)}" if known else "it has none"
                raise ValueError(f"rule {rule.name!r}: the camera has no {kind} {name!r}; {have}")
        if rule.is_paced and ground is None:
            raise ValueError(
                f"rule {rule.name!r} asks for a speed, so the camera needs its ground: four measured points"
            )
