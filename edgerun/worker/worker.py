"""One worker: an engine's process kept alive, with its slots, its deadline and its back-off."""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Sequence
from typing import Protocol

from edgerun.errors import EdgerunError, EngineError
from edgerun.since import Since
from edgerun.types import ModelIO
from edgerun.worker.choice import Choice
from edgerun.worker.launcher import Launcher, Layout
from edgerun.worker.nurse import Child, Nurse
from edgerun.worker.process import EngineProcess, Reply
from edgerun.worker.terms import Candidate, Terms
from edgerun.worker.understudy import Understudy
from edgerun.worker.wire import Slot, Slots

log = logging.getLogger(__name__)

_TICK_S = 0.5
_MOST_REFUSALS = 3
"""An engine that fails so many inferences in a row is as good as dead: a server that is gone, a stuck device."""
_GRACE_S = 0.01
_SPARE_AFTER_S = 0.25
"""So long after it began to serve: loading another one would slow down the first answers."""
_PATIENCE_S = 8.0
"""After so long in loading another candidate is loaded too, to serve meanwhile."""


class Listener(Protocol):
    """Told by the worker's own thread."""

    def loaded(self, worker: Worker) -> None:
        """It serves (again); ``worker.io`` may have changed. Slots in flight before were answered or kept."""

    def replied(self, worker: Worker, reply: Reply) -> None:
        """A slot's outputs are there, or a reason why not."""

    def lost(self, worker: Worker, error: EdgerunError) -> None:
        """It does not serve any more; it is being started again."""

    def refused(self, worker: Worker, error: EdgerunError) -> None:
        """A better engine, or a spare, was tried beside the one that serves, and does not."""


