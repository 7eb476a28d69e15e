"""What the daemon holds in memory, by process, and what each further camera adds."""

from __future__ import annotations

import time

from edgerun.bench.clips import still
from edgerun.bench.figures import Figure, Section
from edgerun.bench.processes import pss_by_process
from edgerun.bench.service import Setup, serving
from edgerun.bench.workplace import Workplace

_MORE_CAMERAS = 4
_FPS = 5


def memory(place: Workplace) -> Section:
    """PSS: pages that processes share count by their share."""
    section = Section(f"Memory (PSS): {place.conditions}")
    reordered = place.setup(_FPS)
    plain = reordered.but(clip=still(place.clip, place.folder, _FPS, 60))
    setups = reordered, plain, plain.but(cameras=1 + _MORE_CAMERAS)
    rounds = [tuple(_held(place, setup) for setup in setups) for _ in range(place.repeats)]
    for name in rounds[0][0]:
        section.figures.append(Figure(f"{name}, one camera", "MB", tuple(one[name] for one, *_ in rounds)))
    whole, one, many = zip(*([sum(held.values()) for held in found] for found in rounds), strict=True)
    more = tuple((most - least) / _MORE_CAMERAS for most, least in zip(many, one, strict=True))
    section.figures += [
        Figure("all processes, one camera", "MB", whole, goal="≤ 130"),
        Figure("all processes, one camera whose stream is not reordered", "MB", one),
        Figure("each further camera of that kind", "MB", more, goal="≤ 8 + its frames"),
    ]
    section.remarks.append(
        "A stream with reordered pictures keeps up to 16 of them in its decoder, as its level allows."
    )
    return section


def _held(place: Workplace, setup: Setup) -> dict[str, float]:
    with serving(setup, place.broker, place.folder) as service:
        time.sleep(place.seconds)
        return pss_by_process(service.pid)
