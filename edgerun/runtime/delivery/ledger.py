"""From events to accepted alerts: identity, commit, and what to do while the disk fails. Used by one thread."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Collection
from itertools import accumulate, islice
from uuid import UUID

from edgerun.errors import SinkError
from edgerun.messages import alert_body
from edgerun.outbox import Entry, Outbox
from edgerun.runtime.delivery.episodes import Episodes
from edgerun.runtime.meters import AlertMeter
from edgerun.types import Event

log = logging.getLogger(__name__)

_RETRY_S = 2.0
_UNSAVED = 1000
_PORTION = 1 << 17
"""Bytes of alerts: what is written in one go must have room in the smallest outbox, whatever gives way for it."""


class Ledger:
    """The outbox's book-keeper. ``trouble`` says in words why alerts are only in memory; empty while all is well."""

    def __init__(self, outbox: Outbox, device: str, episodes: Episodes) -> None:
        self._outbox = outbox
        self.device = device
        self._episodes = episodes
        self._fresh: list[Entry] = []
        self._unsaved: deque[Entry] = deque()
        self._retry_at = 0.0
        self.taken: list[tuple[str, bytes]] = []
        """Cameras and bodies of the alerts since this was last cleared."""
        self.accepted = 0
        self.evicted = 0
        self.trouble = ""
        self.meter: AlertMeter | None = None
        """Told how long each alert takes; None: nobody wants to know."""

    def open(self, now: float) -> list[Entry] | None:
        """All that waits, from the file and from memory; None when the file cannot be opened now."""
        self._retry_at = now + _RETRY_S
        try:
            found = self._outbox.open()
        except SinkError as error:
            self._say(str(error))
            return None
        self._retry_at = 0.0
        self.evicted = self._outbox.gaps.evicted
        stored = {(entry.camera, entry.seq) for entry in found}
        for entry in [entry for entry in self._unsaved if (entry.camera, entry.seq) in stored]:
            self._is_stored(entry)  # by a commit of which the disk said that it failed
        for event in self._episodes.left_open():
            self.take(event)
        return found + list(self._unsaved)

    def wants_opening(self, now: float) -> bool:
        return not self._usable and now >= self._retry_at

    @property
    def _usable(self) -> bool:
        return self._outbox.is_open and not self._outbox.broken

    def take(self, event: Event) -> None:
        """Make an alert of an event; it is accepted by the next ``commit``."""
        camera = event.stamp.camera
        seq = self._outbox.seqs.next(camera)
        uid = uuid7(time.time())
        body = alert_body(self.device, event, uid=uid, alert=self._episodes.alert_of(event, uid), seq=seq)
        self.taken.append((camera, body))
        self._fresh.append(Entry(camera, seq, body))
        if self.meter is not None:
            self.meter.taken(camera, seq, event.stamp.captured)

    def commit(self, busy: Collection[Entry], now: float) -> tuple[list[Entry], set[int], list[str]]:
        """Write what was taken, in one go where it is little.

        The alerts to offer from now on (also when the disk failed: they are in memory then, and not accepted), the
        rows that gave way for them (never one of ``busy``), and the cameras with gaps where those have changed.
        """
        outbox = self._outbox
        fresh, self._fresh = self._fresh, []
        self._unsaved.extend(fresh)
        if self._unsaved and self._usable and now >= self._retry_at:
            rows = {entry.row for entry in busy}
            try:
                while portion := self._portion():
                    outbox.add(portion, rows)
                    self._written(portion)
            except SinkError as error:
                self._retry_at = now + _RETRY_S
                self._say(str(error))
        while len(self._unsaved) > _UNSAVED:
            entry = self._unsaved.popleft()
            entry.body = b""
            outbox.give_up(entry)
        evicted, outbox.gave_way = outbox.gave_way, set()
        gaps: list[str] = []
        if outbox.gaps.are_news:
            outbox.gaps.are_news = False
            gaps, self.evicted = outbox.gaps.cameras(), outbox.gaps.evicted
        return [entry for entry in fresh if entry.row or entry.body], evicted, gaps

    def _portion(self) -> list[Entry]:
        """The oldest that are only in memory, as many as are written in one go."""
        sizes = accumulate(len(entry.body) for entry in self._unsaved)
        return list(islice(self._unsaved, 1 + sum(size < _PORTION for size in sizes)))

    def _written(self, portion: list[Entry]) -> None:
        for entry in portion:
            self._is_stored(entry)
        self._episodes.save()
        self._retry_at = 0.0
        self._say("")

    def _is_stored(self, entry: Entry) -> None:
        self.accepted += 1
        self._unsaved.remove(entry)
        log.debug("accepted %s %d", entry.camera, entry.seq)
        if self.meter is not None:
            self.meter.was_accepted(entry.camera, entry.seq)

    def body(self, entry: Entry) -> bytes | None:
        """What to send; None when it is gone for good. Raises SinkError while the disk fails."""
        return self._outbox.body(entry)

    def last_bodies(self) -> dict[str, bytes]:
        """The newest alert of each camera, as far as it is still in the outbox or in memory."""
        found = {}
        try:
            found = self._outbox.last_bodies()
        except SinkError as error:
            self._say(str(error))
        return found | {entry.camera: entry.body for entry in self._unsaved}

    def history(self, camera: str, since_seq: int) -> list[Entry]:
        """Delivered alerts that the outbox still has and can give now."""
        try:
            return self._outbox.history(camera, since_seq)
        except SinkError as error:
            self._say(str(error))
            return []

    def note(self, entry: Entry) -> None:
        """See ``Outbox.note``."""
        self._outbox.note(entry)

    def settle(self, entry: Entry) -> None:
        """An alert was delivered."""
        if self.meter is not None:
            self.meter.was_acknowledged(entry.camera, entry.seq)
        if entry.row:
            self._outbox.settle(entry)
        elif entry in self._unsaved:
            self._unsaved.remove(entry)

    def tick(self) -> None:
        try:
            if self._usable:
                self._outbox.tick()
                if not self._unsaved:
                    self._say("")
        except SinkError as error:
            self._say(str(error))

    @property
    def unsaved(self) -> int:
        return len(self._unsaved)

    @property
    def in_memory(self) -> Collection[Entry]:
        """The unsaved ones, as they were taken."""
        return self._unsaved

    def _say(self, trouble: str) -> None:
        if trouble and not self.trouble:
            log.error("%s; alerts are kept in memory until it works again", trouble)
        elif self.trouble and not trouble:
            log.warning("the outbox works again")
        self.trouble = trouble


def uuid7(wall: float) -> str:
    """A UUID of version 7 (RFC 9562): milliseconds since the epoch, then random bits."""
    number = int(wall * 1000) << 80 | int.from_bytes(os.urandom(10), "big")
    number = number & ~(0xF << 76) | 7 << 76
    return str(UUID(int=number & ~(3 << 62) | 2 << 62))
