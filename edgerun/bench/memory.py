"""What the daemon holds in memory, by process, and what each further camera adds."""

from __future__ import annotations

import time

from edgerun.bench.figures import Figure, Section
from edgerun.bench.processes import pss_by_process
from edgerun.bench.service import serving
from edgerun.bench.workplace import Workplace

_MORE_CAMERAS = 4


def memory(place: Workplace) -> Section:
    """PSS: pages that processes share count by their share."""
    section = Section(f"Memory (PSS): {place.conditions}")
    rounds = [(_held(place, 1), _held(place, 1 + _MORE_CAMERAS)) for _ in range(place.repeats)]
    for name in rounds[0][0]:
        section.figures.append(Figure(f"{name}, one camera", "MB", tuple(one[name] for one, _ in rounds)))
    total = tuple(sum(one.values()) for one, _ in rounds)
    more = tuple((sum(many.values()) - sum(one.values())) / _MORE_CAMERAS for one, many in rounds)
    section.figures.append(Figure("all processes, one camera", "MB", total, goal="≤ 130"))
    section.figures.append(Figure("each further camera", "MB", more, goal="≤ 8 + its frames"))
    return section


def _held(place: Workplace, cameras: int) -> dict[str, float]:
    with serving(place.setup(5.0, cameras=cameras), place.broker, place.folder) as service:
        time.sleep(place.seconds)
        return pss_by_process(service.pid)
