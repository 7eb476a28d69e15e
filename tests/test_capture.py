"""What is said to a camera's capture in the very moment in which it opens its source."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from edgerun.runtime.cameras.capture import Capture
from edgerun.types import Frame
from tests.daemon_process import wait_for


class Dead:
    """A camera that never gives a frame, until it is closed."""

    def __init__(self, fps: float) -> None:
        self.fps = fps
        self._closed = threading.Event()

    def frames(self) -> Iterator[Frame]:
        self._closed.wait()
        yield from ()

    def close(self) -> None:
        self._closed.set()


def capture_told(say: Callable[[Capture], None]) -> tuple[Capture, list[Dead]]:
    """One that is told so while it builds its first source, and what it has built so far."""
    built: list[Dead] = []

    def build(fps: float) -> Dead:
        built.append(Dead(fps))
        if len(built) == 1:
            say(capture)
        return built[-1]

    capture = Capture("porch", build, 5.0, lambda _: None, lambda _: None)
    capture.start()
    return capture, built


def test_the_end_that_comes_while_a_source_is_built_is_heeded() -> None:
    """There is no source to close yet: the thread and its connection stayed as long as the daemon."""
    capture, built = capture_told(Capture.close)
    capture.join(10)
    assert not capture._thread.is_alive()
    assert len(built) == 1


def test_a_rate_that_comes_while_a_source_is_built_is_heeded() -> None:
    """It was told of, and had no effect."""
    capture, built = capture_told(lambda capture: capture.reopen(2.0))
    wait_for(lambda: len(built) == 2, 10, "the next source")
    capture.close()
    assert [source.fps for source in built] == [5.0, 2.0]
