"""What the machine draws while it looks, where it tells: RAPL counters, or current sensors that hwmon knows."""

from __future__ import annotations

import time
from pathlib import Path

from edgerun.bench.figures import Figure, Section
from edgerun.bench.service import serving
from edgerun.bench.workplace import Workplace
from edgerun.kernel import whole

_RAPL = Path("/sys/class/powercap")
_HWMON = Path("/sys/class/hwmon")
_SAMPLES_S = 0.1


def power(place: Workplace) -> Section:
    """Watts while idle and at 10 fps; empty, with the reason, where nothing tells them."""
    section = Section(f"Power: {place.conditions}")
    if _watts(0.2) is None:
        section.remarks.append("This machine tells nobody what it draws: no RAPL counter, no power sensor in hwmon.")
        return section
    idle, working = [], []
    for _ in range(place.repeats):
        idle.append(_watts(place.seconds) or 0.0)
        with serving(place.setup(10.0), place.broker, place.folder):
            working.append(_watts(place.seconds) or 0.0)
    floor = tuple(idle), "the machine without edgerun"
    section.figures = [Figure("power at 10 fps", "W", tuple(working), *floor, "difference")]
    return section


def _watts(seconds: float) -> float | None:
    """The mean over ``seconds``; None where no sensor can be read."""
    counters = sorted(_RAPL.glob("intel-rapl:?/energy_uj"))
    before = [value for path in counters if (value := whole(path)) is not None]
    if before:
        time.sleep(seconds)
        after = [value for path in counters if (value := whole(path)) is not None]
        return sum(now - then for now, then in zip(after, before, strict=True) if now > then) / 1e6 / seconds
    sensors = [*_HWMON.glob("hwmon*/power1_input"), *_HWMON.glob("hwmon*/power1_average")]
    samples = []
    until = time.monotonic() + seconds
    while sensors and time.monotonic() < until:
        samples.append(sum(value / 1e6 for path in sensors if (value := whole(path)) is not None))
        time.sleep(_SAMPLES_S)
    watts = sum(samples) / len(samples) if samples else 0.0
    return watts or None
