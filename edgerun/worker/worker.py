"""One worker: an engine's process kept alive, with its slots, its deadline and its back-off."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from edgerun.errors import EdgerunError, EngineError
from edgerun.types import ModelIO
from edgerun.worker.process import EngineProcess, Reply
from edgerun.worker.wire import Load, Slot, Slots

log = logging.getLogger(__name__)

IN_FLIGHT = 2
"""Requests a child holds at once: one that runs and one that waits, so that it never idles between two."""
SLOTS = IN_FLIGHT + 1
"""One more for the outputs that are being decoded."""
_TICK_S = 0.5
_BACKOFF_MAX_S = 30.0
_MOST_REFUSALS = 3
"""An engine that fails so many inferences in a row is as good as dead: a server that is gone, a stuck device."""
_SETTLED_S = 10.0
"""A child that lived this long is started again at once."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An engine that may serve, in words and as what a child needs."""

    name: str
    load: Load


@dataclass(frozen=True, slots=True)
class Terms:
    """How long an inference and a start may take, and whether a loaded second child stands by."""

    deadline_s: float = 5.0
    start_s: float = 60.0
    retry_primary_s: float = 60.0
    spare: bool = False


class Listener(Protocol):
    """Told by the worker's own thread."""

    def loaded(self, worker: Worker) -> None:
        """It serves (again); ``worker.io`` may have changed. Slots in flight before were answered or kept."""

    def replied(self, worker: Worker, reply: Reply) -> None:
        """A slot's outputs are there, or a reason why not."""

    def lost(self, worker: Worker, error: EdgerunError) -> None:
        """It does not serve any more; it is being started again."""


