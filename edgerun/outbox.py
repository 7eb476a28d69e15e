"""The durable queue of alerts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxOptions:
    """How alerts are kept until they are delivered."""

    max_mb: Annotated[int, Interval(ge=1, le=4096)] = 64
    """Largest size of the outbox file in MB; beyond it the oldest alerts give way and a gap record names them.
    One MB holds about 1,800 alerts of 400 bytes."""
