"""What the daemon does for its own health, a step in each tick: memory, heat, and which configuration proved good."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from edgerun.config import Config, load_isolated
from edgerun.config.upkeep import SupervisionOptions
from edgerun.errors import EdgerunError
from edgerun.runtime.cameras.camera import Camera
from edgerun.runtime.health.fallback import StartRecord
from edgerun.runtime.health.memory import give_back, guard_engines, overgrown
from edgerun.runtime.health.vitals import Vitals, VitalsWatch
from edgerun.worker.worker import Worker

log = logging.getLogger(__name__)

_MEMORY_EVERY_S = 2.0
_GIVE_BACK_EVERY_S = 60.0


class Upkeep:
    """Used by the supervisor's thread."""

    def __init__(self, folder: Path, options: SupervisionOptions) -> None:
        self.fallback = ""
        """Why the last good configuration is served instead of the file's; empty: it is not."""
        self.overgrown = ""
        """Why the daemon has to end: its memory. Empty: it has not."""
        self._options = options
        self._record = StartRecord(folder, options)
        self._vitals = VitalsWatch()
        self._steady = False
        self._sound_since = 0.0
        self._memory_at = 0.0
        self._give_back_at = time.monotonic() + _GIVE_BACK_EVERY_S

    @property
    def vitals(self) -> Vitals:
        return self._vitals.latest

    @property
    def previous_end(self) -> str:
        """Why the run before this one ended itself; empty: it did not, or was told to."""
        return self._record.previous_end

    @property
    def text(self) -> bytes:
        """Of the configuration that is served."""
        return self._record.text

    def begin(self, path: Path, config: Config) -> Config:
        """Note the start; the configuration to serve, which is the last good one after too many crashes."""
        self._vitals.start()
        why = self._record.begin(_text_of(path))
        if not why:
            return config
        try:
            good = load_isolated(self._record.last_good, beside=path.absolute().parent)
        except EdgerunError as error:
            log.error("%s; but it cannot be used any more: %s", why, error)
            return config
        self.fallback = why
        self._record.serves_last_good()
        log.error("%s", why)
        return good

    def adopt(self, text: bytes, options: SupervisionOptions) -> None:
        """A reload took over another file."""
        self.fallback = ""
        self._options = options
        self._steady, self._sound_since = False, 0.0
        self._record.adopt(text)

    def tick(self, cameras: Collection[Camera], workers: Sequence[Worker], *, sound: bool) -> None:
        """``sound``: it serves, and nothing internal is wrong."""
        now = time.monotonic()
        for camera in cameras:
            camera.halve_fps(self.vitals.corals_hot)
        if now >= self._memory_at:
            self._memory_at = now + _MEMORY_EVERY_S
            guard_engines(self._options, workers)
            self.overgrown = overgrown(self._options)
        if now >= self._give_back_at:
            self._give_back_at = now + _GIVE_BACK_EVERY_S
            give_back()
        self._sound_since = self._sound_since or now if sound else 0.0
        if not self._steady and self._sound_since and now - self._sound_since > self._options.steady_s:
            self._steady = True
            self._record.steady()
            log.info("steady: this configuration counts as good")

    def end(self) -> None:
        """The daemon ends in good order."""
        self._vitals.close()
        self._record.end(self.overgrown)


def _text_of(path: Path) -> bytes:
    """Nothing where it cannot be read any more, as an editor may take it away for a moment: what was read is served."""
    try:
        return path.read_bytes()
    except OSError as error:
        log.warning("%s is gone (%s): what was read of it is served, and will not count as good", path, error.strerror)
        return b""
