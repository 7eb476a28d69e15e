"""Rules about other rules: all of them, within some seconds."""

from __future__ import annotations

from dataclasses import field

from edgerun.records import dataclass
from edgerun.rules.journal import Journal
from edgerun.types import Event, Stamp, TrackedObject
from edgerun.zones import in_both


@dataclass(slots=True)
class _Combination:
    number: int
    members: tuple[int, ...]
    happened: dict[int, Event] = field(default_factory=dict)
    """The latest momentary alert of each member, until it has served for an alert of this rule."""


class Combinations:
    """True when each member has an open episode, or gave a momentary alert in the last seconds. It is told at an
    alert of a member; a momentary alert serves once only, an open episode as long as it lasts and no longer."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        names = {rule.name: number for number, rule in enumerate(journal.rules) if rule.when != "all"}
        self._combinations = []
        for number, rule in enumerate(journal.rules):
            if rule.when != "all":
                continue
            for name in rule.all:
                if name not in names:
                    raise ValueError(f"rule {rule.name!r}: {name!r} in all is no other rule of this camera")
            self._combinations.append(_Combination(number, tuple(names[name] for name in rule.all)))
        self._open: dict[int, dict[int, Event]] = {}

    def clear(self) -> None:
        """Forget what happened."""
        self._open.clear()
        for combination in self._combinations:
            combination.happened.clear()

    def take_over(self, before: Combinations) -> None:
        """Go on with what happened by the same rules there."""
        same = {there: here for here, there in in_both(self._journal.terms, before._journal.terms)}
        self._open = {same[number]: open_ for number, open_ in before._open.items() if number in same}
        others = {same[other.number]: other.happened for other in before._combinations if other.number in same}
        for combination in self._combinations:
            happened = others.get(combination.number, {}).items()
            combination.happened = {same[number]: event for number, event in happened if number in same}

    def update(self, stamp: Stamp) -> None:
        """Take the alerts of this frame from the journal, and add to them."""
        if not self._journal.pages:
            return
        pages = list(self._journal.pages)
        for number, event in pages:
            open_ = self._open.setdefault(number, {})
            if event.phase == "start":
                open_[event.episode] = event
            elif event.phase == "end":
                open_.pop(event.episode, None)
        new = {number for number, event in pages if event.phase != "end"}
        for combination in self._combinations:
            happened = ((n, event) for n, event in pages if n in combination.members and event.phase == "instant")
            combination.happened.update(happened)
            if new.intersection(combination.members):
                self._tell(combination, stamp)

    def _tell(self, combination: _Combination, stamp: Stamp) -> None:
        number, within_s = combination.number, self._journal.rules[combination.number].seconds
        served = []
        for member in combination.members:
            event = next(reversed(self._open.get(member, {}).values()), combination.happened.get(member))
            lasting = bool(self._open.get(member))
            if event is None or not (lasting or stamp.captured - event.stamp.captured <= within_s + 1e-6):
                return
            served.append(event)
        objects: dict[int, TrackedObject] = {item.track_id: item for event in served for item in event.objects}
        if self._journal.awake(number) and self._journal.open(number, "instant", tuple(objects.values()), len(objects)):
            combination.happened.clear()
