"""Rules about somebody who stays: dwell and stationary. They start and end with each track."""

from __future__ import annotations

import numpy as np

from edgerun.masks import some
from edgerun.rules.journal import Journal, Scene
from edgerun.zones import Rows


class Stays(Rows):
    """One episode for each row and rule. It starts only in a frame in which the track was seen, and ends when the track
    leaves the zone, moves (stationary) or is over, or when the rule falls asleep."""

    def __init__(self, scene: Scene, journal: Journal) -> None:
        chosen = [(number, rule) for number, rule in enumerate(journal.rules) if rule.when in ("dwell", "stationary")]
        about = [journal.terms[number] for number, _ in chosen]
        super().__init__([("episode", "i8", (len(chosen),))], {"episode": about})
        self._scene, self._journal = scene, journal
        self._numbers = [number for number, _ in chosen]
        self._zone = [scene.zones.names.index(rule.zone) for _, rule in chosen]
        self._seconds = np.array([rule.seconds for _, rule in chosen]) - 1e-6
        self._still = np.array([rule.when == "stationary" for _, rule in chosen], np.bool_)
        self._any_still = some(self._still)
        self._open = True  # whether any row has an episode; True where in doubt
        self._scheduled = [(i, number) for i, (number, rule) in enumerate(chosen) if rule.schedule]

    def update(self) -> None:
        """Take one frame, into the journal."""
        if not self._numbers:
            return
        memory, zones, episode = self._scene.memory, self._scene.zones, self.table["episode"]
        time = zones.stays(memory.table["life"]).take(self._zone, axis=1)
        if self._any_still:
            time = np.minimum(time, np.where(self._still, memory.still[:, None], np.inf))
        holds = time >= self._seconds
        if not (self._open or some(holds)):
            return
        active = episode > 0
        ends = active & ~holds
        for index, number in self._scheduled:
            if not self._journal.awake(number):
                holds[:, index] = False
                ends[:, index] = active[:, index]
        if some(ends):
            for row, index in np.argwhere(ends).tolist():
                self._close(row, index)
        starts = holds & ~active & memory.seen[:, None] & self._scene.filters.passed[:, self._numbers]
        if some(starts):
            for row, index in np.argwhere(starts).tolist():
                episode[row, index] = self._journal.about(self._numbers[index], row, "start")
        self._open = bool(np.count_nonzero(episode))

    def finish(self) -> None:
        """End what is open."""
        for row, index in np.argwhere(self.table["episode"] > 0).tolist():
            self._close(row, index)

    def _close(self, row: int, index: int) -> None:
        self._journal.close(
            self._numbers[index], int(self.table["episode"][row, index]), self._journal.describe([row]), 1
        )
        self.table["episode"][row, index] = 0
