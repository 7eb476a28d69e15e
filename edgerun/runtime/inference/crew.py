"""How many workers a model gets: as few as keep up, since each costs its memory, and one more where they do not."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from edgerun.corals import corals
from edgerun.kernel import idle_s
from edgerun.notes import Notes
from edgerun.worker.terms import Candidate

log = logging.getLogger(__name__)

_NOTES = Notes("workers.json")
_FPS_OF_ONE_WORKER = 30.0
"""Where nothing is known yet. One camera's decoding and one worker are two cores' work on small devices."""
_MOST = 4
PATIENCE_S = 20.0
"""So long too few keep up before one more comes: longer than it takes to load a model, or to see a train pass."""
LEAST_IDLE = 0.5
"""Cores that were idle meanwhile, on average: else one more would take from the others what it gives."""


class Crew:
    """Of one model, on one engine. ``wanted``: a number that was asked for; 0: as many as it takes.

    ``asked_fps`` is what the cameras ask for, 0: as much as can be had. ``model`` tells models apart.
    """

    def __init__(
        self, wanted: int, engine: Candidate, asked_fps: float, model: str, idle: Callable[[], float | None] = idle_s
    ) -> None:
        cores = len(os.sched_getaffinity(0))
        self._most = max(1, min(_MOST, cores))
        self._key, self._idle = f"{model} {engine.name} {asked_fps:g} fps {cores} cores", idle
        self._short: tuple[float, float] | None = None
        """Since when they do not keep up, and how long the cores had been idle until then."""
        if wanted or engine.detachable:  # one process alone can have an accelerator; but there may be several Coral
            self.count = wanted or (max(1, sum(1 for _ in corals())) if engine.name == "edgetpu" else 1)
            self._most = self.count
        elif 0 < asked_fps <= _FPS_OF_ONE_WORKER:
            known = _NOTES.get(self._key)
            self.count = max(1, min(known if isinstance(known, int) else 1, self._most))
        else:
            self.count = self._most

    def is_short(self, overloaded: bool, now: float) -> bool:
        """Whether one more worker is due, as frames were passed over for long while there were idle cores."""
        idle = self._idle() if overloaded and self.count < self._most else None
        if idle is None:
            self._short = None
            return False
        since, before = self._short = self._short or (now, idle)
        if now - since < PATIENCE_S:
            return False
        self._short = None
        return (idle - before) / (now - since) >= LEAST_IDLE

    def grew(self, count: int) -> None:
        """So many serve now: later starts begin with them."""
        log.info("the engine did not keep up, and cores were idle: %d workers serve now", count)
        self.count = count
        _NOTES.put(self._key, count)
