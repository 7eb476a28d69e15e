"""In which order alerts are offered: one queue per camera. Pure; times come from the caller (monotonic seconds).

What the broker took with nobody listening stays unclaimed: its oldest is offered now and then, and before each new
alert, and once one is taken the rest follow in order. While subscribers may be about to return, as after a restart of
the broker, new alerts wait for that; later each is offered once all the same, as not every broker knows who listens.
What the broker refused waits at the head of its queue; but what is too large for a connection waits beside it, for the
next one or until it is asked for.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable, Collection, Iterable
from itertools import groupby
from operator import attrgetter

from edgerun.outbox import Entry
from edgerun.stages import Verdict

PROBE_S = 5.0
EAGER_PROBE_S = 1.0
"""While a subscriber may just have arrived."""
EAGER_FOR_S = 30.0
"""Subscribers that are there come back within this."""
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0

_seq = attrgetter("seq")
_camera = attrgetter("camera")


class _Queue:
    """One camera's alerts that are not delivered."""

    def __init__(self) -> None:
        self.waiting: deque[Entry] = deque()
        self.unclaimed: deque[Entry] = deque()
        self.oversized: deque[Entry] = deque()
        self.flying: dict[int, Entry] = {}
        self._proven = False
        """Somebody took the last one: several may be on their way at a time."""
        self._probing = False
        self._probed = False
        """The oldest unclaimed one was just offered in vain: one new alert may follow."""
        self._probe_at = 0.0
        self._pause_s = 0.0
        self._resume_at = 0.0

    def next(self, now: float, eager: bool) -> Entry | None:
        """The entry to offer now, taken out of its queue; ``sent``, ``unsent`` or ``skipped`` must follow."""
        if self._pause_s and (self.flying or now < self._resume_at):
            return None
        if self._probing or (self.flying and (self.unclaimed or not self._proven)):
            return None
        if not self.unclaimed:
            return self.waiting.popleft() if self.waiting else None
        if eager:
            self._pass_over()
        new = self.waiting and not eager
        if new and self._probed:
            self._probed = False
            return self.waiting.popleft()
        if new or now >= self._probe_at + (EAGER_PROBE_S if eager else PROBE_S):
            self._probing = True
            return self.unclaimed.popleft()
        return None

    def _pass_over(self) -> None:
        """Those that wait behind the unclaimed had their turn: who gets them later is to know that they are late."""
        for entry in reversed(self.waiting):
            if entry.offered:
                break
            entry.offered = True

    def put_back(self, entries: Iterable[Entry]) -> None:
        """These wait again, in order."""
        entries = list(entries)
        if entries:
            self.waiting = deque(sorted([*entries, *self.waiting], key=_seq))

    def replay(self, entries: Iterable[Entry]) -> None:
        """Offer these again, but none twice that is to be offered anyway."""
        known = {entry.seq for entry in (*self.waiting, *self.unclaimed, *self.flying.values())}
        self.put_back(entry for entry in entries if entry.seq not in known)

    def unsent(self, entry: Entry) -> None:
        self._probing = False
        self.put_back([entry])

    def skipped(self) -> None:
        self._probing = False

    def answered(self, token: int, verdict: Verdict, now: float) -> None:
        entry = self.flying.pop(token)
        self._proven = verdict == "taken"
        self._probed = verdict == "unclaimed" and (self._probing or not self.unclaimed)
        self._probing = False
        if verdict == "refused":
            self._pause_s = min(max(_FIRST_PAUSE_S, 2 * self._pause_s), _LONGEST_PAUSE_S)
            self._resume_at = now + self._pause_s
            self.put_back([entry])
            return
        self._pause_s = 0.0
        if verdict == "oversized":
            self.oversized.append(entry)
        elif verdict == "unclaimed":
            self._probe_at = now
            insort(self.unclaimed, entry, key=_seq)
        else:
            self.claim()

    def claim(self) -> None:
        """Somebody listens: what nobody wanted is offered again, in order."""
        self.put_back(self.unclaimed)
        self.unclaimed.clear()

    def retry(self) -> None:
        """What was too large is offered again, in order."""
        self.put_back(self.oversized)
        self.oversized.clear()

    def lost(self) -> None:
        """The connection went: nothing in flight will be answered, and everything may be tried at once."""
        self.retry()
        self.put_back(self.flying.values())
        self.flying.clear()
        self._proven = self._probing = self._probed = False
        self._pause_s = self._probe_at = 0.0

    def drop(self, gone: Callable[[Entry], bool]) -> None:
        """Forget what gave way in the outbox."""
        self.waiting = deque(entry for entry in self.waiting if not gone(entry))
        self.unclaimed = deque(entry for entry in self.unclaimed if not gone(entry))
        self.oversized = deque(entry for entry in self.oversized if not gone(entry))

    def __len__(self) -> int:
        return len(self.waiting) + len(self.unclaimed) + len(self.oversized) + len(self.flying)


class Backlog:
    """What is not delivered: all cameras' queues, served in turn."""

    def __init__(self) -> None:
        self._queues: dict[str, _Queue] = {}
        self._turn: deque[str] = deque()
        self._eager_until = 0.0

    def add(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self._queue(entry.camera).waiting.append(entry)

    def _queue(self, camera: str) -> _Queue:
        if camera not in self._queues:
            self._queues[camera] = _Queue()
            self._turn.append(camera)
        return self._queues[camera]

    def next(self, now: float) -> Entry | None:
        """The next entry to offer, of the camera whose turn it is; None when none is due."""
        for _ in range(len(self._turn)):
            camera = self._turn[0]
            self._turn.rotate(-1)
            entry = self._queues[camera].next(now, now < self._eager_until)
            if entry is not None:
                return entry
        return None

    def sent(self, token: int, entry: Entry) -> None:
        entry.offered = True
        self._queues[entry.camera].flying[token] = entry

    def unsent(self, entry: Entry) -> None:
        self._queues[entry.camera].unsent(entry)

    def skipped(self, entry: Entry) -> None:
        """There is nothing to send for it any more."""
        self._queues[entry.camera].skipped()

    def answered(self, camera: str, token: int, verdict: Verdict, now: float) -> None:
        self._queues[camera].answered(token, verdict, now)

    def holds_oversized(self, camera: str) -> bool:
        """Alerts of this camera wait for a connection that carries them."""
        return bool(self._queues[camera].oversized)

    def replay(self, camera: str, entries: Iterable[Entry]) -> None:
        """Offer the unclaimed and the oversized ones of a camera (of all, when empty) and these again, because somebody
        asked."""
        for name, queue in self._queues.items():
            if camera in ("", name):
                queue.claim()
                queue.retry()
        for name, own in groupby(sorted(entries, key=_camera), key=_camera):
            self._queue(name).replay(own)

    def hurry(self, now: float) -> None:
        """A subscriber may be about to come: probe often for a while."""
        self._eager_until = now + EAGER_FOR_S

    def lost(self) -> None:
        for queue in self._queues.values():
            queue.lost()

    def drop(self, gone: Callable[[Entry], bool]) -> None:
        for queue in self._queues.values():
            queue.drop(gone)

    def clear(self) -> None:
        self._queues.clear()
        self._turn.clear()

    def flying(self) -> Collection[Entry]:
        return [entry for queue in self._queues.values() for entry in queue.flying.values()]

    @property
    def unclaimed(self) -> int:
        """What nobody took, and what waits behind it."""
        return sum(len(queue.unclaimed) + len(queue.waiting) for queue in self._queues.values() if queue.unclaimed)

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))
