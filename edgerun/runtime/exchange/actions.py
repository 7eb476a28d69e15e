"""What commands do to the running daemon."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TypeAlias

from edgerun.errors import EdgerunError
from edgerun.runtime.cameras.camera import Camera
from edgerun.runtime.delivery.delivery import Delivery
from edgerun.types import Event, Stamp

Settled: TypeAlias = Callable[[], AbstractContextManager[Mapping[str, Camera]]]
"""Gives those that run, of which none comes or goes while it is held."""


class CameraActions:
    """Acts on one camera, or on all where none is named, as soon as ``settled`` gives them."""

    def __init__(self, settled: Settled, delivery: Delivery, reload: Callable[[], None]) -> None:
        self._settled = settled
        self._delivery = delivery
        self.reload = reload
        self._episodes = itertools.count(1)

    def cameras(self) -> Collection[str]:
        with self._settled() as running:
            return set(running)

    def pause(self, camera: str, paused: bool) -> None:
        with self._chosen(camera) as chosen:
            for one in chosen:
                one.paused = paused

    def snapshot(self, camera: str) -> None:
        """The next frame is published as the camera's snapshot; of a paused camera nobody is to see one."""
        with self._chosen(camera) as chosen:
            looking = [one for one in chosen if not one.paused]
            if not looking:
                raise EdgerunError(f"{camera or 'every camera'} is paused; resume it first")
            for one in looking:
                one.wants_snapshot = True

    def set(self, camera: str, score: float | None, fps: float | None) -> None:
        """Until the camera is started again: with the daemon, or by a reload that brings another source, rate
        or model; a score also until a reload changes that."""
        with self._chosen(camera) as chosen:
            for one in chosen:
                if score is not None:
                    one.set_score(score)
                if fps is not None:
                    one.set_fps(fps)

    def test_alert(self, camera: str) -> None:
        """An alert that goes the whole way, so that whoever waits for alerts can be tried."""
        with self._chosen(camera) as chosen:
            for one in chosen:
                stamp = Stamp(one.name, one.captured, time.monotonic(), time.time(), 1, 1)
                self._delivery.accept(Event("test", "test_alert", "instant", -next(self._episodes), stamp))

    @contextmanager
    def _chosen(self, camera: str) -> Iterator[list[Camera]]:
        with self._settled() as running:
            if camera and camera not in running:  # a reload has just taken it away
                raise EdgerunError(f"there is no camera {camera!r}")
            if not running:  # else it would be said that this was done, and those to come would not do it
                raise EdgerunError("no camera runs now")
            yield [running[camera]] if camera else list(running.values())
