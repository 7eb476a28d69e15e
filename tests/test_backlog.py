"""In which order alerts are offered, and that none is ever forgotten."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edgerun.outbox import Entry
from edgerun.runtime.delivery.backlog import EAGER_FOR_S, EAGER_PROBE_S, PROBE_S, Backlog

CAMERAS = ("porch", "yard")


class Conversation(RuleBasedStateMachine):
    """A broker that takes, refuses, finds nobody, and goes away, as it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.backlog = Backlog()
        self.now = 0.0
        self.token = 0
        self.seq = dict.fromkeys(CAMERAS, 0)
        self.open: dict[int, Entry] = {}
        self.delivered: list[tuple[str, int]] = []
        self.first_offers: dict[str, list[int]] = {camera: [] for camera in CAMERAS}
        self.refused = False

    @rule(camera=st.sampled_from(CAMERAS), count=st.integers(1, 4))
    def accept(self, camera: str, count: int) -> None:
        for _ in range(count):
            self.seq[camera] += 1
            self.backlog.add([Entry(camera, self.seq[camera], b"x")])

    @rule(count=st.integers(1, 6))
    def offer(self, count: int) -> None:
        for _ in range(count):
            entry = self.backlog.next(self.now)
            if entry is None:
                return
            if not entry.offered:
                self.first_offers[entry.camera].append(entry.seq)
            self.token += 1
            self.backlog.sent(self.token, entry)
            self.open[self.token] = entry

    @precondition(lambda self: self.open)
    @rule(verdict=st.sampled_from(["taken", "taken", "unclaimed", "refused", "oversized"]))
    def answer(self, verdict: str) -> None:
        """Brokers answer in the order of what they got."""
        token = next(iter(self.open))
        entry = self.open.pop(token)
        self.backlog.answered(entry.camera, token, verdict, self.now)  # type: ignore[arg-type]  # sampled_from's str
        if verdict == "taken":
            self.delivered.append((entry.camera, entry.seq))

    @rule()
    def lose_the_connection(self) -> None:
        self.open.clear()
        self.backlog.lost()

    @rule(seconds=st.floats(0.1, 100))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def hurry(self) -> None:
        self.backlog.hurry(self.now)

    @rule()
    def replay(self) -> None:
        self.backlog.replay("", [])

    @invariant()
    def nothing_is_forgotten(self) -> None:
        assert len(self.backlog) + len(self.delivered) == sum(self.seq.values())
        assert len(set(self.delivered)) == len(self.delivered)

    @invariant()
    def first_offers_are_in_order(self) -> None:
        for seqs in self.first_offers.values():
            assert seqs == sorted(seqs)

    def teardown(self) -> None:
        """With a broker that takes everything, all is delivered in the end."""
        self.lose_the_connection()
        for _ in range(2000):
            self.now += PROBE_S
            while (entry := self.backlog.next(self.now)) is not None:
                self.token += 1
                self.backlog.sent(self.token, entry)
                self.open[self.token] = entry
            if not self.open:
                break
            self.answer("taken")
        assert len(self.backlog) == 0


Conversation.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestConversation = Conversation.TestCase


def offered(backlog: Backlog, now: float, verdict: str | None) -> list[int]:
    """The seqs that are offered at a time, each answered at once (or not, with None)."""
    seqs = []
    while (entry := backlog.next(now)) is not None:
        seqs.append(entry.seq)
        token = 1000 * entry.seq + int(now)
        backlog.sent(token, entry)
        if verdict is not None:
            backlog.answered(entry.camera, token, verdict, now)  # type: ignore[arg-type]  # a Verdict
    return seqs


def backlog_of(count: int) -> Backlog:
    backlog = Backlog()
    backlog.add(Entry("porch", seq + 1, b"x") for seq in range(count))
    return backlog


def test_what_nobody_wanted_is_tried_by_its_oldest_and_follows_in_order() -> None:
    backlog = backlog_of(5)
    assert offered(backlog, 0.0, "unclaimed") == [1, 2, 1, 3, 1, 4, 1, 5]
    assert backlog.unclaimed == 5
    assert offered(backlog, PROBE_S - 1, "taken") == []
    assert offered(backlog, PROBE_S, "unclaimed") == [1]
    assert offered(backlog, 2 * PROBE_S, "taken") == [1, 2, 3, 4, 5]


