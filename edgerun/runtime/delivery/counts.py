"""What is told of the delivery: in the state, by ``edgerun health`` and to Prometheus."""

from __future__ import annotations

from edgerun.records import dataclass


@dataclass(frozen=True, slots=True)
class DeliveryCounts:
    """At one moment; ``error``, ``refusal`` and ``outbox_error`` are empty while all is well.

    ``depth`` counts alerts that are not delivered, ``unclaimed`` those of them that the broker took with nobody
    listening, ``unsaved`` those that are only in memory because the disk failed. ``lost`` events never became alerts.
    """

    depth: int = 0
    unclaimed: int = 0
    unsaved: int = 0
    evicted: int = 0
    accepted: int = 0
    delivered: int = 0
    refused: int = 0
    dropped: int = 0
    lost: int = 0
    connects: int = 0
    quarantined: int = 0
    connected: bool = False
    degraded: bool = False
    error: str = "not connected yet"
    refusal: str = ""
    outbox_error: str = ""
