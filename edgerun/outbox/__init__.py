"""The durable queue of alerts: a SQLite file that survives kills, power cuts, full disks and its own damage."""

from edgerun.outbox.store import Entry, Outbox, OutboxOptions

__all__ = ["Entry", "Outbox", "OutboxOptions"]
