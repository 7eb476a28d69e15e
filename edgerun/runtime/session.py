"""Inference one frame at a time, for what is not live: still images and replays."""

from __future__ import annotations

import time
from queue import SimpleQueue
from types import TracebackType

from edgerun.config import ModelChoice
from edgerun.errors import EngineError
from edgerun.models import resolve
from edgerun.pipeline import Look
from edgerun.runtime.dispatch import Dispatcher, Job, Lane
from edgerun.runtime.engines import candidates, head_chooser, labels_of
from edgerun.types import ModelIO
from edgerun.worker.worker import Terms

_TICK_S = 0.2


class Session:
    """A model in its child process, asked in turn. Raises EngineError or ModelError when it cannot be loaded."""

    def __init__(self, choice: ModelChoice) -> None:
        model = resolve(choice.name, choice.path, choice.labels)
        self._answers: SimpleQueue[Job] = SimpleQueue()
        self._lane = Lane("session", 1.0, self._answers.put, lossless=True)
        engines = candidates(model, choice.engine)
        self._dispatcher = Dispatcher(
            engines,
            Terms(deadline_s=choice.deadline_s, start_s=choice.start_s, retry_primary_s=0),  # no change halfway
            workers=1,
            head_for=head_chooser(model, choice.head),
        )
        self._dispatcher.add(self._lane)
        self._dispatcher.start()
        try:
            self.io = self._wait(model.path.name, choice.start_s, len(engines))
        except BaseException:
            self.close()
            raise
        self.labels = labels_of(model, self.io)

    def _wait(self, name: str, start_s: float, engines: int) -> ModelIO:
        """Until it is loaded, or every engine was tried: whoever waits for this would rather hear of it soon."""
        until = time.monotonic() + start_s
        while (io := self._dispatcher.wait_loaded(_TICK_S)) is None:
            if self._dispatcher.workers[0].restarts > engines and self._dispatcher.error is not None:
                raise self._dispatcher.error
            if time.monotonic() > until:
                raise EngineError(f"{name} was not loaded within {start_s:g} s")
        return io

    def infer(self, look: Look) -> Job:
        """The job done: its parts are in the order of the look's regions. Raises EngineError."""
        self._dispatcher.offer(self._lane, look)
        job = self._answers.get()
        if job.reason:
            raise EngineError(job.reason)
        return job

    def close(self) -> None:
        self._dispatcher.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
