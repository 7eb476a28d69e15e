"""Rules about a moment: enter, exit, cross, speed, removed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgerun.rules.journal import Journal, Scene
from edgerun.types import Mask
from edgerun.zones import Rows

_DIRECTIONS = {1: "left_to_right", -1: "right_to_left"}
_KINDS = ("enter", "exit", "cross", "speed", "removed")


class Moments(Rows):
    """What happened is due until the track passes the rule's filters, so somebody whose score rises only later is told
    of late rather than never. What happens while the rule is asleep or cools down is never told."""

    def __init__(self, scene: Scene, journal: Journal) -> None:
        self._rules = [(number, rule) for number, rule in enumerate(journal.rules) if rule.when in _KINDS]
        about = [journal.terms[number] for number, _ in self._rules]
        super().__init__([("due", "i1", (len(self._rules),))], {"due": about})
        self._scene, self._journal = scene, journal
        zones, lines = scene.zones.names, scene.zones.line_names
        self._column = [lines.index(r.line) if r.when == "cross" else zones.index(r.zone) for _, r in self._rules]
        self._least_rest_s = min((r.seconds for _, r in self._rules if r.when == "removed"), default=np.inf) - 1e-6

    def take_over(self, before: Moments) -> None:
        """Whoever is in its zone may yet be as fast as a rule asks that is new."""
        for index, (_, rule) in enumerate(self._rules):
            if rule.when == "speed":
                self.table["due"][:, index] = self._scene.zones.inside[:, self._column[index]]
        super().take_over(before)

    def update(self) -> None:
        """Take one frame, into the journal."""
        zones, memory = self._scene.zones, self._scene.memory
        moved = memory.ended
        if self._least_rest_s < np.inf:
            moved = (memory.rest.stirred | memory.ended & ~memory.replaced) & (memory.rest.rested >= self._least_rest_s)
        if not (zones.changed or any(map(np.count_nonzero, (zones.crossed, self.table["due"], moved)))):
            return
        for index, (number, rule) in enumerate(self._rules):
            column = self._column[index]
            if rule.when == "exit":
                self._tell(number, zones.left[:, column])
            elif rule.when == "removed":
                self._update_removed(index, number, column, moved)
            else:
                self._update_due(index, number, column)

    def _tell(self, number: int, rows: Mask) -> None:
        """Alert of rows at once, as far as they pass the filters."""
        chosen = np.flatnonzero(rows & self._scene.filters.passed[:, number] & self._paced(number)[0])
        if len(chosen) and self._journal.awake(number):
            for row in chosen.tolist():
                self._journal.about(number, row, "instant")

    def _update_removed(self, index: int, number: int, column: int, moved: Mask) -> None:
        """What is taken out of its zone at once has left it before it is known to have moved: until then it is due."""
        zones, memory, due = self._scene.zones, self._scene.memory, self.table["due"][:, index]
        rested = memory.rest.rested >= self._journal.rules[number].seconds - 1e-6
        out = zones.left[:, column] | (due != 0)
        self._tell(number, moved & (zones.inside[:, column] | out) & rested)
        due[:] = out & rested & ~moved & (memory.rest.table["astray"] < np.inf)

    def _update_due(self, index: int, number: int, column: int) -> None:
        zones, rule, due = self._scene.zones, self._journal.rules[number], self.table["due"][:, index]
        new: npt.NDArray[np.int8]
        if rule.when == "cross":
            new = zones.crossed[:, column]
            if rule.direction != "both":
                new = np.where(new == (1 if rule.direction == "left_to_right" else -1), new, 0).astype(np.int8)
        else:
            new = zones.entered[:, column].view(np.int8)
            due[zones.left[:, column]] = 0
        if np.count_nonzero(new) and (rule.when == "speed" or self._journal.awake(number)):
            np.copyto(due, new, where=new != 0)
        if not np.count_nonzero(due):
            return
        fits, known = self._paced(number)
        if rule.when != "speed":  # it was too fast or too slow at that moment, and what it does later is no matter
            due[known & ~fits] = 0
        for row in np.flatnonzero((due != 0) & self._scene.filters.passed[:, number] & fits).tolist():
            if rule.when != "speed" or self._journal.awake(number):
                self._journal.about(number, row, "instant", _DIRECTIONS[int(due[row])] if rule.line else "")
                due[row] = 0

    def _paced(self, number: int) -> tuple[Mask, Mask]:
        """Which rows have the speed the rule asks for, and of which it is known."""
        rule, pace = self._journal.rules[number], self._scene.pace
        if pace is None or not rule.is_paced:
            every = np.ones(len(self.table), np.bool_)
            return every, every
        fits = (pace.kmh >= rule.min_speed_kmh) & (pace.kmh <= rule.max_speed_kmh)
        return fits, ~np.isnan(pace.kmh)
