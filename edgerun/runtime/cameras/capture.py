"""A camera's frames, whatever its source does: it is opened again when it fails, and left behind when it hangs."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator

from edgerun.errors import SourceError
from edgerun.stages import Source
from edgerun.types import Frame

log = logging.getLogger(__name__)

_BACKOFF_S = (1.0, 30.0)
_HOPEFUL_S = 300.0
"""A camera that was there until lately is back soon, mostly; so long it is tried often."""
_HOPEFUL_BACKOFF_S = 3.0
_MOST_LEFT_BEHIND = 3
"""Threads of a camera that hang at a time; each keeps its memory, so that there must be an end to it."""


class Capture:
    """A thread that gives each frame to ``take`` until it is closed, and to ``lost`` why there are none for now.

    ``build_source(fps)`` makes a fresh source for every attempt.
    """

    def __init__(
        self,
        name: str,
        build_source: Callable[[float], Source],
        fps: float,
        take: Callable[[Frame], None],
        lost: Callable[[str], None],
    ) -> None:
        self.frames = 0
        """How many there were."""
        self.frame_at = time.monotonic()
        """When the last one came; before there is one, since when it is waited for."""
        self.opened = 0
        self.replaced = 0
        """How often the thread hung and was left behind for a new one."""
        self._name = name
        self._build_source = build_source
        self._fps = fps
        self._take = take
        self._lost = lost
        self._closed = threading.Event()
        self._source: Source | None = None
        self._owed_since = 0.0
        """Monotonic second since which the source owes a frame; 0: it does not."""
        self._left_behind: list[threading.Thread] = []
        self._thread = self._new_thread()

    def _new_thread(self) -> threading.Thread:
        return threading.Thread(target=self._run, name=f"camera-{self._name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    def close(self) -> None:
        """End soon; ``join`` waits for it."""
        self._closed.set()
        if self._source is not None:
            self._source.close()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def reopen(self, fps: float) -> None:
        """Open the source again for another number of frames a second."""
        self._fps = fps
        source, self._source = self._source, None
        if source is not None:
            source.close()

    def unstick(self, stuck_s: float) -> bool:
        """Leave a thread behind whose source owes a frame for longer than that, and start a new one. False when too
        many hang already."""
        owed_since = self._owed_since
        if not owed_since or time.monotonic() - owed_since <= stuck_s or self.closed:
            return True
        self._left_behind = [thread for thread in self._left_behind if thread.is_alive()]
        if len(self._left_behind) >= _MOST_LEFT_BEHIND:
            return False
        log.error("camera %s hangs in its source; it is left behind and opened anew", self._name)
        self._left_behind.append(self._thread)
        self.replaced += 1
        source, self._source = self._source, None
        self._owed_since = 0.0
        self._thread = self._new_thread()
        self._thread.start()
        if source is not None:  # may wake the old one, or hang as well
            threading.Thread(target=source.close, name=f"close-{self._name}", daemon=True).start()
        return True

    def _run(self) -> None:
        backoff_s = _BACKOFF_S[0]
        while not self._is_over():
            before, fps = self.frames, self._fps
            source = self._source = self._build_source(fps)
            if self.closed or fps != self._fps:  # was said meanwhile, when there was no source to close yet
                source.close()
                continue
            self.opened += 1
            try:
                error = self._read(source)
                if self._is_over():
                    return
                if source is not self._source:  # it is to be opened again
                    continue
                self._lost(str(error or "the source is over"))
                if error is None:
                    return
            finally:
                source.close()
                if self._is_current():
                    self._owed_since = 0.0
            backoff_s = _BACKOFF_S[0] if self.frames > before else min(backoff_s * 2, _BACKOFF_S[1])
            if not error.retriable:
                backoff_s = _BACKOFF_S[1]
            elif self.frames and time.monotonic() - self.frame_at < _HOPEFUL_S:
                backoff_s = min(backoff_s, _HOPEFUL_BACKOFF_S)
            self._closed.wait(backoff_s * random.uniform(0.75, 1.25))

    def _read(self, source: Source) -> SourceError | None:
        """Take its frames until it is over, or why it failed."""
        try:
            for frame in self._awaited(source.frames()):
                self.frame_at = time.monotonic()
                self.frames += 1
                self._take(frame)
                if self.closed:
                    break
        except SourceError as error:
            return error
        return None

    def _is_over(self) -> bool:
        """True on a thread that was left behind, and on all once closed."""
        return self.closed or not self._is_current()

    def _is_current(self) -> bool:
        return threading.current_thread() is self._thread

    def _awaited(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """The frames, with a note of since when the next is owed; they end when this thread was left behind."""
        while True:
            self._owed_since = time.monotonic()
            frame = next(frames, None)
            if frame is None or not self._is_current():
                return
            self._owed_since = 0.0
            yield frame
