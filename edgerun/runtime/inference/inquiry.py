"""Asking a model about one look at a time, outside of any camera: stills, replays, trials."""

from __future__ import annotations

import math
import time
from queue import Empty, SimpleQueue

from edgerun.errors import EngineError
from edgerun.pipeline import Look
from edgerun.runtime.inference.dispatch import Dispatcher
from edgerun.runtime.inference.jobs import Job, Lane
from edgerun.types import ModelIO

_TICK_S = 0.2
_BACK_S = 10.0
"""An accelerator that resets itself is there again within this."""


class Inquiry:
    """A lossless lane of its own in a dispatcher, which may serve cameras too."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._answers: SimpleQueue[Job] = SimpleQueue()
        self._lane = Lane("inquiry", 1.0, self._answers.put, lossless=True)
        self._dispatcher = dispatcher
        dispatcher.add(self._lane)

    def ask(self, look: Look, timeout_s: float = math.inf, failures: int = 0) -> Job:
        """The job done: its parts are in the order of the look's regions. Raises EngineError, retriable; also once the
        engine has failed ``failures`` times meanwhile and is not back (0: that is waited for)."""
        worker, began = self._dispatcher.workers[0], time.monotonic()
        restarts = worker.restarts
        self._dispatcher.offer(self._lane, look)
        while (job := self._answered()) is None:
            waited_s, failed = time.monotonic() - began, worker.restarts - restarts
            if waited_s > timeout_s:
                raise EngineError("it did not answer", retriable=True)
            if failures and failed >= failures and waited_s > _BACK_S and all(self._dispatcher.reasons):
                raise EngineError(self._dispatcher.reasons[0], retriable=True)
        if job.reason:
            raise EngineError(job.reason, retriable=True)
        return job

    def _answered(self) -> Job | None:
        """The next job that is done, or None when there is none for now."""
        try:
            return self._answers.get(timeout=_TICK_S)
        except Empty:
            return None

    def close(self) -> None:
        self._dispatcher.remove(self._lane)


def soon_loaded(dispatcher: Dispatcher, start_s: float, failures: int) -> ModelIO:
    """What the model takes and gives, once it is loaded. A daemon goes on trying; whoever waits for this would rather
    hear of it after so many failures. Raises EngineError or ModelError."""
    until = time.monotonic() + start_s
    while (io := dispatcher.wait_loaded(_TICK_S)) is None:
        if dispatcher.error is not None and dispatcher.workers[0].restarts >= failures:
            raise dispatcher.error
        if time.monotonic() > until:
            raise EngineError(f"loading took longer than {start_s:g} s", retriable=True)
    return io
