"""From events to acknowledged messages: one thread that owns the outbox and what is in flight.

Whatever happens (an event, an answer of the broker, a lost connection) comes into the thread as a call through its
inbox, so nothing here is shared but the inbox, the retained messages and the counts.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue

from edgerun import messages
from edgerun.outbox import Outbox, OutboxOptions
from edgerun.runtime.delivery.backlog import Backlog
from edgerun.runtime.delivery.counts import DeliveryCounts
from edgerun.runtime.delivery.departures import GOODBYE_S, Departures
from edgerun.runtime.delivery.episodes import Episodes
from edgerun.runtime.delivery.ledger import Ledger
from edgerun.runtime.delivery.pictures import Pictures
from edgerun.runtime.delivery.retained import Retained
from edgerun.runtime.meters import AlertMeter
from edgerun.stages import Copies, Request, Sink, Verdict
from edgerun.topics import Topics
from edgerun.types import Event, Message

log = logging.getLogger(__name__)

_TICK_S = 1.0
_ANEW_S = 1.0
"""All that is retained is told anew once in so long at the most: who floods what asks for it holds up alerts and
counts."""
_WAITING_EVENTS = 1000
_BATCH = 256
_COMMANDS = 100


class Delivery:
    """Alerts through the outbox, retained state on every connect, detections as they come.

    ``copies`` get every message too, once and best effort. When ``online`` comes at ``birth_topic``, subscribers are
    about to return: retained messages go out again, and unclaimed alerts are tried. ``cameras`` are those there are,
    None: whichever; the newest alerts, the gaps and the pictures of others are not told of again. The outbox, the open
    episodes and the alerts that are only in memory are those of the one ``before``, which is closed when this starts.
    """

    def __init__(
        self,
        topics: Topics,
        sink: Sink,
        outbox_path: Path,
        outbox: OutboxOptions,
        *,
        copies: Sequence[Copies] = (),
        birth_topic: str = "",
        cameras: Collection[str] | None = None,
        before: Delivery | None = None,
    ) -> None:
        self.commands: SimpleQueue[Request] = SimpleQueue()
        self.progress = 0
        """Rises at least once a second while the thread is alive and the disk answers."""
        self._topics = topics
        self._sink = sink
        self._copies = copies
        self._birth_topic = birth_topic
        self._cameras = cameras
        self._before, self._options = before, outbox
        if before is None:
            self._outbox = Outbox(outbox_path, outbox)
            episodes = Episodes(outbox_path.with_name(outbox_path.name + ".open"))
            self._ledger = Ledger(self._outbox, topics.device, episodes)
        else:
            self._outbox, self._ledger = before._outbox, before._ledger
        self._retained = Retained(self._copy)
        self._backlog = Backlog()
        self._departures = Departures(topics, sink, self._ledger, self._backlog, self._retained)
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._pictures = Pictures()
        self._deaf_to: set[str] = set()
        self._anew: set[str] = set()
        """The topics at which somebody asked for all that is retained."""
        self._anew_at = 0.0
        self._tick_at = 0.0
        self._close_by = 0.0
        self._dropped = self._lost = 0
        self._counts = DeliveryCounts()
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)

    # For everybody

    def start(self) -> None:
        """Open the outbox and the sink in the thread; returns at once."""
        for copy in self._copies:
            copy.open()
        self._retained.set(messages.status(self._topics, online=True))
        self._thread.start()

    def accept(self, event: Event, frame_jpeg: Callable[[], bytes] | None = None) -> None:
        """Take an event as an alert; returns at once. ``frame_jpeg`` makes the snapshot; it is called in the thread
        when there is time, and only for the newest alert of a camera."""
        if self._inbox.qsize() > _WAITING_EVENTS:
            self._lost += 1
            return
        self._inbox.put(partial(self._take, event, frame_jpeg))

    def publish(self, message: Message) -> None:
        """Best effort and at once, from any thread: dropped and counted when the connection does not take it."""
        if not self._sink.send(message):
            self._dropped += 1
        self._copy(message)

    def retain(self, message: Message) -> None:
        """Retained state: sent when it changed, and again on every connect. An empty payload takes it away."""
        if self._retained.set(message):
            self._inbox.put(_nothing)

    def withdraw(self, topic: str) -> None:
        """Take away what is retained there, unless something is told there now."""
        if self._retained.withdraw(topic):
            self._inbox.put(_nothing)

    def leaving(self) -> tuple[str, ...]:
        """The topics that are taken away, of which the broker has not yet said that it has done so."""
        return self._retained.leaving()

    def answer(self, message: Message) -> None:
        """An answer to a command: sent once, with its acknowledgement awaited like all others'."""
        self._copy(message)
        self._inbox.put(partial(self._departures.answer, message))

    def replay(self, since_seq: int, camera: str = "") -> None:
        """Offer again what nobody claimed, and what the outbox still holds from ``since_seq`` on, marked as
        replayed."""
        self._inbox.put(lambda: self._backlog.replay(camera, self._ledger.history(camera, since_seq)))

    @property
    def cameras(self) -> Collection[str] | None:
        """Those there are. Of one that is there again what is retained of its alerts is told again."""
        return self._cameras

    @cameras.setter
    def cameras(self, cameras: Collection[str]) -> None:
        before, self._cameras = self._cameras, cameras
        back = set() if before is None else set(cameras).difference(before)
        if back:
            self._inbox.put(partial(self._retain_alerts, back))

    @property
    def meter(self) -> AlertMeter | None:
        """Told how long each alert takes; None: nobody wants to know."""
        return self._ledger.meter

    @meter.setter
    def meter(self, meter: AlertMeter | None) -> None:
        self._ledger.meter = meter

    def snapshot(self) -> DeliveryCounts:
        return self._counts

    def close(self, timeout_s: float) -> None:
        """Deliver what can be delivered within ``timeout_s``, publish ``offline``, disconnect."""
        self._inbox.put(partial(self._begin_to_close, time.monotonic() + timeout_s))
        self._thread.join(timeout_s + 1.0)

    # What the sink tells, from its own thread

    def connected(self, window: int, session: int) -> None:
        self._inbox.put(partial(self._departures.start, window, session))

    def disconnected(self, reason: str) -> None:
        self._inbox.put(partial(self._departures.stop, reason))

    def denied(self, topic: str, reason: str) -> None:
        if topic not in self._deaf_to:  # else it was said
            self._deaf_to.add(topic)
            log.warning("%s", reason)

    def answered(self, token: int, verdict: Verdict, reason: str) -> None:
        if verdict == "taken":
            self._departures.note(token)
        self._inbox.put(partial(self._departures.answered, token, verdict, reason))

    def received(self, request: Request) -> None:
        self._inbox.put(partial(self._on_received, request))

    def _copy(self, message: Message) -> None:
        for copy in self._copies:
            copy.send(message)

    # The thread

    def _run(self) -> None:
        self._take_over()
        self._open(time.monotonic())
        self._sink.open(self)
        while not self._closed():
            self._guarded_turn()
        self._departures.say_goodbye(self._work_inbox)
        self._sink.close()
        self._commit(time.monotonic())
        self._outbox.close()
        self._copy(messages.status(self._topics, online=False))
        for copy in self._copies:
            copy.close()

    def _take_over(self) -> None:
        """Wait until the one before has let go of the outbox, however long its disk keeps it."""
        if self._before is not None:
            self._before._thread.join()
            self._before = None
            self._outbox.options, self._ledger.device = self._options, self._topics.device
            self._backlog.add(self._ledger.in_memory)  # for as long as the outbox cannot be opened

    def _guarded_turn(self) -> None:
        """The last line of defence: whatever goes wrong in a turn, the thread goes on."""
        try:
            self._turn()
        except Exception:
            log.exception("a mistake in the delivery; it goes on")
            time.sleep(_TICK_S / 10)

    def _turn(self) -> None:
        self._work_inbox(self._pictures.look_again_s or _TICK_S)
        now = time.monotonic()
        self._commit(now)
        if now >= self._tick_at:
            self._tick_at = now + _TICK_S
            self._tick(now)
        if self._anew and now >= self._anew_at:
            self._anew_at = now + _ANEW_S
            self._tell_anew(now)
        self._departures.fill(now)
        if self._inbox.empty():
            self._make_picture(now)
        self.progress += 1
        self._count()

    def _closed(self) -> bool:
        """Asked to close, and nothing more can be delivered in time."""
        if not self._close_by:
            return False
        idle = self._departures.idle and self._inbox.empty()
        return idle or time.monotonic() > self._close_by - GOODBYE_S

    def _work_inbox(self, wait_s: float) -> None:
        try:
            self._inbox.get(timeout=wait_s)()
            for _ in range(_BATCH):
                self._inbox.get_nowait()()
        except Empty:
            pass

    def _take(self, event: Event, frame_jpeg: Callable[[], bytes] | None) -> None:
        self._ledger.take(event)
        if frame_jpeg is not None:
            self._pictures.add(event.stamp.camera, frame_jpeg)

    def _commit(self, now: float) -> None:
        entries, evicted, gaps = self._ledger.commit(self._backlog.flying(), now)
        self._backlog.add(entries)
        if evicted or gaps:
            self._backlog.drop(lambda entry: entry.row in evicted or not (entry.row or entry.body))
        for camera in gaps:
            self._retained.set(messages.gaps(self._topics, camera, self._outbox.gaps.of(camera)))
        self._retain_last(dict(self._ledger.taken))
        for camera, body in self._ledger.taken if self._copies else ():
            self._copy(messages.alert(self._topics, camera, body, published=time.time(), replayed=False))
        self._ledger.taken.clear()

    def _open(self, now: float) -> None:
        """Read the outbox, at the start and after the disk failed it: what waits is offered from its beginning."""
        entries = self._ledger.open(now)
        if entries is None:
            return
        self._departures.forget_alerts()
        self._backlog.clear()
        self._backlog.add(entries)
        self._retain_alerts()

    def _is_there(self, camera: str) -> bool:
        return self._cameras is None or camera in self._cameras

    def _retain_alerts(self, cameras: Collection[str] | None = None) -> None:
        """The newest alerts and the gaps, as the outbox has them, of these cameras (None: of all)."""
        bodies = self._ledger.last_bodies()
        self._retain_last({name: bodies[name] for name in bodies if cameras is None or name in cameras})
        for camera in self._outbox.gaps.cameras():
            if self._is_there(camera) and (cameras is None or camera in cameras):
                self._retained.set(messages.gaps(self._topics, camera, self._outbox.gaps.of(camera)))

    def _retain_last(self, bodies: Mapping[str, bytes]) -> None:
        for camera, body in bodies.items():
            if self._is_there(camera):
                self._retained.set(messages.last_alert(self._topics, camera, body, published=time.time()))

    def _tick(self, now: float) -> None:
        if self._ledger.wants_opening(now):
            self._open(now)
        self._ledger.tick()
        self._departures.tick(now)

    def _on_received(self, request: Request) -> None:
        if request.topic == self._birth_topic:
            if request.payload == b"online":
                self._anew.add(request.topic)
        elif request.topic == self._topics.status:
            if request.payload != b"online" and not request.retained and not self._close_by:
                # The will of a connection that we gave up came after we were back; or it is empty, as a device that had
                # our name took away what it had told under it.
                self._anew.add(request.topic)
        elif self.commands.qsize() < _COMMANDS:
            self.commands.put(request)

    def _tell_anew(self, now: float) -> None:
        self._retained.all_again()
        if self._birth_topic in self._anew:
            self._backlog.hurry(now)
        self._anew.clear()

    def _make_picture(self, now: float) -> None:
        """One at a time."""
        made = self._pictures.make(now, hurry=bool(self._close_by))
        if made is not None:
            if self._is_there(made[0]):  # else its last one was taken away, or is about to be
                self._retained.set(messages.snapshot(self._topics, *made))
            self._departures.fill(time.monotonic())

    def _begin_to_close(self, close_by: float) -> None:
        self._close_by = close_by

    def _count(self) -> None:
        ledger, departures = self._ledger, self._departures
        self._counts = DeliveryCounts(
            depth=len(self._backlog),
            unclaimed=self._backlog.unclaimed,
            unsaved=ledger.unsaved,
            evicted=ledger.evicted,
            accepted=ledger.accepted,
            delivered=departures.delivered,
            refused=departures.refused,
            dropped=self._dropped,
            lost=self._lost,
            connects=departures.connects,
            quarantined=self._outbox.quarantined,
            connected=departures.connected,
            degraded=bool(ledger.trouble),
            error=departures.error,
            refusal=departures.refusal,
            outbox_error=ledger.trouble,
        )


def _nothing() -> None:
    """Wakes the thread."""