class Worker:
    """Runs ``candidates`` in their order of preference: the next one when one fails, a better one when it is back."""

    def __init__(
        self,
        number: int,
        candidates: Sequence[Candidate],
        terms: Terms,
        listener: Listener,
        nurse: Nurse,
        early: Child | None = None,
    ) -> None:
        """``nurse`` may serve other workers, too. ``early`` is a child that was started before (see ``Launcher``)."""
        self.number = number
        self.restarts = 0
        self.progress = 0
        """Rises while the thread is alive and well."""
        self.since = Since()
        """When the candidate in turn began to serve, or to be tried."""
        self.fallback_reason = ""
        """Why it is not the preferred one that serves; empty: it is."""
        self.last_loss = ""
        """Why it was started again the last time."""
        self._candidates = tuple(candidates)
        self._terms = terms
        self._listener = listener
        self._choice = Choice([one.detachable for one in candidates], terms.retry_primary_s)
        self._wanted: tuple[int, ...] = ()
        """An order of preference that was asked for and is not taken yet."""
        self._refusals = 0
        self._lock = threading.Lock()
        self._in_flight: dict[int, tuple[float, bool]] = {}
        """Slot -> (sent at, sent twice), in order."""
        self._answered_at = 0.0
        """When the child last answered (monotonic seconds): what was sent before then has waited until then."""
        self._process: EngineProcess | None = None
        """The child that serves."""
        self._launcher = Launcher(number, candidates, nurse, early)
        self._understudy = Understudy(
            number, candidates, terms, self._choice, self._launcher, lambda error: listener.refused(self, error)
        )
        self._layout: Layout | None = None
        """Of the child that served last."""
        self._verdict = ""
        """Why the child was killed from outside."""
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"engine-{number}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def candidate(self) -> Candidate:
        """The one that serves or is being started."""
        return self._candidates[self._choice.current]

    @property
    def fallback(self) -> bool:
        """True while it is not the preferred one that serves."""
        return self._choice.current != self._choice.best

    @property
    def exhausted(self) -> bool:
        """No candidate is left that a retry is likely to help; it goes on trying all the same."""
        return self._choice.exhausted

    @property
    def io(self) -> ModelIO:
        assert self._layout is not None, "asked before it was loaded"
        return self._layout[0]

    @property
    def slots(self) -> Slots:
        """Where requests lie. Another object after a change of engines, whose requests ``submit`` refuses."""
        assert self._layout is not None, "asked before it was loaded"
        return self._layout[1]

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process else None

    def slot(self, number: int) -> Slot:
        return self.slots.slots[number]

    def submit(self, slot: int, slots: Slots) -> bool:
        """Ask for the inference of a slot that was filled in ``slots``; the listener hears of it. From any thread.
        False when the engine has changed since."""
        with self._lock:
            if slots is not self.slots:
                return False
            self._in_flight[slot] = (time.monotonic(), False)
            if self._process is not None:
                self._process.request(slot)
            return True

    def prefer(self, order: Sequence[int]) -> None:
        """Take another order of the candidates; a better one is loaded beside the one that serves. From any thread."""
        self._wanted = tuple(order)

    def restart(self, reason: str) -> None:
        """Kill the child that serves, and start another. From any thread."""
        with self._lock:
            if self._process is not None:
                self._verdict = reason
                self._process.kill()

    def stop(self) -> None:
        """Begin to end."""
        self._closed.set()
        with self._lock:
            if self._process is not None:
                self._process.kill()

    def close(self) -> None:
        self.stop()
        if self._thread.ident is not None:
            self._thread.join(5.0)

    def _run(self) -> None:
        while not self._closed.is_set():
            began = math.inf
            try:
                process = self._start()
                began = time.monotonic()
                self._serve(process)
            except EdgerunError as error:
                if not self._closed.is_set():
                    self._fail(error, lived_s=max(0.0, time.monotonic() - began))
        self._understudy.drop()
        self._launcher.close()

    def _start(self) -> EngineProcess:
        """A loaded child for the candidate in turn: the one beside, or a new one; after a while the next one."""
        starting = self._understudy.take() or self._launcher.start(self._choice.current)
        try:
            while (io := starting.process.loaded(_TICK_S)) is None:
                self.progress += 1
                waited_s = time.monotonic() - starting.began
                patience_s = self._terms.patience_s(self._candidates[starting.index])
                if self._closed.is_set() or waited_s > patience_s:
                    raise EngineError(f"loading took longer than {patience_s:g} s", retriable=True)
                alone = self._understudy.started is None
                following = self._choice.later() if waited_s > _PATIENCE_S and alone else None
                if following is not None:
                    self.fallback_reason = f"{self.candidate.name} is still being loaded"
                    self._understudy.started, starting = starting, self._launcher.start(following)
                    self._choice.current = following
        except EdgerunError:
            starting.process.close()
            raise
        self._adopt(starting.index, io)
        return starting.process

    def _adopt(self, index: int, io: ModelIO) -> None:
        """Take what was loaded; requests that lie in another one's memory are given back."""
        layout = self._launcher.layout(index, io)
        if layout is self._layout:
            return
        with self._lock:
            self._layout = layout
        self._give_up(everything=True, reason="the engine changed", again=True)

    def _serve(self, process: EngineProcess) -> None:
        """Answer until the child fails (raises), or a better one is ready (returns)."""
        try:
            with self._lock:
                self._process = process
                for slot in self._in_flight:  # their inputs still lie in the memory
                    self._in_flight[slot] = (time.monotonic(), True)
                    process.request(slot)
            if not self.fallback:
                self.fallback_reason = ""
            self._refusals = 0
            self.since = Since()
            self._listener.loaded(self)
            spare_at = time.monotonic() + _SPARE_AFTER_S if self._terms.spare and not self.fallback else math.inf
            while not self._closed.is_set():
                self.progress += 1
                left_s = self._terms.deadline_s - self._oldest_s()
                reply = process.reply(min(max(left_s, 0.0) + _GRACE_S, _TICK_S))
                if reply is not None:
                    self._answer(reply)
                elif self._oldest_s() > (limit_s := self._terms.deadline_s):
                    raise EngineError(f"no answer within {limit_s:g} s; its process was killed", retriable=True)
                if self._wanted:
                    self._choice.prefer(self._wanted)
                    self._wanted = ()
                if self._understudy.try_better():
                    self._listener.lost(self, EngineError(f"changing to {self.candidate.name}", retriable=True))
                    return
                if time.monotonic() > spare_at:
                    spare_at = time.monotonic() + self._understudy.stand_by()
        finally:
            with self._lock:
                self._process = None
            process.close()

    def _answer(self, reply: Reply) -> None:
        with self._lock:
            known = self._in_flight.pop(reply.slot, None)
        self._answered_at = time.monotonic()
        if known is None:
            return
        self._listener.replied(self, reply)
        if not reply.reason:
            self._refusals = 0
            self._choice.answered()
            return
        self._refusals += 1
        if self._refusals >= _MOST_REFUSALS:
            raise EngineError(f"{self._refusals} inferences in a row failed: {reply.reason}", retriable=True)

    def _oldest_s(self) -> float:
        """How long the child has been at the oldest request."""
        with self._lock:
            sent = next(iter(self._in_flight.values()), None)
        return time.monotonic() - max(sent[0], self._answered_at) if sent else 0.0

    def _fail(self, error: EdgerunError, lived_s: float) -> None:
        """Tell it, give up what cannot be asked again, and wait as long as its record calls for."""
        self.restarts += 1
        if self._verdict:
            error, self._verdict = EngineError(self._verdict, retriable=True), ""
        self.last_loss = str(error)
        failed, was_best = self._choice.current, not self.fallback
        wait_s = self._choice.failed(retriable=error.retriable, lived_s=lived_s, now=time.monotonic())
        wait_s *= random.uniform(0.8, 1.2)
        if self._layout is not None or not self.exhausted:  # else it is told by whoever waits for it
            log.warning("engine %s (worker %d): %s", self._candidates[failed].name, self.number, error)
        if self._choice.current != failed:
            log.warning("engine %s is tried instead (worker %d)", self.candidate.name, self.number)
        if was_best and self.fallback:
            self.fallback_reason = f"{self._candidates[failed].name}: {error}"
        self._understudy.drop(but=self._choice.current)
        self.since = Since()
        self._listener.lost(self, error)
        self._give_up(everything=wait_s > 0, reason=str(error))
        self._wait(wait_s)

    def _give_up(self, *, everything: bool, reason: str, again: bool = False) -> None:
        """Answer what is in flight with a reason; unless ``everything``, only what was already sent twice."""
        with self._lock:
            slots = [slot for slot, (_, twice) in self._in_flight.items() if twice or everything]
            for slot in slots:
                del self._in_flight[slot]
        for slot in slots:
            self._listener.replied(self, Reply(slot, 0.0, reason, again))

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._closed.is_set() and (left := until - time.monotonic()) > 0:
            self.progress += 1
            self._closed.wait(min(left, _TICK_S))
