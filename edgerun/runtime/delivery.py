"""From events to acknowledged messages: one thread that owns the outbox and what is in flight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from edgerun.messages import Topics
from edgerun.outbox import OutboxOptions
from edgerun.stages import Request, Sink
from edgerun.types import Event, Message


@dataclass(frozen=True, slots=True)
class DeliveryCounts:
    """What the state tells of the delivery. ``error`` is empty while all is well."""

    depth: int
    unclaimed: int
    evicted: int
    accepted: int
    delivered: int
    dropped: int
    connected: bool
    degraded: bool
    error: str


class Delivery:
    """Alerts through the outbox, retained state on every connect, detections as they come."""

    def __init__(
        self, topics: Topics, sink: Sink, outbox_path: Path, outbox: OutboxOptions, *, birth_topic: str = ""
    ) -> None:
        self.commands: SimpleQueue[Request] = SimpleQueue()

    @property
    def progress(self) -> int:
        """Rises while the thread is alive and well: at least once a second."""
        raise NotImplementedError

    def start(self) -> None:
        """Open the outbox and the sink in the thread; returns at once."""

    def accept(self, event: Event, frame_jpeg: Callable[[], bytes] | None = None) -> None:
        """Take an event as an alert; returns at once. ``frame_jpeg`` makes the snapshot, called in the thread later,
        and only for the newest alert of a camera."""

    def publish(self, message: Message) -> None:
        """Best effort and at once, from any thread: dropped and counted while there is no connection."""

    def retain(self, message: Message) -> None:
        """Retained state: sent when it changed, and again on every connect. An empty payload takes it away."""

    def replay(self, since_seq: int, camera: str = "") -> None:
        """Offer again what the outbox still holds from ``since_seq`` on, marked as replayed."""

    def snapshot(self) -> DeliveryCounts:
        raise NotImplementedError

    def close(self, timeout_s: float) -> None:
        """Flush what can be flushed within ``timeout_s``, publish ``offline``, disconnect."""
