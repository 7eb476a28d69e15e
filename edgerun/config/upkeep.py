"""Options of what keeps the daemon well, and of what it tells of itself beside MQTT."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from edgerun.limits import Interval
from edgerun.records import dataclass
from edgerun.secrets import NO_SECRET, Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisionOptions:
    """When the daemon helps itself, and how."""

    steady_s: Annotated[float, Interval(ge=1, le=3600)] = 60.0
    """A configuration that has served so long without a fault counts as good, and a copy of it is kept with the lasting
    state."""
    crashes: Annotated[int, Interval(ge=0, le=100)] = 5
    """After so many starts without becoming steady, the last good configuration is served instead. 0: never."""
    within_s: Annotated[float, Interval(ge=10, le=86400)] = 600.0
    """Starts longer ago than this are forgotten."""
    memory_mb: Annotated[int, Interval(ge=0, le=1_000_000)] = 0
    """Resident memory of the daemon's own process above which it ends, for the service manager to start it again. 0: no
    limit but the unit's `MemoryMax`."""
    engine_memory_mb: Annotated[int, Interval(ge=0, le=1_000_000)] = 0
    """Resident memory of one engine's process above which it is started again. 0: no limit but the unit's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsOptions:
    """Figures for Prometheus at `http://HOST:PORT/metrics`, and a summary of latencies in the state. Needs
    `pip install 'edgerun[metrics]'`."""

    enabled: bool = False
    """Measures each frame and each alert, and listens."""
    host: str = "127.0.0.1"
    """Where to listen. Any address but a loopback one needs a `token`."""
    port: Annotated[int, Interval(ge=0, le=65535)] = 9464
    """0 takes any that is free."""
    token: Secret = NO_SECRET
    """Asked for as `Authorization: Bearer TOKEN`: a literal, `{env: NAME}` or `{file: NAME}`."""

    def __post_init__(self) -> None:
        if not self.token and not is_loopback(self.host):
            raise ValueError(
                f"would tell its figures to everybody at {self.host!r}: write a token, or listen at 127.0.0.1"
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