def test_a_new_alert_waits_for_the_oldest_unclaimed_one() -> None:
    """So that a subscriber who came back gets all in order."""
    backlog = backlog_of(2)
    offered(backlog, 0.0, "unclaimed")
    backlog.add([Entry("porch", 3, b"x")])
    assert offered(backlog, 0.1, "taken") == [1, 2, 3]


def test_every_alert_is_offered_once_even_if_nobody_listens() -> None:
    """Each behind a look whether somebody came."""
    backlog = backlog_of(2)
    assert offered(backlog, 0.0, "unclaimed") == [1, 2]
    backlog.add([Entry("porch", 3, b"x"), Entry("porch", 4, b"x")])
    assert backlog.unclaimed == 4  # with what waits behind them
    assert offered(backlog, 0.1, "unclaimed") == [1, 3, 1, 4]
    assert offered(backlog, PROBE_S, "unclaimed") == []


def test_a_refused_alert_waits_at_the_head_and_others_behind_it() -> None:
    backlog = backlog_of(3)
    assert offered(backlog, 0.0, "refused") == [1]
    assert offered(backlog, 0.5, "taken") == []
    assert offered(backlog, 1.0, "taken") == [1, 2, 3]


def test_an_alert_that_is_too_large_holds_up_no_other_and_is_tried_again() -> None:
    """With the next connection, or when somebody asks: what the broker takes may have been raised."""
    backlog = backlog_of(3)
    assert offered(backlog, 0.0, "oversized") == [1, 2, 3]
    backlog.add([Entry("porch", 4, b"x")])
    assert offered(backlog, 100.0, "taken") == [4]
    assert len(backlog) == 3
    backlog.drop(lambda entry: entry.seq == 2)
    backlog.replay("porch", [])
    assert offered(backlog, 101.0, "oversized") == [1, 3]
    backlog.lost()
    assert offered(backlog, 102.0, "taken") == [1, 3]


def test_while_subscribers_may_be_about_to_return_new_alerts_wait_for_the_oldest_one() -> None:
    """After a restart of the broker they come back at any moment, also between two alerts."""
    backlog = backlog_of(4)
    backlog.lost()
    backlog.hurry(0.0)
    assert offered(backlog, 0.0, "unclaimed") == [1]
    backlog.add([Entry("porch", 5, b"x")])
    assert offered(backlog, 0.5, "taken") == []
    assert offered(backlog, EAGER_PROBE_S, "unclaimed") == [1]
    assert offered(backlog, 2 * EAGER_PROBE_S, "taken") == [1, 2, 3, 4, 5]


def test_where_nobody_returns_each_alert_is_offered_once_all_the_same() -> None:
    """Not every broker knows who listens."""
    backlog = backlog_of(3)
    backlog.hurry(0.0)
    assert offered(backlog, 0.0, "unclaimed") == [1]
    assert offered(backlog, EAGER_FOR_S, "unclaimed") == [2, 1, 3]


def test_alerts_go_one_by_one_until_somebody_is_known_to_listen() -> None:
    backlog = backlog_of(3)
    assert offered(backlog, 0.0, None) == [1]
    backlog.answered("porch", 1000, "taken", 0.0)
    assert offered(backlog, 0.0, None) == [2, 3]
    backlog.lost()
    assert offered(backlog, 0.0, None) == [2]


def test_one_camera_does_not_hold_up_another() -> None:
    backlog = backlog_of(1)
    offered(backlog, 0.0, "refused")
    backlog.add([Entry("yard", 1, b"x")])
    assert offered(backlog, 0.0, "taken") == [1]


def test_a_subscriber_about_to_come_is_looked_for_often() -> None:
    backlog = backlog_of(1)
    offered(backlog, 0.0, "unclaimed")
    backlog.hurry(0.0)
    assert offered(backlog, EAGER_PROBE_S, "taken") == [1]


def test_what_is_asked_for_again_and_again_is_queued_once() -> None:
    """Whether it waits, nobody wanted it, or it is on its way."""
    backlog = backlog_of(3)
    offered(backlog, 0.0, None)
    for _ in range(3):
        backlog.replay("porch", [Entry("porch", seq, b"x") for seq in (4, 2, 5, 3)])
        assert len(backlog) == 5
    backlog.lost()
    assert offered(backlog, 1.0, "taken") == [1, 2, 3, 4, 5]