class Worker:
    """Runs ``candidates`` in their order of preference: the next one when one fails to start or keeps dying."""

    def __init__(self, number: int, candidates: Sequence[Candidate], terms: Terms, listener: Listener) -> None:
        self.number = number
        self.restarts = 0
        self.progress = 0
        """Rises while the thread is alive and well."""
        self.exhausted = False
        """The last of the candidates failed in a way that no retry helps; it goes on trying all the same."""
        self._candidates = tuple(candidates)
        self._terms = terms
        self._listener = listener
        self._choice = 0
        self._failures = 0
        self._refusals = 0
        self._retry_at = float("inf")
        self._lock = threading.Lock()
        self._in_flight: dict[int, tuple[float, bool]] = {}
        """Slot -> (sent at, sent twice), in order."""
        self._process: EngineProcess | None = None
        """The child that serves."""
        self._next: EngineProcess | None = None
        """The child that is being started, or stands by."""
        self._memory = os.memfd_create(f"edgerun-{number}")
        self._slots: Slots | None = None
        self._io: ModelIO | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"engine-{number}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def candidate(self) -> Candidate:
        """The one that serves or is being started."""
        return self._candidates[self._choice]

    @property
    def io(self) -> ModelIO:
        assert self._io is not None, "asked before it was loaded"
        return self._io

    @property
    def serving(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process else None

    def slot(self, number: int) -> Slot:
        assert self._slots is not None, "asked before it was loaded"
        return self._slots.slots[number]

    def submit(self, slot: int) -> None:
        """Ask for a filled slot's inference; the listener hears of it. From any thread."""
        with self._lock:
            self._in_flight[slot] = (time.monotonic(), False)
            if self._process is not None:
                self._process.request(slot)

    def close(self) -> None:
        self._closed.set()
        with self._lock:
            if self._process is not None:
                self._process.kill()
        if self._thread.ident is not None:
            self._thread.join(5.0)

    def _run(self) -> None:
        while not self._closed.is_set():
            began = time.monotonic()
            try:
                self._serve(self._start())
            except EdgerunError as error:
                if not self._closed.is_set():
                    self._fail(error, lived_s=time.monotonic() - began)
        if self._next is not None:
            self._next.close()

    def _start(self) -> EngineProcess:
        """A loaded child for the candidate in turn: the one that stands by, or a new one."""
        process = self._next = self._next or EngineProcess(self.candidate.load, self._memory)
        until = time.monotonic() + self._terms.start_s
        try:
            while (io := process.loaded(_TICK_S)) is None:
                self.progress += 1
                if self._closed.is_set() or time.monotonic() > until:
                    raise EngineError(f"loading took longer than {self._terms.start_s:g} s", retriable=True)
        except EdgerunError:
            process.close()
            raise
        finally:
            self._next = None
        if io != self._io:
            self._give_up(everything=True, reason="the engine changed")
            self._slots = Slots(self._memory, io, SLOTS, create=True)
            self._io = io
        return process

    def _serve(self, process: EngineProcess) -> None:
        """Answer until the child fails (raises), or a better one is ready (returns)."""
        with self._lock:
            self._process = process
            for slot in self._in_flight:  # their inputs still lie in the memory
                self._in_flight[slot] = (time.monotonic(), True)
                process.request(slot)
        self._refusals = 0
        try:
            self._listener.loaded(self)
            if self._terms.spare and self._choice == 0:
                self._next = EngineProcess(self.candidate.load, self._memory)
            self._retry_at = time.monotonic() + self._terms.retry_primary_s if self._choice else float("inf")
            while not self._closed.is_set():
                self.progress += 1
                reply = process.reply(_TICK_S)
                if reply is not None:
                    self._answer(reply)
                elif (late_s := self._oldest_s()) > self._terms.deadline_s:
                    raise EngineError(f"no answer within {late_s:.1f} s; its process was killed", retriable=True)
                if time.monotonic() > self._retry_at and self._primary_is_back():
                    return
        finally:
            with self._lock:
                self._process = None
            process.close()

    def _primary_is_back(self) -> bool:
        """True once the first candidate is loaded in a child beside the one that serves."""
        if self._next is None:
            self._next = EngineProcess(self._candidates[0].load, self._memory)
        try:
            back = self._next.loaded(0.0) is not None
        except EdgerunError as error:
            log.info("engine %s is not back yet: %s", self._candidates[0].name, error)
            self._next.close()
            self._next = None
            self._retry_at = time.monotonic() + self._terms.retry_primary_s
            return False
        if back:
            log.warning("engine %s is back", self._candidates[0].name)
            self._choice = 0
        return back

    def _answer(self, reply: Reply) -> None:
        with self._lock:
            known = self._in_flight.pop(reply.slot, None)
        if known is None:
            return
        self._listener.replied(self, reply)
        if not reply.reason:
            self._failures = self._refusals = 0
            return
        self._refusals += 1
        if self._refusals >= _MOST_REFUSALS:
            raise EngineError(f"{self._refusals} inferences in a row failed: {reply.reason}", retriable=True)

    def _oldest_s(self) -> float:
        with self._lock:
            sent = next(iter(self._in_flight.values()), None)
        return time.monotonic() - sent[0] if sent else 0.0

    def _fail(self, error: EdgerunError, lived_s: float) -> None:
        """Tell it, give up what cannot be asked again, and wait as long as its record calls for."""
        self.restarts += 1
        self._failures = 0 if lived_s > _SETTLED_S else self._failures + 1
        name = self.candidate.name
        if not error.retriable or self._failures > 1:
            self.exhausted = not error.retriable and self._choice + 1 == len(self._candidates)
            self._choice = (self._choice + 1) % len(self._candidates)
        if self._io is not None or not self.exhausted:  # else it is told by whoever waits for it
            log.warning("engine %s (worker %d): %s", name, self.number, error)
        self._listener.lost(self, error)
        wait_s = 0.0
        if self._failures > 1 or not error.retriable:
            wait_s = min(_BACKOFF_MAX_S, 0.25 * 2.0**self._failures) * random.uniform(0.8, 1.2)
        self._give_up(everything=wait_s > 0, reason=str(error))
        self._waiting(wait_s)

    def _give_up(self, *, everything: bool, reason: str) -> None:
        """Answer what is in flight with a reason; unless ``everything``, only what was already sent twice."""
        with self._lock:
            slots = [slot for slot, (_, twice) in self._in_flight.items() if twice or everything]
            for slot in slots:
                del self._in_flight[slot]
        for slot in slots:
            self._listener.replied(self, Reply(slot, 0.0, reason))

    def _waiting(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._closed.is_set() and (left := until - time.monotonic()) > 0:
            self.progress += 1
            self._closed.wait(min(left, _TICK_S))
