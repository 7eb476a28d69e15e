"""Rules about how many are in a zone: count and absent (none at all). They start and end once for all."""

from __future__ import annotations

import math

import numpy as np

from edgerun.rules.journal import Journal, Scene
from edgerun.types import Mask, TrackedObject
from edgerun.zones import in_both


class Counts:
    """The number must hold for the rule's seconds while it is awake; the episode ends as soon as it does not hold."""

    def __init__(self, scene: Scene, journal: Journal) -> None:
        chosen = [(number, rule) for number, rule in enumerate(journal.rules) if rule.when in ("count", "absent")]
        self._scene, self._journal = scene, journal
        self._numbers = [number for number, _ in chosen]
        self._terms = [journal.terms[number] for number in self._numbers]
        self._zone = [scene.zones.names.index(rule.zone) for _, rule in chosen]
        self._least = [rule.at_least or 0 for _, rule in chosen]
        self._most = [
            0 if rule.when == "absent" else math.inf if rule.at_most is None else rule.at_most for _, rule in chosen
        ]
        self._seconds = [rule.seconds - 1e-6 for _, rule in chosen]
        self.clear()

    def clear(self) -> None:
        """Forget what is open."""
        self._count = [0] * len(self._numbers)
        self._since: list[float | None] = [None] * len(self._numbers)
        self._episode = [0] * len(self._numbers)

    def take_over(self, before: Counts) -> None:
        """Go on with what holds by the same rules there, and what is open moves to here."""
        for here, there in in_both(self._terms, before._terms):
            self._since[here] = before._since[there]
            self._episode[here], before._episode[there] = before._episode[there], 0

    def update(self) -> None:
        """Take one frame, into the journal."""
        if not self._numbers:
            return
        now = self._scene.memory.now
        if self._scene.zones.changed or self._scene.filters.changed:
            self._count = np.count_nonzero(self._inside(), axis=0).tolist()
        for index, count in enumerate(self._count):
            number = self._numbers[index]
            if not self._least[index] <= count <= self._most[index] or not self._journal.awake(number):
                self._since[index] = None
                if self._episode[index]:
                    self._close(index)
                continue
            since = self._since[index]
            if since is None:
                since = self._since[index] = now
            if not self._episode[index] and now - since >= self._seconds[index] and self._journal.cool(number):
                self._episode[index] = self._journal.open(number, "start", self._objects(index), count)

    def finish(self) -> None:
        """End what is open."""
        for index, episode in enumerate(self._episode):
            if episode:
                self._close(index)

    def _inside(self) -> Mask:
        """Who counts for each of the rules, bool (N,K)."""
        inside: Mask = self._scene.zones.inside[:, self._zone] & self._scene.filters.passed[:, self._numbers]
        return inside

    def _objects(self, index: int) -> tuple[TrackedObject, ...]:
        return self._journal.describe(np.flatnonzero(self._inside()[:, index]).tolist())

    def _close(self, index: int) -> None:
        self._journal.close(self._numbers[index], self._episode[index], self._objects(index), self._count[index])
        self._episode[index] = 0
