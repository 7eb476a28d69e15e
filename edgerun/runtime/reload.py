"""Preparing a new configuration beside the running one, so that nothing stops while it proves itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from edgerun.config import Config, load_isolated
from edgerun.errors import ConfigError, EdgerunError, ModelError
from edgerun.models import ModelFile, resolve
from edgerun.runtime.cameras.camera import Camera
from edgerun.runtime.cameras.pipelines import pipeline_for
from edgerun.runtime.inference.detector import Detector, asked_fps
from edgerun.runtime.rollout import Proof, prove


class Reload:
    """Reads a configuration with ``read`` (it and its text) and, where the model changed, loads the new one and lets it
    prove itself on frames of ``cameras`` (None: it need not); ``done`` once ``config`` or ``error`` tells. ``anew``: it
    is loaded in any case."""

    def __init__(
        self,
        read: Callable[[], tuple[Config, bytes]],
        running: Config,
        detector: Detector,
        cameras: Mapping[str, Camera] | None,
        *,
        anew: bool = False,
    ) -> None:
        self.config = running
        self._anew = anew
        self.detector: Detector | None = None
        """The new model being served; None: the running one stays."""
        self.error: EdgerunError | None = None
        self.text = b""
        """The file's own."""
        self.watched = cameras is not None
        """A model that comes in by it may go back; one that others went back to may not."""
        self.proof: Proof | None = None
        self.refused = ""
        """The name of the model that was not taken; empty where it was not about one."""
        self._thread = threading.Thread(
            target=self._prepare, args=(read, detector, cameras), name="reload", daemon=True
        )
        self._thread.start()

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def _prepare(
        self,
        read: Callable[[], tuple[Config, bytes]],
        running: Detector,
        cameras: Mapping[str, Camera] | None,
    ) -> None:
        try:
            config, self.text = read()
            if (
                self._anew
                or replace(config.model, rollout=running.choice.rollout, score=running.choice.score) != running.choice
                or is_another(running)
            ):
                self._load(config, running, cameras)
            serving = self.detector or running
            for name in config.cameras:
                pipeline_for(config, name, serving.labels, serving.size)
            self.config = config
        except EdgerunError as error:
            self._refuse(error)
        except OSError as error:  # no descriptor, process or memory
            self._refuse(EdgerunError(f"it cannot be tried now: {error.strerror}"))

    def _refuse(self, error: EdgerunError) -> None:
        self.error = error
        if self.detector is not None:
            self.refused = self.detector.model.name
            self.detector.close()
            self.detector = None

    def _load(self, config: Config, running: Detector, cameras: Mapping[str, Camera] | None) -> None:
        self.detector = Detector(config.model, asked_fps(config))
        self.detector.wait(self.detector.start_s)
        if cameras is None or config.model.rollout == "force" or all(running.dispatcher.reasons):
            return  # the last: no engine is left to compare with
        self.proof = prove(self.detector, running, cameras, asked_fps(config))
        if self.proof.refusal:
            name = self.detector.model.name
            raise ModelError(f"{name} is not taken: {self.proof.refusal}; `rollout: force` takes it all the same")


def is_another(running: Detector) -> bool:
    """Whether the files of the model that runs have other contents now. One that is gone runs on."""
    choice = running.choice
    try:
        return resolve(choice.name, choice.path, choice.labels) != running.model
    except ModelError:
        return False


def from_before(config: Config, text: bytes, model: ModelFile) -> tuple[Config, bytes]:
    """What was served before, and its text, where its model is still there. Raises ModelError."""
    choice = config.model
    if resolve(choice.name, choice.path, choice.labels) != model:
        raise ModelError(f"{model.path} is not the model any more that it was before")
    return config, text


def from_file(path: Path) -> tuple[Config, bytes]:
    """A configuration file's content, checked, and its text. Raises ConfigError."""
    config = load_isolated(path)
    try:
        return config, path.read_bytes()
    except OSError as error:  # an editor may take it away for a moment
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
