"""How the device is: its clock, its temperatures, its throttling. Read from the kernel, by a thread of its own since
a driver may take its time."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path
from typing import Any

from edgerun.corals import corals
from edgerun.kernel import celsius, text, whole
from edgerun.records import dataclass

_EVERY_S = 5.0
_COOLED_BY = 5.0
"""Degrees below its trip point at which a Coral counts as cool again, so that it does not flap."""
_SLOWING_TRIPS = ("passive", "hot", "critical")
_TIME_ERROR = 5
_HEX = frozenset("0123456789abcdefABCDEF")


@dataclass(frozen=True, slots=True)
class Temperature:
    """``trip_celsius`` is where the hardware begins to slow itself down; None where nobody tells."""

    name: str
    celsius: float
    trip_celsius: float | None = None

    @property
    def is_hot(self) -> bool:
        return self.trip_celsius is not None and self.celsius >= self.trip_celsius

    def payload(self) -> dict[str, Any]:
        return {"celsius": round(self.celsius, 1), "trip_celsius": self.trip_celsius}


@dataclass(frozen=True, slots=True)
class Vitals:
    """``clock_synced`` is None where it cannot be known. ``throttled`` counts events of throttling by their source,
    since the device was started; a Raspberry Pi's firmware gives its flags instead."""

    clock_synced: bool | None = None
    zones: tuple[Temperature, ...] = ()
    corals: tuple[Temperature, ...] = ()
    throttled: dict[str, int] = field(default_factory=dict)
    corals_hot: bool = False

    def key(self) -> object:
        """Changes when a reader of the state should hear of it at once."""
        hot = [one.name for one in (*self.zones, *self.corals) if one.is_hot]
        return self.clock_synced, hot, self.corals_hot, self.throttled

    def payload(self) -> dict[str, Any]:
        """As the state tells it."""
        return {
            "clock_synced": self.clock_synced,
            "temperatures": {one.name: one.payload() for one in (*self.zones, *self.corals)},
            "throttled": self.throttled,
            "half_fps": self.corals_hot,
        }


class VitalsWatch:
    """Reads every few seconds; ``latest`` is never waited for."""

    def __init__(self) -> None:
        self.latest = Vitals()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vitals", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.is_set():
            self.latest = read(before=self.latest)
            self._closed.wait(_EVERY_S)


def read(root: Path = Path("/"), before: Vitals | None = None) -> Vitals:
    """How it is now. A Coral that was hot ``before`` stays so until it is well below its trip point. ``root`` stands in
    for the real file system."""
    sticks = tuple(
        Temperature(f"coral {one.name}", one.celsius, one.trip_celsius)
        for one in corals(root)
        if one.celsius is not None
    )
    margin = _COOLED_BY if before is not None and before.corals_hot else 0.0
    hot = any(one.trip_celsius is not None and one.celsius >= one.trip_celsius - margin for one in sticks)
    return Vitals(_clock_synced(root), tuple(_zones(root)), sticks, dict(_throttled(root)), hot)


def _zones(root: Path) -> Iterator[Temperature]:
    """The kernel's thermal zones; several of one type are numbered."""
    names: dict[str, int] = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*"), key=lambda path: (len(path.name), path)):
        degrees = celsius(zone / "temp")
        if degrees is None or degrees <= -40:  # a sensor that is switched off
            continue
        name = text(zone / "type") or zone.name
        names[name] = names.get(name, 0) + 1
        trips = [
            trip
            for kind in zone.glob("trip_point_*_type")
            if text(kind) in _SLOWING_TRIPS
            and (trip := celsius(kind.with_name(kind.name.replace("_type", "_temp")))) is not None
            and trip > 0
        ]
        unique = name if names[name] == 1 else f"{name} {names[name]}"
        yield Temperature(unique, degrees, min(trips, default=None))


def _throttled(root: Path) -> Iterator[tuple[str, int]]:
    """Jetson's over-current events, Intel's thermal ones, a Raspberry Pi's flags (bit 0: under-voltage, 1: frequency
    capped, 2: throttled, 3: soft limit; 16 to 19: the same at any time since the start)."""
    for counter in sorted((root / "sys/class/hwmon").glob("hwmon*/oc*_event_cnt")):
        yield counter.name.removesuffix("_event_cnt"), whole(counter) or 0
    cpus = [
        whole(path) or 0 for path in (root / "sys/devices/system/cpu").glob("cpu*/thermal_throttle/*_throttle_count")
    ]
    if cpus:
        yield "cpu", sum(cpus)
    flags = text(root / "sys/devices/platform/soc/soc:firmware/get_throttled")
    if flags and set(flags) <= _HEX:  # a driver may say something else one day, and must not end the daemon by it
        yield "raspberry_pi_flags", int(flags, 16)


def _clock_synced(root: Path) -> bool | None:
    """True once systemd-timesyncd said so, or the kernel does; the service's sandbox may forbid to ask the kernel."""
    if (root / "run/systemd/timesync/synchronized").exists():
        return True
    if root != Path("/"):
        return None
    answer = ctypes.CDLL(None).adjtimex((ctypes.c_char * 512)())  # struct timex with modes 0: only asks
    return None if answer < 0 else answer != _TIME_ERROR
