"""What a worker is told: which engines may serve, and how patient to be."""

from __future__ import annotations

from edgerun.records import dataclass
from edgerun.worker.wire import Load

IN_FLIGHT = 2
"""Requests a child holds at once: one that runs and one that waits, so that it never idles between two."""
SLOTS = IN_FLIGHT + 1
"""One more for the outputs that are being decoded."""


BUILDING_S = 1800.0
"""What building for the device may take: some minutes on a small one, a quarter of an hour for a large model."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An engine that may serve, in words and as what a child needs. What a ``detachable`` one runs on can go away: an
    accelerator, a server. One that ``builds`` makes what it runs for this device, at its first start."""

    name: str
    load: Load
    detachable: bool = False
    builds: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """How long an inference and a start may take, how long a better engine waits at most until it is tried again
    (0: for ever), and whether a loaded second child stands by."""

    deadline_s: float = 5.0
    start_s: float = 60.0
    retry_primary_s: float = 60.0
    spare: bool = False

    def patience_s(self, one: Candidate) -> float:
        """How long a candidate's start may take. One that is ended while it builds has to begin anew."""
        return max(self.start_s, BUILDING_S) if one.builds else self.start_s
