"""The parent's side of one engine process: start it, ask it, read it, end it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
from collections import deque
from dataclasses import dataclass

from edgerun.errors import EdgerunError, EngineError
from edgerun.types import ModelIO
from edgerun.worker.spawn import Child, spawn
from edgerun.worker.wire import REPLY, SLOT, Load, Loaded, read_exactly, receive, send


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

    def __init__(self, load: Load, memory: int, child: Child | None = None) -> None:
        """``child`` was started before and told what to load."""
        self._io: ModelIO | None = None
        self._complaints: deque[str] = deque(maxlen=20)
        self._child = child or spawn(memory)
        self._requests, self._replies = self._child.requests, self._child.replies
        assert self._child.process.stderr is not None
        self._stderr = self._child.process.stderr
        os.set_blocking(self._stderr.fileno(), False)
        self._poll = select.poll()
        self._poll.register(self._replies, select.POLLIN)
        self._poll.register(self._stderr, select.POLLIN)
        if child is None:
            with contextlib.suppress(BrokenPipeError):  # told with its reason by ``loaded``
                send(self._requests, load)

    @property
    def pid(self) -> int:
        return self._child.process.pid

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
            assert isinstance(answer, Loaded)
            self._io = answer.io
            self._complaints.clear()  # what was said while loading is no reason for a later death
        return self._io

    def request(self, slot: int) -> None:
        """Ask for the inference of a filled slot. A dead child is told by ``reply``."""
        with contextlib.suppress(BrokenPipeError, OSError):
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
        with contextlib.suppress(ProcessLookupError):
            self._child.process.kill()

    def close(self) -> None:
        """Kill and reap it, and give its descriptors back."""
        self._child.end()

    def _readable(self, timeout_s: float) -> bool:
        """True when an answer (or the end) is there; collects what the child complains of on the way."""
        ready = [fd for fd, _ in self._poll.poll(max(0.0, timeout_s) * 1000)]
        if self._stderr.fileno() in ready:
            self._listen()
        return self._replies in ready

    def _listen(self) -> None:
        text = self._stderr.read()
        if text:
            self._complaints.extend(line for line in text.decode(errors="replace").splitlines() if line.strip())
        elif text == b"":
            self._poll.unregister(self._stderr)

    def _death(self) -> EngineError:
        """In words, what the child died of."""
        try:
            code = self._child.process.wait(1.0)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self._child.process.wait()
        with contextlib.suppress(ValueError, KeyError):
            self._listen()
        how = f"ended with status {code}"
        if code < 0:
            with contextlib.suppress(ValueError):
                how = f"was killed by {signal.Signals(-code).name}"
        last = next((line for line in reversed(self._complaints) if not line.startswith("INFO")), "")
        return EngineError(f"the engine's process {how}{': ' + last[:300] if last else ''}", retriable=True)
