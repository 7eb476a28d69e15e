"""The parent's side of one engine process: ask it, read it, end it."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
from collections import deque

from edgerun.errors import EdgerunError, EngineError
from edgerun.records import dataclass
from edgerun.types import ModelIO
from edgerun.worker import SAID
from edgerun.worker.nurse import Child
from edgerun.worker.wire import REPLY, SLOT, read_exactly, receive

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one slot: how long the engine took, and why it failed (empty: it did not). ``again``: it was not
    the request's fault, and another engine is there to ask."""

    slot: int
    inference_s: float
    reason: str
    again: bool = False


class EngineProcess:
    """One child with one engine. Not thread-safe but for ``request`` and ``kill``."""

    def __init__(self, child: Child) -> None:
        self.pid = 0
        """Known once it is loaded."""
        self._io: ModelIO | None = None
        self._complaints: deque[str] = deque(maxlen=20)
        self._child = child
        self._requests, self._replies, self._errors = child.requests, child.replies, child.errors
        os.set_blocking(self._errors, False)
        self._poll = select.poll()
        self._poll.register(self._replies, select.POLLIN)
        self._poll.register(self._errors, select.POLLIN)

    def loaded(self, timeout_s: float) -> ModelIO | None:
        """What the model takes and gives, once it is loaded and has run once; None when that needs longer yet.

        Raises the child's own EngineError or ModelError, or EngineError when it died.
        """
        if self._io is None and self._readable(timeout_s):
            try:
                answer = receive(self._replies)
            except EOFError:
                raise self._death() from None
            if isinstance(answer, EdgerunError):
                raise answer
            assert isinstance(answer, ModelIO)
            self._io, self.pid = answer, self._child.pid
            self._complaints.clear()  # what was said while loading is no reason for a later death
        return self._io

    @property
    def is_dead(self) -> bool:
        """Whether it has ended already, as far as is known."""
        return self._child.status(0.0) is not None

    def request(self, slot: int) -> None:
        """Ask for the inference of a filled slot. A dead child is told by ``reply``."""
        with contextlib.suppress(OSError):
            os.write(self._requests, SLOT.pack(slot))

    def reply(self, timeout_s: float) -> Reply | None:
        """The next answer, or None when there is none yet. Raises EngineError when the child died."""
        if not self._readable(timeout_s):
            return None
        try:
            slot, length, nanoseconds = REPLY.unpack(read_exactly(self._replies, REPLY.size))
            reason = read_exactly(self._replies, length).decode(errors="replace") if length else ""
        except EOFError:
            raise self._death() from None
        return Reply(slot, nanoseconds / 1e9, reason)

    def kill(self) -> None:
        """End it now, whatever it does."""
        self._child.kill()

    def close(self) -> None:
        """Kill and reap it, and give its descriptors back."""
        self._child.end()

    def _readable(self, timeout_s: float) -> bool:
        """True when an answer (or the end) is there; collects what the child complains of on the way."""
        ready = [fd for fd, _ in self._poll.poll(max(0.0, timeout_s) * 1000)]
        if self._errors in ready:
            self._listen()
        return self._replies in ready

    def _listen(self) -> None:
        text = os.read(self._errors, 1 << 16)
        if not text:
            self._poll.unregister(self._errors)
        for line in text.decode(errors="replace").splitlines():
            if line.startswith(SAID):
                log.warning("%s", line.removeprefix(SAID))
            elif line.strip():
                self._complaints.append(line)

    def _death(self) -> EngineError:
        """In words, what the child died of."""
        code = self._child.status(1.0)
        with contextlib.suppress(BlockingIOError, KeyError):
            self._listen()
        how = "closed its pipe" if code is None else f"ended with status {code}"
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                how = f"was killed by {signal.Signals(-code).name}"
        last = next((line for line in reversed(self._complaints) if not line.startswith("INFO")), "")
        foreign = code == -signal.SIGILL
        if foreign:
            how += ", as this processor lacks an instruction that the engine was built with"
        return EngineError(f"the engine's process {how}{': ' + last[:300] if last else ''}", retriable=not foreign)
