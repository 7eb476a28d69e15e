"""What is in flight: offers alerts and retained messages to the sink, never more at a time than it takes."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable

from edgerun import messages
from edgerun.errors import SinkError
from edgerun.outbox import Entry
from edgerun.records import dataclass
from edgerun.runtime.delivery.backlog import Backlog
from edgerun.runtime.delivery.ledger import Ledger
from edgerun.runtime.delivery.retained import Retained
from edgerun.stages import Sink, Verdict
from edgerun.topics import Topics
from edgerun.types import Message

log = logging.getLogger(__name__)

WINDOW = 16
"""Messages with QoS 1 in flight at the most; less where the broker says so."""
_DRAIN_S = 10.0
"""In about so long a backlog should be gone."""
_SMOOTHING = 1 / 8
GOODBYE_S = 0.7
_ANSWER_S = 10.0
"""An acknowledgement that takes longer means that the broker hangs."""
_STEADY_S = 10.0
"""A connection that lasts so long is one."""
_REFUSED_S = 60.0
"""Retained messages that the broker refused are said again after so long: it may have had no room."""


@dataclass(frozen=True, slots=True)
class _Flight:
    """Something with QoS 1 that is not acknowledged yet: an alert, or with no entry any other message."""

    entry: Entry | None
    message: Message
    since: float


class Departures:
    """Used by the delivery's thread alone. ``error`` says why there is no connection, or why none lasts."""

    def __init__(self, topics: Topics, sink: Sink, ledger: Ledger, backlog: Backlog, retained: Retained) -> None:
        self._topics = topics
        self._sink = sink
        self._ledger = ledger
        self._backlog = backlog
        self._retained = retained
        self._flights: dict[int, _Flight] = {}
        self._answers: deque[Message] = deque()
        """To commands; each is sent once, whether it arrives or not, as soon as the window has room."""
        self._refusals: set[tuple[str, str]] = set()
        self._refused: dict[str, Message] = {}
        """Retained ones, by topic."""
        self._refused_again_at = 0.0
        self._unwanted: dict[str, str] = {}
        """Where the newest alert was refused, or one is too large, and why, by topic."""
        self._token = 0
        self._window = 0
        self._session = 0
        self._round_trip_s = 0.0
        self.delivered = self.refused = self.connects = 0
        self.error = "not connected yet"
        self._since = 0.0
        self._brief = 0
        """Connections that broke one after the other, each of them soon."""

    @property
    def connected(self) -> bool:
        return self._window > 0

    @property
    def idle(self) -> bool:
        return not (self._flights or self._answers)

    @property
    def refusal(self) -> str:
        """Why alerts do not get through though there is a connection; empty: they do."""
        return next((_refusal(topic, reason) for topic, reason in self._unwanted.items()), "")

    def start(self, window: int, session: int) -> None:
        """A connection is up: whoever listens there may know nothing yet, or be about to come back as well."""
        self._window, self._session = min(window, WINDOW), session
        self.connects += 1
        self._since = time.monotonic()
        self._retained.all_again()
        self._backlog.hurry(self._since)
        if self._brief < 2:  # else once one lasts: devices with one name take it from each other for ever
            self._say_connected()

    def _say_connected(self) -> None:
        self.error = ""
        log.info("connected to the broker")

    def stop(self, reason: str) -> None:
        brief = self._window and time.monotonic() - self._since < _STEADY_S
        self._brief = self._brief + 1 if brief else 0
        self._window = 0
        self.error = reason
        self._flights.clear()
        self._answers.clear()
        self._refused.clear()
        self._unwanted.clear()
        self._backlog.lost()

    def tick(self, now: float) -> None:
        """A broker that does not answer gets a new connection."""
        if self._refused and now >= self._refused_again_at:
            for message in self._refused.values():
                self._retained.again(message)
            self._refused.clear()
        if self._window and self.error and now - self._since >= _STEADY_S:
            self._brief = 0
            self._say_connected()
        if self._window and any(now - flight.since > _ANSWER_S for flight in self._flights.values()):
            self._window = 0
            self.error = f"the broker has acknowledged nothing for {_ANSWER_S:g} s"
            self._sink.reconnect(self.error)

    def fill(self, now: float) -> None:
        """Put as much in flight as the window takes: alerts first, but a quarter of it is for retained messages, and
        somebody waits for answers."""
        while self._answers and len(self._flights) < self._window and self._offer(self._answers[0], None):
            self._answers.popleft()
        others = sum(flight.entry is None for flight in self._flights.values())
        share = max(max(1, self._window // 4) - others, 0)
        alerts = others + self._alerts_at_a_time()
        self._fill_with_alerts(now, min(self._window - share, alerts))
        while share > 0 and len(self._flights) < self._window:
            message = self._retained.take()
            if message is None or not self._offer_retained(message):
                break
            share -= message.qos
            alerts += message.qos
        self._fill_with_alerts(now, min(self._window, alerts))

    def _alerts_at_a_time(self) -> int:
        """What is unanswered when we are killed is sent twice, so the window is no wider than the backlog and the way
        to the broker and back call for."""
        return max(1, math.ceil(len(self._backlog) / _DRAIN_S * self._round_trip_s))

    def _fill_with_alerts(self, now: float, limit: int) -> None:
        while len(self._flights) < limit:
            if not self._offer_alert(now):
                return

    def _offer_retained(self, message: Message) -> bool:
        sent = self._offer(message, None)
        if not sent:
            self._retained.again(message)
        return sent

    def _offer_alert(self, now: float) -> bool:
        entry = self._backlog.next(now)
        if entry is None:
            return False
        try:
            body = self._ledger.body(entry)
        except SinkError:
            self._backlog.unsent(entry)
            return False
        if body is None:
            self._backlog.skipped(entry)
            return True
        wall = time.time()
        message = messages.alert(self._topics, entry.camera, body, published=wall, replayed=entry.offered)
        if self._offer(message, entry):
            return True
        self._backlog.unsent(entry)
        return False

    def _offer(self, message: Message, entry: Entry | None) -> bool:
        self._token += 1
        since = time.monotonic()  # the turn may have begun long ago, before a commit that the disk held up
        self._flights[self._token] = _Flight(entry, message, since)  # first, as the answer may be fast
        if not self._sink.offer(message, self._token, self._session):
            del self._flights[self._token]
            return False
        if entry is not None:
            self._backlog.sent(self._token, entry)
        return True

    def answer(self, message: Message) -> None:
        """Send it soon, or never where there is no connection."""
        if self._window:
            self._answers.append(message)

    def note(self, token: int) -> None:
        """The broker has taken it: make that known to the next run, should this one be killed now. Called from the
        sink's thread, ahead of ``answered``."""
        flight = self._flights.get(token)
        if flight is not None and flight.entry is not None:
            self._ledger.note(flight.entry)

    def answered(self, token: int, verdict: Verdict, reason: str) -> None:
        flight = self._flights.pop(token, None)
        if flight is None:
            return
        refused = verdict in ("refused", "oversized")
        if refused:
            self.refused += 1
            topic = flight.message.topic
            if flight.message.retain:
                if not self._refused:
                    self._refused_again_at = time.monotonic() + _REFUSED_S
                self._refused[topic] = flight.message
            if (topic, reason) not in self._refusals:
                self._refusals.add((topic, reason))
                log.error("%s", _refusal(topic, reason))
        else:
            self._retained.arrived(flight.message)
        if flight.entry is None:
            return
        now = time.monotonic()
        self._round_trip_s += (now - flight.since - self._round_trip_s) * _SMOOTHING
        self._backlog.answered(flight.entry.camera, token, verdict, now)
        if refused:
            self._unwanted[flight.message.topic] = reason
        elif not self._backlog.holds_oversized(flight.entry.camera):
            self._unwanted.pop(flight.message.topic, None)
        if verdict == "taken":
            self.delivered += 1
            self._ledger.settle(flight.entry)

    def forget_alerts(self) -> None:
        """The outbox was opened again: the alerts in flight will be offered anew, their answers mean nothing."""
        self._flights = {token: flight for token, flight in self._flights.items() if flight.entry is None}

    def say_goodbye(self, work_inbox: Callable[[float], None]) -> None:
        """Publish ``offline`` and see it acknowledged, so that the last will is not needed."""
        until = time.monotonic() + GOODBYE_S
        self._flights.clear()
        self._backlog.lost()
        if self._window:
            self._offer(messages.status(self._topics, online=False), None)
        while self._flights and (left := until - time.monotonic()) > 0:
            work_inbox(left)


def _refusal(topic: str, reason: str) -> str:
    return f"the broker does not take what is sent to {topic}: {reason}"
