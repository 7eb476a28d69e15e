"""Which alerts have begun and not ended. They are noted in a file, so that those a crash or a power cut leaves open are
ended at the next start: a subscriber that takes somebody for present does not wait for ever."""

from __future__ import annotations

import json
import logging
import os
import time
from dataclasses import asdict
from pathlib import Path

from edgerun.records import dataclass
from edgerun.types import Event, EventKind, Stamp

log = logging.getLogger(__name__)

_MOST = 1 << 14
"""Many cameras with a crowd before each have thousands."""


@dataclass(frozen=True, slots=True)
class _Begun:
    """What a start said. ``alert`` is the id that its end will have, too."""

    alert: str
    camera: str
    kind: EventKind
    rule: str
    zone: str
    line: str
    direction: str


class Episodes:
    """Used by one thread. The file is written in place and never synced, so that it wears no card to speak of: a power
    cut may bring back a list that is some seconds old."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: dict[tuple[str, int], tuple[str, str]] = {}
        """The alert's id, and what is noted of it: written once, as all of it is noted with each alert that begins or
        ends."""
        self._changed = self._looked = False

    def alert_of(self, event: Event, uid: str) -> str:
        """The id that an episode's start and end share: that of its first message."""
        key = event.stamp.camera, event.episode
        if event.phase == "end":
            alert, noted = self._open.pop(key, (uid, ""))
            self._changed |= noted != ""
            return alert
        if event.phase == "start":
            named = event.kind, event.rule, event.zone, event.line, event.direction
            self._note(key, _Begun(uid, event.stamp.camera, *named))
            while len(self._open) > _MOST:  # of rule books that went without ending theirs
                del self._open[next(iter(self._open))]
            self._changed = True
        return uid

    def _note(self, key: tuple[str, int], begun: _Begun) -> None:
        self._open[key] = begun.alert, json.dumps(asdict(begun))

    def save(self) -> None:
        """Note what is open now, where that has changed."""
        if not self._changed:
            return
        self._changed = False
        line = f"[{', '.join(noted for _, noted in self._open.values())}]\n".encode()
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(handle, 0, len(line))  # a full disk would take a part, over what was there
                os.pwrite(handle, line, 0)
                os.ftruncate(handle, len(line))
            finally:
                os.close(handle)
        except OSError as error:
            log.debug("%s cannot be written (%s): a crash now would leave alerts without an end", self._path, error)

    def left_open(self) -> list[Event]:
        """Ends, as of now, for what the run before this one left open, the first time this is asked. ``alert_of`` knows
        them."""
        if self._looked:
            return []
        self._looked = True
        try:
            with self._path.open("rb") as file:
                left = [_Begun(**begun) for begun in json.loads(file.readline())]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError) as error:
            log.warning("%s cannot be read (%s): what a crash left open is not ended", self._path, error)
            return []
        ends = []
        for number, begun in enumerate(left, 1):
            stamp = Stamp(begun.camera, 0, time.monotonic(), time.time(), 1, 1)
            named = begun.zone, begun.line, begun.direction
            ends.append(Event(begun.kind, begun.rule, "end", -number, stamp, *named))  # no rule book's own are below 0
            self._note((begun.camera, -number), begun)
        return ends
