"""How much is in flight: enough for the way to the broker and back, and no more than a kill may repeat."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from edgerun.outbox import Entry
from edgerun.runtime.delivery.backlog import Backlog
from edgerun.runtime.delivery.departures import Departures
from edgerun.runtime.delivery.retained import Retained
from edgerun.stages import Verdict
from edgerun.topics import Topics
from edgerun.types import Message


class Desk:
    """A sink that takes everything and answers when it is told to, and a ledger that has a text for everything."""

    def __init__(self) -> None:
        self.unanswered: list[int] = []
        self.offered: list[Message] = []
        self.given_up: list[str] = []

    def offer(self, message: Message, token: int, session: int) -> bool:
        self.unanswered.append(token)
        self.offered.append(message)
        return True

    def send(self, message: Message) -> bool:
        self.offered.append(message)
        return True

    def reconnect(self, reason: str) -> None:
        self.given_up.append(reason)

    def body(self, entry: Entry) -> bytes:
        return b'{"seq":%d' % entry.seq

    def settle(self, entry: Entry) -> None: ...


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic seconds of the departures' clock, which only the test sets."""
    now = [100.0]
    clock = SimpleNamespace(monotonic=lambda: now[0], time=lambda: 1.7e9)
    monkeypatch.setattr("edgerun.runtime.delivery.departures.time", clock)
    return now


@pytest.mark.parametrize(("round_trip_s", "fewest", "most"), [(0.001, 1, 1), (0.04, 7, 9), (1.0, 12, 16)])
def test_a_backlog_widens_the_window_as_far_as_the_way_calls_for(
    round_trip_s: float, fewest: int, most: int, now: list[float]
) -> None:
    """And with nothing behind it, it is as narrow as ever."""
    desk: Any = Desk()
    backlog = Backlog()
    departures = Departures(Topics("edgerun", "pi"), desk, desk, backlog, Retained())
    departures.start(65535, 1)
    backlog.add(Entry("porch", seq, b"") for seq in range(1, 2000))
    widest = 0
    while len(backlog):
        departures.fill(now[0])
        widest = max(widest, len(desk.unanswered))
        if len(backlog) <= 4:
            assert len(desk.unanswered) <= 1
        now[0] += round_trip_s
        answered, desk.unanswered = desk.unanswered, []
        for token in answered:
            departures.answered(token, "taken", "")
    assert fewest <= widest <= most


@pytest.mark.parametrize(("window", "quarter"), [(1, 1), (2, 1), (8, 2), (16, 4)])
def test_no_more_is_in_flight_than_the_broker_takes_and_of_what_is_retained_a_quarter(
    window: int, quarter: int
) -> None:
    """With more it would end the connection, and all would begin anew. Alerts and retained messages both go on."""
    desk: Any = Desk()
    backlog, retained = Backlog(), Retained()
    departures = Departures(Topics("edgerun", "pi"), desk, desk, backlog, retained)
    backlog.add(Entry("porch", seq, b"") for seq in range(1, 31))
    for number in range(30):
        retained.set(Message(f"edgerun/pi/porch/path/thing-{number}", b"1", 1, True))
    departures.start(window, 1)
    departures.fill(0.0)
    assert sum(message.retain for message in desk.offered) == quarter
    for _ in range(100):
        before = len(desk.offered) - len(desk.unanswered)
        departures.fill(0.0)
        assert len(desk.unanswered) <= window
        assert sum(message.retain for message in desk.offered[before:]) <= quarter
        if desk.unanswered:
            departures.answered(desk.unanswered.pop(0), "taken", "")
    assert (len(desk.offered), len(backlog), departures.idle) == (60, 0, True)


def test_a_disk_that_stalls_is_not_laid_to_the_broker(now: list[float]) -> None:
    """A commit may take half a minute; what is sent after it has waited for nobody yet."""
    desk: Any = Desk()
    backlog = Backlog()
    departures = Departures(Topics("edgerun", "pi"), desk, desk, backlog, Retained())
    departures.start(65535, 1)
    backlog.add([Entry("porch", 1, b"")])
    turn_began = now[0]
    now[0] += 25
    departures.fill(turn_began)
    departures.tick(now[0])
    assert (len(desk.unanswered), desk.given_up) == (1, [])
    now[0] += 11
    departures.tick(now[0])
    assert len(desk.given_up) == 1


