"""What the daemon holds in memory, by process, and what each further camera adds."""

from __future__ import annotations

import time

from edgerun.bench.figures import Figure, Section
from edgerun.bench.processes import held_mb
from edgerun.bench.service import Setup, serving
from edgerun.bench.workplace import Workplace
from edgerun.runtime.health.footprint import processes

_MORE_CAMERAS = 4
_FPS = 5


def memory(place: Workplace) -> Section:
    """Resident memory, pages that the daemon's processes share once."""
    section = Section(f"Memory, as if nothing else ran: {place.conditions}")
    setup = place.setup(_FPS).but(motion=True)
    setups = setup, setup.but(cameras=1 + _MORE_CAMERAS)
    rounds = [tuple(_held(place, setup) for setup in setups) for _ in range(place.repeats)]
    daemon, engine, whole = zip(*(one for one, _ in rounds), strict=True)
    more = tuple((many[2] - one[2]) / _MORE_CAMERAS for one, many in rounds)
    section.figures = [
        Figure("daemon, one camera", "MB", daemon),
        Figure("engine and its nurse, one camera", "MB", engine),
        Figure("all processes, one camera", "MB", whole, goal="≤ 130"),
        Figure("each further camera", "MB", more, goal="≤ 8 + its frames"),
    ]
    section.remarks += [
        "Pages of libraries count in full, also where another program on the machine has them, too.",
        "A stream with reordered pictures, which few cameras send, keeps up to 16 more of them in its decoder.",
    ]
    return section


def _held(place: Workplace, setup: Setup) -> tuple[float, float, float]:
    """Megabytes of the daemon, of what it started, and of all."""
    with serving(setup, place.broker, place.folder) as service:
        time.sleep(place.seconds)
        family = [*processes(service.pid)]
        return held_mb([service.pid]), held_mb(set(family) - {service.pid}), held_mb(family)
