"""All cameras that run: those that the configuration asks for are started, the others closed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from edgerun.config import Config
from edgerun.homeassistant import CameraView
from edgerun.runtime.cameras.assembly import camera_for, shared_topics, terms_for
from edgerun.runtime.cameras.camera import Camera
from edgerun.runtime.cameras.outlet import Outlet
from edgerun.runtime.cameras.pipelines import pipeline_for
from edgerun.runtime.delivery.delivery import Delivery
from edgerun.runtime.inference.detector import Detector
from edgerun.topics import Topics

log = logging.getLogger(__name__)


class Fleet:
    """``running`` are its cameras by name; a camera that hangs is given ``patience_s`` to end, and left behind."""

    def __init__(self, patience_s: float) -> None:
        self.running: dict[str, Camera] = {}
        self.changing = threading.Lock()
        """Held by who makes cameras come and go, from what they are asked to what those after them are told."""
        self._patience_s = patience_s
        self._closed: dict[str, Camera] = {}
        """Those that are about to be started again."""
        self._shared: dict[str, tuple[str, ...]] = {}
        """What was said of each camera's labels last."""

    @contextmanager
    def settled(self) -> Iterator[Mapping[str, Camera]]:
        """Those that run, once none comes or goes; nor will one until this is let go of."""
        with self.changing:
            yield self.running

    def start(
        self, config: Config, detector: Detector, topics: Topics, delivery: Delivery, paused: Collection[str] = ()
    ) -> None:
        """Those that are missing; ``paused`` ones are so from the beginning. Raises ConfigError."""
        for name in config.enabled_cameras:
            if name not in self.running:
                camera = self.running[name] = camera_for(config, name, detector, topics, delivery)
                if name in self._closed:
                    camera.take_over(self._closed.pop(name))
                camera.paused = name in paused
                camera.start()
                self._warn_of_shared_topics(config, name, detector)

    def keep(self, names: Collection[str], again: Collection[str] = ()) -> None:
        """Close all others, side by side. Those that are to be started ``again`` then go on as what they were."""
        closing = [self.running.pop(name) for name in self.running.keys() - names]
        for camera in closing:
            camera.close()
        until = time.monotonic() + self._patience_s
        for camera in closing:
            camera.join(max(0.0, until - time.monotonic()))
            if camera.name in again:
                self._closed[camera.name] = camera
            else:
                camera.end()

    def look_anew(self, names: Iterable[str], config: Config, detector: Detector) -> None:
        """Let these follow what they see by what the configuration tells now."""
        for name in names:
            self.running[name].look_by(pipeline_for(config, name, detector.labels, detector.size))
            self._warn_of_shared_topics(config, name, detector)

    def tune(self, names: Iterable[str], config: Config) -> None:
        """Let these go by the terms that the configuration tells now."""
        for name in names:
            self.running[name].tune(partial(terms_for, config.cameras[name]))

    def tell_through(self, detector: Detector, topics: Topics, delivery: Delivery) -> None:
        """Tell what comes from now on there."""
        for name, camera in self.running.items():
            camera.go_on_through(Outlet(name, detector, topics, delivery))

    def views(self, config: Config) -> dict[str, CameraView]:
        """What subscribers are told of the cameras that there are."""
        wanted = config.cameras
        return {
            name: CameraView(
                camera.counts,
                {rule.when for rule in wanted[name].rules},
                {*wanted[name].zones},
                {*(wanted[name].labels or camera.outlet.labels)},
            )
            for name, camera in self.running.items()
        }

    def _warn_of_shared_topics(self, config: Config, name: str, detector: Detector) -> None:
        shared = shared_topics(config, name, detector)
        if shared != self._shared.get(name, ()):
            for words in shared:
                log.warning("%s", words)
        self._shared[name] = shared