@pytest.mark.parametrize("verdict", ["taken", "unclaimed"])
def test_a_topic_is_taken_away_until_the_broker_says_so(verdict: Verdict) -> None:
    """What was on its way when the connection went is said again; once it was acknowledged, never more."""
    desk: Any = Desk()
    retained = Retained()
    departures = Departures(Topics("edgerun", "pi"), desk, desk, Backlog(), retained)
    gone, kept = Message("edgerun/pi/yard/state", b"", 1, True), Message("edgerun/pi/porch/state", b"{}", 1, True)
    retained.set(gone)
    retained.set(kept)

    def session(answer: Verdict | None) -> list[Message]:
        desk.offered.clear()
        departures.start(65535, 1)
        for _ in range(4):
            departures.fill(0.0)
            answered, desk.unanswered = desk.unanswered, []
            for token in answered:
                if answer is not None:
                    departures.answered(token, answer, "")
        departures.stop("lost")
        return list(desk.offered)

    assert {message.topic for message in [*session(None), *session(None)]} == {gone.topic, kept.topic}
    assert session("refused") == [gone, kept]
    assert session(verdict) == [gone, kept]
    assert session(verdict) == [kept]


def test_what_the_broker_refuses_to_retain_is_said_again_after_a_while(now: list[float]) -> None:
    """As it is then: a broker may have had no room, and a count may stay the same for hours."""
    desk: Any = Desk()
    retained = Retained()
    departures = Departures(Topics("edgerun", "pi"), desk, desk, Backlog(), retained)
    departures.start(65535, 1)
    first, second = (Message("edgerun/pi/porch/path/person", payload, 1, True) for payload in (b"1", b"2"))

    def offered(verdict: Verdict) -> list[Message]:
        desk.offered.clear()
        departures.tick(now[0])
        departures.fill(now[0])
        answered, desk.unanswered = desk.unanswered, []
        for token in answered:
            departures.answered(token, verdict, "Quota exceeded")
        return list(desk.offered)

    retained.set(first)
    assert offered("refused") == [first]
    assert offered("refused") == []
    now[0] += 61
    assert offered("refused") == [first]
    retained.set(second)
    assert offered("refused") == [second]
    now[0] += 61
    assert offered("taken") == [second]
    now[0] += 61
    assert offered("taken") == []


def test_a_topic_that_is_set_again_is_not_forgotten_for_its_removal() -> None:
    """The answers to what was said before come late."""
    retained = Retained()
    messages = [Message("edgerun/pi/yard/state", payload, 1, True) for payload in (b"", b"{}", b"")]
    for message in messages:
        retained.set(message)
        assert retained.take() is message
    retained.arrived(messages[0])
    retained.arrived(messages[1])
    retained.all_again()
    assert retained.take() is messages[2]
    retained.arrived(messages[2])
    retained.all_again()
    assert retained.take() is None


def test_connections_that_break_again_and_again_are_not_told_as_news(
    now: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """Two devices with one name take the connection from each other every few seconds, for ever: what is wrong stays
    said, to whoever asks as well, until a connection lasts."""
    caplog.set_level("INFO")
    desk: Any = Desk()
    departures = Departures(Topics("edgerun", "pi"), desk, desk, Backlog(), Retained())
    for session in range(1, 20):
        departures.start(65535, session)
        assert departures.connected
        assert departures.error == ("" if session < 3 else "another client has that id")
        now[0] += 3
        departures.tick(now[0])
        departures.stop("another client has that id")
    assert caplog.text.count("connected to the broker") == 2
    departures.start(65535, 20)
    for _ in range(20):
        now[0] += 1
        departures.tick(now[0])
    assert departures.error == ""
    assert caplog.text.count("connected to the broker") == 3
    departures.stop("lost")
    departures.start(65535, 21)
    assert departures.error == ""
    assert caplog.text.count("connected to the broker") == 4


def test_a_broker_that_is_back_counts_as_connected_at_once(now: list[float]) -> None:
    """However often it broke before it went away for a while."""
    desk: Any = Desk()
    departures = Departures(Topics("edgerun", "pi"), desk, desk, Backlog(), Retained())
    for session in range(1, 4):
        departures.start(65535, session)
        departures.stop("lost")
    departures.stop("nothing listens there")
    departures.start(65535, 4)
    assert departures.error == ""
