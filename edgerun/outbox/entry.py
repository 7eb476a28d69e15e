"""An alert on its way, as those outside the outbox hold it."""

from __future__ import annotations

from edgerun.records import dataclass


@dataclass(slots=True, eq=False)
class Entry:
    """An alert that waits. ``row`` is its id in the file; 0 while it is only in memory, then ``body`` is here."""

    camera: str
    seq: int
    body: bytes = b""
    row: int = 0
    checksum: int = 0
    offered: bool = False
    """It may have been published before, or was passed over as nobody listened."""
