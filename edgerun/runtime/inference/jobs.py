"""What travels through the dispatcher: a camera's frames, region by region."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import field

from edgerun.images import TensorWriter
from edgerun.pipeline import Look
from edgerun.records import dataclass
from edgerun.regions import Region
from edgerun.runtime.inference.reading import Reading
from edgerun.types import Detections, Fit

_MOST_WRITERS = 4


@dataclass(slots=True, eq=False)
class Job:
    """One frame on its way through the engine."""

    lane: Lane
    look: Look
    parts: list[tuple[Detections, Region]] = field(default_factory=list)
    """Of the regions that were answered: as the answers came, and once it is done in the order of the regions."""
    sent: int = 0
    answered: int = 0
    inference_s: float = 0.0
    engine: str = ""
    model_size: tuple[int, int] = (0, 0)
    """Width and height that the model looked at; it may change with the engine."""
    reason: str = ""
    """Why it failed; empty: it did not."""

    @property
    def done(self) -> bool:
        return self.answered == len(self.look.regions)

    def sort(self) -> None:
        """Put the parts in order: of equal boxes the first one stays, and a replay must not hang on chance."""
        if len(self.parts) > 1:
            self.parts.sort(key=lambda part: self.look.regions.index(part[1]))


class Lane:
    """One camera's way to the engine. ``weight`` is its share in overload: frames per second times priority.

    ``finish`` is called with each job in the order of the frames, by one thread at a time. A ``lossless`` lane
    makes ``offer`` wait instead of dropping.
    """

    def __init__(self, name: str, weight: float, finish: Callable[[Job], None], *, lossless: bool = False) -> None:
        self.name = name
        self.weight = weight
        self.lossless = lossless
        self.dropped = 0
        self.served = 0
        self.finish = finish
        self.waiting: Job | None = None
        self.asked, self.asked_at = 0, -math.inf
        """Regions of the newest frame that had any, and when it came (monotonic seconds)."""
        self.in_order: deque[Job] = deque()
        """Jobs under way, oldest first."""
        self.sending: Job | None = None
        """The one of them whose regions are not all with a worker yet."""
        self.pass_ = 0.0
        self.finishing = threading.Lock()
        self.writing = threading.Lock()
        self._writers: dict[Reading, TensorWriter] = {}

    def writer(self, reading: Reading) -> TensorWriter:
        """Lays this camera's frames out for a model; those of models that came and went are forgotten."""
        writer = self._writers.get(reading)
        if writer is None:
            if len(self._writers) >= _MOST_WRITERS:
                self._writers.clear()
            writer = self._writers[reading] = TensorWriter(reading.io, reading.layout)
        return writer


@dataclass(slots=True, eq=False)
class Ask:
    """One region's way through an engine, or through several when one goes away under it."""

    job: Job
    region: Region
    place: int = 0
    """Which picture of the batch it is."""
    tries: int = 0
    fit: Fit = field(init=False)
