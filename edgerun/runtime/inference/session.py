"""Inference one frame at a time, for what is not live: still images and replays."""

from __future__ import annotations

from edgerun.config import ModelChoice
from edgerun.models import resolve
from edgerun.pipeline import Look
from edgerun.runtime.inference.dispatch import Dispatcher
from edgerun.runtime.inference.engines import candidates, head_chooser, labels_of
from edgerun.runtime.inference.inquiry import Inquiry, soon_loaded
from edgerun.runtime.inference.jobs import Job
from edgerun.worker.terms import Terms


class Session:
    """A model in its child process, asked in turn. Raises EngineError or ModelError when it cannot be loaded."""

    def __init__(self, choice: ModelChoice) -> None:
        model = resolve(choice.name, choice.path, choice.labels)
        engines = candidates(model, choice.engine)
        terms = Terms(deadline_s=choice.deadline_s, start_s=choice.start_s, retry_primary_s=0)  # no change halfway
        self._dispatcher = Dispatcher(engines, terms, workers=1, head_for=head_chooser(model, choice.head))
        self._inquiry = Inquiry(self._dispatcher)
        self._failures = len(engines) + 1
        """Each engine once, and the first one twice: more are not waited for."""
        self._dispatcher.start()
        try:
            self.io = soon_loaded(self._dispatcher, max(map(terms.patience_s, engines)), self._failures)
        except BaseException:
            self.close()
            raise
        self.labels = labels_of(model, self.io)

    def infer(self, look: Look) -> Job:
        """The job done: its parts are in the order of the look's regions. Raises EngineError."""
        return self._inquiry.ask(look, failures=self._failures)

    def close(self) -> None:
        self._dispatcher.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
