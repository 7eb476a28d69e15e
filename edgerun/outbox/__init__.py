"""The durable queue of alerts: a SQLite file that survives kills, power cuts, full disks and its own damage."""

from edgerun.outbox.entry import Entry
from edgerun.outbox.file import OutboxOptions
from edgerun.outbox.store import Outbox

__all__ = ["Entry", "Outbox", "OutboxOptions"]
