"""The model, its workers and what they are called: the part of the daemon that looks."""

from __future__ import annotations

import time
from pathlib import Path

from edgerun.config import Config, ModelChoice
from edgerun.errors import EngineError
from edgerun.filestate import FileState, states_of
from edgerun.models import resolve
from edgerun.runtime.inference.crew import Crew
from edgerun.runtime.inference.dispatch import Dispatcher
from edgerun.runtime.inference.engines import candidates, head_chooser, labels_of
from edgerun.runtime.inference.preference import Preference
from edgerun.types import ModelIO
from edgerun.worker.nurse import Child
from edgerun.worker.terms import Terms


class Detector:
    """One model being served. Starting returns at once; ``wait`` tells when it serves."""

    def __init__(self, choice: ModelChoice, asked_fps: float, early: Child | None = None) -> None:
        self.choice = choice
        self._io: ModelIO | None = None
        self.model = resolve(choice.name, choice.path, choice.labels)
        self._looked_at = self._told = self.model.files
        engines = candidates(self.model, choice.engine, fallback=choice.fallback)
        self.preference = Preference(self.model, engines, automatic=choice.engine is None)
        engines = [engines[number] for number in self.preference.order]
        head_for = head_chooser(self.model, choice.head)
        most = min(asked_fps, choice.per_second or asked_fps)
        self._crew = Crew(choice.workers, engines[0], most, self.model.sha256)
        terms = Terms(deadline_s=choice.deadline_s, start_s=choice.start_s, spare=choice.spare)
        self.start_s = max(map(terms.patience_s, engines))
        """How long to wait until it serves."""
        self.dispatcher = Dispatcher(engines, terms, self._crew.count, head_for, early, choice.per_second)
        self.dispatcher.start()
        self.preference.find_out(lambda: self._io is not None, head_for, self.dispatcher.prefer)

    def wait(self, timeout_s: float) -> ModelIO:
        """Raises EngineError or ModelError when it cannot be loaded or takes too long."""
        io = self.dispatcher.wait_loaded(timeout_s)
        if io is None:
            why = next((reason for reason in self.dispatcher.reasons if reason), "")
            raise EngineError(f"{self.model.name} is not served after {self.start_s:g} s: {why}", retriable=True)
        self._io = io
        return io

    @property
    def io(self) -> ModelIO:
        """What was loaded first, also while its process is down. Raises as ``wait`` does."""
        return self._io or self.wait(self.start_s)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height that the model looks at. Raises as ``wait`` does."""
        return self.io.size

    @property
    def labels(self) -> tuple[str, ...]:
        """The class names by id. Raises as ``wait`` does."""
        return labels_of(self.model, self.io)

    @property
    def engine(self) -> str:
        """The engine that serves, or is being tried."""
        return self.dispatcher.workers[0].candidate.name

    def keep_up(self, overloaded: bool) -> None:
        """One step of seeing to it that there are enough workers. ``overloaded``: a camera is not served as asked."""
        serving = len(self.dispatcher.workers)
        if serving > self._crew.count:
            self._crew.grew(serving)
        wanting = overloaded and not self.dispatcher.limited and not any(self.dispatcher.reasons)
        if self._crew.is_short(wanting, time.monotonic()):
            self.dispatcher.grow()

    def is_outdated(self) -> bool:
        """Whether an engine was not started since the model was replaced by what lies still now. Told once of each."""
        if not self.dispatcher.outdated:
            return False
        before, self._looked_at = self._looked_at, _now(self.model.files)
        if self._looked_at == self.model.files:  # put back
            self.dispatcher.outdated = False
        if self._looked_at != before or self._looked_at in (self._told, self.model.files):
            return False
        self._told = self._looked_at
        return bool(self._told)

    def close(self) -> None:
        self.preference.close()
        self.dispatcher.close()


def _now(files: tuple[FileState, ...]) -> tuple[FileState, ...]:
    """Their states as they are now; none while one is not there."""
    try:
        return states_of(Path(state[0]) for state in files)
    except OSError:
        return ()


def asked_fps(config: Config) -> float:
    """Inferences a second that the cameras ask for at least; 0 when one goes as fast as it can."""
    cameras = config.enabled_cameras.values()
    if any(camera.lossless for camera in cameras):
        return 0.0
    return sum(camera.fps for camera in cameras)
