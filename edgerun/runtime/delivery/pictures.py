"""Which camera's snapshot is made next: each takes as long as following several frames, so they are kept apart."""

from __future__ import annotations

from collections.abc import Callable

_APART_S = 0.5
"""Between two of one camera."""


class Pictures:
    """Of each camera the newest that is to be made. Used by one thread; times are monotonic seconds."""

    def __init__(self) -> None:
        self._waiting: dict[str, Callable[[], bytes]] = {}
        self._made: dict[str, float] = {}
        """When the last one of a camera was."""

    def add(self, camera: str, make: Callable[[], bytes]) -> None:
        self._waiting[camera] = make

    @property
    def look_again_s(self) -> float | None:
        """After so long one may be due; None while none waits."""
        return _APART_S if self._waiting else None

    def make(self, now: float, *, hurry: bool = False) -> tuple[str, bytes] | None:
        """The camera and the JPEG of one that is due; None when none is. In a ``hurry`` all are."""
        for camera in self._waiting:
            if hurry or now >= self._made.get(camera, 0.0) + _APART_S:
                self._made[camera] = now
                return camera, self._waiting.pop(camera)()
        return None
