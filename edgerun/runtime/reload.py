"""Preparing a new configuration beside the running one, so that nothing stops while it proves itself."""

from __future__ import annotations

import threading
from pathlib import Path

from edgerun.config import Config, load_isolated
from edgerun.errors import EdgerunError
from edgerun.runtime.assembly import pipeline_for
from edgerun.runtime.detector import Detector, asked_fps


class Reload:
    """Reads the file and, where the model changed, loads the new one; ``done`` once ``config`` or ``error`` tells."""

    def __init__(self, path: Path, running: Config, detector: Detector) -> None:
        self.config = running
        self.detector: Detector | None = None
        """The new model being served; None: the running one stays."""
        self.error: EdgerunError | None = None
        self.text = b""
        """The file's own."""
        self._thread = threading.Thread(target=self._prepare, args=(path, detector), name="reload", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def _prepare(self, path: Path, running: Detector) -> None:
        try:
            config = load_isolated(path)
            self.text = path.read_bytes()
            if config.model != running.choice:
                self.detector = Detector(config.model, asked_fps(config))
                self.detector.wait(config.model.start_s)
            serving = self.detector or running
            for name in config.cameras:
                pipeline_for(config, name, serving.labels, serving.size)
            self.config = config
        except EdgerunError as error:
            self.error = error
            if self.detector is not None:
                self.detector.close()
                self.detector = None
