"""Rows 1 to 3: kill -9 in a burst of alerts, and the broker's end on top."""

from __future__ import annotations

import time

from faults.row import Outcome, Row, Terms
from faults.sender import Sender
from tests.daemon_process import wait_for
from tests.servers.mosquitto import Mosquitto
from tests.subscriber import Subscriber

_PER_SECOND = 150.0
_LOST_BY_BROKER = 0.001


def _play(terms: Terms, kills: int, broker_ends: int, *, hard: bool) -> Outcome:
    ends = set(terms.chance.sample(range(kills), broker_ends))
    with (
        Mosquitto(terms.folder / "broker", persistent=True) as broker,
        Subscriber(broker.port, topic="edgerun/+/+/alerts") as subscriber,
        Sender(terms.folder / "sender", broker.port) as sender,
    ):
        for kill in range(kills):
            sender.start(_PER_SECOND)
            _burst(terms, subscriber)
            if kill in ends:
                broker.kill() if hard else broker.stop()
                time.sleep(terms.chance.uniform(0.0, 1.0))
                broker.start()
                _burst(terms, subscriber)
            sender.kill()
        sender.start(0, 2)
        sender.reached(60, accepted=2, depth=0)
        until = time.monotonic() + 10
        while (missing := _missing(sender, subscriber)) and time.monotonic() < until:
            time.sleep(0.1)
        return _outcome(sender, subscriber, missing, 1.0 if broker_ends else 0.01, hard)


def _burst(terms: Terms, subscriber: Subscriber) -> None:
    """Until some more alerts have arrived."""
    goal = len(subscriber.arrivals) + terms.chance.randrange(50, 250)
    wait_for(lambda: len(subscriber.arrivals) >= goal, 60, "alerts arrive")


def _missing(sender: Sender, subscriber: Subscriber) -> int:
    received = {(name, seq) for name, seqs in subscriber.by_camera().items() for seq in seqs}
    return len(sender.accepted - received)


def _outcome(sender: Sender, subscriber: Subscriber, missing: int, repeats: float, hard: bool) -> Outcome:
    """A broker that is killed may lose what it acknowledged and had not saved, and give what it had saved after what
    came since: then the rate is the figure."""
    seqs = subscriber.by_camera()
    total, unique = len(subscriber.arrivals), sum(map(len, seqs.values()))
    ordered = all(found == sorted(found) for found in seqs.values())
    holes = sum(max(found) - len(found) for found in seqs.values())
    figure = (
        f"{missing} of {len(sender.accepted)} missing ({missing / len(sender.accepted):.3%}), {holes} holes, "
        f"{total - unique} repeats ({(total - unique) / total:.2%}), order {'kept' if ordered else 'broken'}"
    )
    if hard:
        return Outcome(figure, missing <= _LOST_BY_BROKER * len(sender.accepted))
    return Outcome(figure, missing == holes == 0 and ordered and total - unique <= repeats * total)


ROWS = [
    Row(
        1,
        "kill -9 in a burst of alerts",
        "0 missing, repeats <= 1 %",
        lambda terms: _play(terms, terms.times(50, 5), 0, hard=False),
    ),
    Row(
        2,
        "and the broker stopped among them",
        "0 missing, order per camera kept",
        lambda terms: _play(terms, terms.times(50, 5), terms.times(10, 2), hard=False),
    ),
    Row(
        3,
        "and the broker killed (autosave_on_changes)",
        "0 missing, else the rate is told: <= 0.1 %",
        lambda terms: _play(terms, terms.times(20, 3), terms.times(20, 3), hard=True),
    ),
]
