"""What commands do to the running daemon."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Iterable, Mapping

from edgerun.errors import EdgerunError
from edgerun.runtime.cameras.camera import Camera
from edgerun.runtime.delivery.delivery import Delivery
from edgerun.types import Event, Stamp


class CameraActions:
    """Acts on one camera, or on all where none is named. ``cameras`` gives those that run now."""

    def __init__(
        self, cameras: Callable[[], Mapping[str, Camera]], delivery: Delivery, reload: Callable[[], None]
    ) -> None:
        self._cameras = cameras
        self._delivery = delivery
        self.reload = reload
        self._episodes = itertools.count(1)

    def cameras(self) -> Collection[str]:
        return self._cameras().keys()

    def pause(self, camera: str) -> None:
        for one in self._chosen(camera):
            one.paused = True

    def resume(self, camera: str) -> None:
        for one in self._chosen(camera):
            one.paused = False

    def snapshot(self, camera: str) -> None:
        """The next frame is published as the camera's snapshot; of a paused camera nobody is to see one."""
        looking = [one for one in self._chosen(camera) if not one.paused]
        if not looking:
            raise EdgerunError(f"{camera or 'every camera'} is paused; resume it first")
        for one in looking:
            one.wants_snapshot = True

    def set(self, camera: str, score: float | None, fps: float | None) -> None:
        """Until the camera is started again: with the daemon, or by a reload that changes its source, rate or score."""
        for one in self._chosen(camera):
            if score is not None:
                one.set_score(score)
            if fps is not None:
                one.set_fps(fps)

    def test_alert(self, camera: str) -> None:
        """An alert that goes the whole way, so that whoever waits for alerts can be tried."""
        for one in self._chosen(camera):
            stamp = Stamp(one.name, one.captured, time.monotonic(), time.time(), 1, 1)
            self._delivery.accept(Event("test", "test_alert", "instant", -next(self._episodes), stamp))

    def _chosen(self, camera: str) -> Iterable[Camera]:
        running = self._cameras()
        if not camera:
            return list(running.values())
        one = running.get(camera)
        if one is None:  # a reload has just taken it away
            raise EdgerunError(f"there is no camera {camera!r}")
        return [one]
