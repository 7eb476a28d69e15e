"""From looks to results: which camera's frame goes to which worker next, and results back in order.

Every thread does what is at hand: a camera's capture thread fills a slot itself when a worker has room; a worker's
thread refills the room it just made, then decodes and finishes. Whose turn it is, ``turns`` says.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence

from edgerun.errors import EdgerunError, ReplacedError
from edgerun.pipeline import Look
from edgerun.runtime.inference.jobs import Ask, Job, Lane
from edgerun.runtime.inference.reading import Reading, of_one_picture
from edgerun.runtime.inference.seat import Seat
from edgerun.runtime.inference.turns import Turns
from edgerun.stages import Head
from edgerun.types import ModelIO
from edgerun.worker.nurse import Child, Nurse
from edgerun.worker.process import Reply
from edgerun.worker.terms import IN_FLIGHT, Candidate, Terms
from edgerun.worker.wire import Slots
from edgerun.worker.worker import Worker

log = logging.getLogger(__name__)

_NO_FURTHER_S = 600.0
"""So long no further worker is tried after one that could not load: for want of memory, most likely."""
_MOST_TRIES = 2
"""A picture that two engines died of is given up."""


class Dispatcher:
    """Owns the workers. ``head_for(io)`` tells the head of what was loaded, or raises ModelError. ``early`` is a child
    that was started before the first worker was there. ``per_second`` is the most inferences of all lanes together,
    but for lossless ones; 0: no limit."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        terms: Terms,
        workers: int,
        head_for: Callable[[ModelIO], Head],
        early: Child | None = None,
        per_second: float = 0.0,
    ) -> None:
        self._head_for = head_for
        self._candidates, self._terms = tuple(candidates), terms
        self._order: tuple[int, ...] = ()
        """Of the candidates, where another one is preferred; empty: theirs."""
        self._lock = threading.Lock()
        self._state = threading.Condition(self._lock)
        self._nurse = early.nurse if early else Nurse()
        self._seats = [self._new_seat(number, early if number == 0 else None) for number in range(workers)]
        self._joining: Seat | None = None
        """A worker that has to load the model before it counts."""
        self._grows_at = -math.inf
        """Not before this (monotonic seconds) another one is tried."""
        self._turns = Turns(IN_FLIGHT * workers, per_second)
        self._open = True
        self.error: EdgerunError | None = None
        """Why no worker serves yet; of refusals the first, which is of the engine that was wanted most."""
        self.outdated = False
        """A worker could not be started since other files lie where the model's were."""

    def _new_seat(self, number: int, early: Child | None = None) -> Seat:
        return Seat(Worker(number, self._candidates, self._terms, self, self._nurse, early))

    @property
    def workers(self) -> list[Worker]:
        return [seat.worker for seat in self._seats]

    @property
    def roster(self) -> list[tuple[Worker, str]]:
        """Each worker, and why it does not serve, in words; empty: it does."""
        return [(seat.worker, seat.reason) for seat in self._seats]

    @property
    def reasons(self) -> list[str]:
        """Those of the roster."""
        return [seat.reason for seat in self._seats]

    @property
    def at_once(self) -> int:
        """How many pictures all workers together look at in one inference each."""
        return sum(seat.batch for seat in self._seats)

    @property
    def limited(self) -> bool:
        """The limit of inferences a second made frames wait of late."""
        return self._turns.limited

    def start(self) -> None:
        for seat in self._seats:
            seat.worker.start()

    def prefer(self, order: Sequence[int]) -> None:
        """Let all workers take another order of the candidates, those to come as well."""
        with self._lock:
            self._order = tuple(order)
            seats = self._everybody()
        for seat in seats:
            seat.worker.prefer(order)

    def _everybody(self) -> list[Seat]:
        """With the lock held."""
        return [*self._seats, *([self._joining] if self._joining else [])]

    def grow(self) -> None:
        """Begin to load one more worker. It counts once it serves; where it does not come to that, there will be no
        other for a while."""
        with self._lock:
            if self._joining is not None or time.monotonic() < self._grows_at or not self._open:
                return
            joining = self._joining = self._new_seat(len(self._seats))
            joining.worker.prefer(self._order)
        joining.worker.start()

    def close(self) -> None:
        with self._lock:
            self._open = False
            self._state.notify_all()
            seats = self._everybody()
        for seat in seats:
            seat.worker.stop()
        for seat in seats:
            seat.worker.close()
        self._nurse.close()

    def wait_loaded(self, timeout_s: float) -> ModelIO | None:
        """What the first worker to serve has loaded; None when time ran out.

        Raises the worker's error when no candidate is left that a retry could help.
        """
        until = time.monotonic() + timeout_s
        with self._lock:
            while True:
                ready = next((seat.reading for seat in self._seats if seat.reading and not seat.reason), None)
                if ready is not None:
                    return ready.io
                if self.error is not None and any(worker.exhausted for worker in self.workers):
                    raise self.error
                if not self._state.wait(until - time.monotonic()):
                    return None

    def add(self, lane: Lane) -> None:
        with self._lock:
            self._turns.add(lane)

    def remove(self, lane: Lane) -> None:
        with self._lock:
            self._turns.remove(lane)
            self._state.notify_all()

    def offer(self, lane: Lane, look: Look) -> None:
        """Take a look, in the frames' order. Returns at once, except on a lossless lane whose place is taken."""
        job = Job(lane, look)
        with self._lock:
            while lane.lossless and self._open and not self._turns.has_place(lane):
                self._state.wait(0.5)
            self._turns.offer(job)
        if look.regions:
            self._pump()
        else:
            self._drain(lane)

    def makes_way(self, lane: Lane) -> bool:
        """Pass over the lane's frame that waits; whether none is on its way any more."""
        with self._lock:
            self._turns.pass_over(lane)
            return not lane.in_order

    def between(self, lane: Lane, change: Callable[[], None]) -> None:
        """Change what finishes a lane's frames while none is being finished."""
        with lane.finishing:
            change()
        self._drain(lane)

    # What follows runs on whichever thread has just made the next step possible.

    def _pump(self) -> None:
        """Fill every worker's room with the regions whose turn it is."""
        while (turn := self._next_turn()) is not None:
            seat, slot, asks, reading, slots = turn
            pictures = slots.slots[slot].inputs[0]
            for ask in asks:
                with ask.job.lane.writing:
                    writer = ask.job.lane.writer(reading)
                    place = pictures[ask.place : ask.place + 1]
                    ask.fit = writer.write(ask.job.look.frame, place, ask.region.xyxy)
            with self._lock:
                seat.requests[slot] = asks
            if not seat.worker.submit(slot, slots):
                self.replied(seat.worker, Reply(slot, 0.0, "the engine changed", again=True))

    def _next_turn(self) -> tuple[Seat, int, list[Ask], Reading, Slots] | None:
        """Reserve a slot for the region in turn; for a batch, for as many as there are. An engine at work is given
        another batch only once that is full: until then there is time for more to come."""
        with self._lock:
            if self._turns.idle:
                return None
            seat = min((seat for seat in self._seats if seat.has_room), key=lambda s: s.in_flight, default=None)
            if seat is None or seat.reading is None or seat.slots is None:
                return None
            if seat.batch > 1 and seat.in_flight and self._turns.in_line() < seat.batch:
                return None
            asks: list[Ask] = []
            while len(asks) < seat.batch and (ask := self._turns.take()) is not None:
                ask.place = len(asks)
                ask.tries += 1
                asks.append(ask)
            if not asks:
                return None
            if any(ask.job.lane.lossless for ask in asks):
                self._state.notify_all()
            seat.in_flight += 1
            return seat, seat.free.pop(), asks, seat.reading, seat.slots

    def _drain(self, lane: Lane) -> None:
        """Finish what is done at the head of the lane. One thread at a time; whoever comes second leaves it to the
        first, which looks again after letting go."""
        while lane.in_order and lane.in_order[0].done:
            if not lane.finishing.acquire(blocking=False):
                return
            try:
                while lane.in_order and lane.in_order[0].done:
                    lane.in_order[0].sort()
                    lane.finish(lane.in_order[0])
                    with self._lock:
                        lane.in_order.popleft()
                        lane.served += 1
                        if lane.lossless and self._turns.has_place(lane):
                            self._state.notify_all()
            finally:
                lane.finishing.release()

    def _seat(self, worker: Worker) -> Seat:
        joining = self._joining
        return joining if joining is not None and joining.worker is worker else self._seats[worker.number]

    def loaded(self, worker: Worker) -> None:
        """The worker serves: tell how its model is fed and read."""
        seat = self._seat(worker)
        reading = seat.reading
        if reading is None or seat.slots is not worker.slots:
            reading = self._reading(worker.io)
            reading.fill(worker.slots)
        with self._lock:
            seat.reading, seat.slots = reading, worker.slots
            seat.reason, seat.batch = "", worker.io.batch
            self.error = None
            if seat is self._joining:
                self._seats.append(seat)
                self._joining = None
            self._turns.depth = IN_FLIGHT * self.at_once
            self._state.notify_all()
        self._pump()

    def _reading(self, io: ModelIO) -> Reading:
        """That of another worker with the same model, or a new one. Raises ModelError."""
        io = of_one_picture(io)
        known = (seat.reading for seat in self._seats if seat.reading is not None and seat.reading.io == io)
        return next(known, None) or Reading.of(io, self._head_for)

    def lost(self, worker: Worker, error: EdgerunError) -> None:
        with self._lock:
            self.refused(worker, error)
            seat = self._seat(worker)
            if seat is self._joining:
                log.warning("no further worker: %s", error)
                self._joining, self._grows_at = None, time.monotonic() + _NO_FURTHER_S
                worker.stop()
                return
            seat.reason = str(error)
            if self.error is None or self.error.retriable:
                self.error = error
            self._state.notify_all()

    def refused(self, worker: Worker, error: EdgerunError) -> None:
        self.outdated |= isinstance(error, ReplacedError)

    def replied(self, worker: Worker, reply: Reply) -> None:
        """Refill the worker first, then read its answer."""
        seat = self._seat(worker)
        with self._lock:
            asks = seat.requests.pop(reply.slot)
            seat.in_flight -= 1
            away = bool(reply.reason and seat.reason)
            lost = [ask for ask in asks if reply.again or (ask.job.lane.lossless and away)]
            again = [ask for ask in lost if ask.tries < _MOST_TRIES]
            self._turns.again(again)
            answered = [ask for ask in asks if ask not in again] if again else asks
            if not answered:
                seat.free.append(reply.slot)
        self._pump()
        if answered:
            self._read(seat, answered, reply)

    def _read(self, seat: Seat, asks: Sequence[Ask], reply: Reply) -> None:
        """Take in an answer, and finish the frames for which it was the last one."""
        reasons = [reply.reason or seat.decode(ask, reply.slot) for ask in asks]
        with self._lock:
            seat.free.append(reply.slot)
            for ask, reason in zip(asks, reasons, strict=True):
                job = ask.job
                job.inference_s += reply.inference_s / len(asks)
                job.engine = seat.worker.candidate.name
                job.reason = job.reason or reason
                job.answered += 1
        for lane in {ask.job.lane for ask in asks}:
            self._drain(lane)
        self._pump()
