"""A worker's second child, beside the one that serves: a spare that stands by, or a better one that is being tried."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from edgerun.errors import EdgerunError, EngineError
from edgerun.worker.choice import Choice
from edgerun.worker.launcher import Launcher, Started
from edgerun.worker.terms import Candidate, Terms

log = logging.getLogger(__name__)

_SPARE_LOOK_S = 5.0
"""How often it is seen to that the spare still lives."""
_NO_SPARE_S = 60.0
"""So long none is tried after two that could not be loaded, which costs what serves some speed."""


class Understudy:
    """Of one worker, used by its thread; ``refused`` is told why one that was tried cannot serve."""

    def __init__(
        self,
        number: int,
        candidates: Sequence[Candidate],
        terms: Terms,
        choice: Choice,
        launcher: Launcher,
        refused: Callable[[EdgerunError], None],
    ) -> None:
        self.started: Started | None = None
        self._number = number
        self._candidates = candidates
        self._terms = terms
        self._choice = choice
        self._launcher = launcher
        self._refused = refused
        self._spareless = ""
        """Why the last one that was to stand by could not be loaded."""

    def take(self) -> Started | None:
        """Let it go to serve, unless it has died."""
        if self.started is not None and self.started.process.is_dead:
            self.drop()
        taken, self.started = self.started, None
        return taken

    def drop(self, *, but: int | None = None) -> None:
        """End it, unless it is of the candidate ``but``."""
        if self.started is not None and self.started.index != but:
            self.started.process.close()
            self.started = None

    def try_better(self) -> bool:
        """Try a better candidate than the one in turn; True, and it is in turn, once it is loaded."""
        now = time.monotonic()
        if self.started is None or not self._choice.is_better(self.started.index):
            better = self._choice.better(now)
            if better is None:
                return False
            self.drop()
        else:
            better = self.started.index
        name = self._candidates[better].name
        try:
            self.started = self.started or self._launcher.start(better)
            if self.started.process.loaded(0.0) is None:
                if now - self.started.began < (patience_s := self._terms.patience_s(self._candidates[better])):
                    return False
                raise EngineError(f"loading took longer than {patience_s:g} s", retriable=True)
        except EdgerunError as error:
            log.info("engine %s is not back yet: %s", name, error)
            self._choice.not_back(better, retriable=error.retriable, now=now)
            self._refused(error)
            self.drop()
            return False
        self._choice.current = better
        log.warning("engine %s takes over (worker %d)", name, self._number)
        return True

    def stand_by(self) -> float:
        """Let a child stand by, and another one where it has died; in how many seconds to see to it again."""
        try:
            if self.started is not None:
                died = self.started.process.is_dead
                if self.started.process.loaded(0.0) is not None:
                    self._spareless = ""
                if died:
                    self.drop()
            if self.started is None:
                following = self._choice.later() if self._candidates[self._choice.current].detachable else None
                self.started = self._launcher.start(self._choice.current if following is None else following)
        except EdgerunError as error:
            self.drop()
            self._refused(error)
            if self._spareless == str(error):
                return _NO_SPARE_S
            self._spareless = str(error)
            log.warning("worker %d has no spare: %s", self._number, error)
        return _SPARE_LOOK_S
