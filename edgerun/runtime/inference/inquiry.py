"""Asking a model about one look at a time, outside of any camera: stills, replays, trials."""

from __future__ import annotations

import time
from queue import Empty, SimpleQueue

from edgerun.errors import EngineError
from edgerun.pipeline import Look
from edgerun.runtime.inference.dispatch import Dispatcher
from edgerun.runtime.inference.jobs import Job, Lane
from edgerun.types import ModelIO

_TICK_S = 0.2


class Inquiry:
    """A lossless lane of its own in a dispatcher, which may serve cameras too."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._answers: SimpleQueue[Job] = SimpleQueue()
        self._lane = Lane("inquiry", 1.0, self._answers.put, lossless=True)
        self._dispatcher = dispatcher
        dispatcher.add(self._lane)

    def ask(self, look: Look, timeout_s: float | None = None) -> Job:
        """The job done: its parts are in the order of the look's regions. Raises EngineError, retriable."""
        self._dispatcher.offer(self._lane, look)
        try:
            job = self._answers.get(timeout=timeout_s)
        except Empty:
            raise EngineError("it did not answer", retriable=True) from None
        if job.reason:
            raise EngineError(job.reason, retriable=True)
        return job

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
