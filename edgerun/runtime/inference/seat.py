"""One worker as the dispatcher sees it: what it has loaded, what it is at, and how its answers are read."""

from __future__ import annotations

from edgerun.pipeline import FLOOR_SCORE
from edgerun.runtime.inference.jobs import Ask
from edgerun.runtime.inference.reading import Reading
from edgerun.worker.terms import IN_FLIGHT, SLOTS
from edgerun.worker.wire import Slots
from edgerun.worker.worker import Worker


class Seat:
    """Changed with the dispatcher's lock held."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.reading: Reading | None = None
        """Of what was loaded last; stays over a restart with the same model, whose requests are asked again."""
        self.slots: Slots | None = None
        self.reason = "starting"
        """Why it does not serve; empty: it does."""
        self.batch = 1
        """How many regions one request asks for at most."""
        self.free = list(range(SLOTS))
        self.in_flight = 0
        self.requests: dict[int, list[Ask]] = {}

    @property
    def has_room(self) -> bool:
        return not self.reason and self.in_flight < IN_FLIGHT and bool(self.free)

    def decode(self, ask: Ask, slot: int) -> str:
        """Read a region's outputs, without the lock; why that cannot be done, or nothing."""
        if self.reading is None:
            return ""
        outputs = self.worker.slot(slot).outputs()
        if self.batch > 1:
            outputs = tuple(output[ask.place : ask.place + 1] for output in outputs)
        try:
            found = self.reading.head.decode(outputs, self.reading.io, ask.fit, FLOOR_SCORE)
        except (ValueError, ArithmeticError, LookupError) as error:  # what nonsense a model may give
            return f"the model's outputs cannot be read: {error}"
        ask.job.parts.append((found, ask.region))
        ask.job.model_size = self.reading.io.size
        return ""
