"""Rows 4, 5, 7 and 8: a day without a broker, brokers that take little at a time, and nobody there to listen."""

from __future__ import annotations

import os
import signal
import time

from edgerun.runtime.health.memory import rss_mb
from faults.proxy import Proxy
from faults.row import Outcome, Row, Terms
from faults.sender import TOPICS, Sender
from tests.daemon_process import wait_for
from tests.servers.mosquitto import Mosquitto
from tests.subscriber import Subscriber

_DAY_S = 86_400.0


def _day_offline(terms: Terms) -> Outcome:
    count = terms.times(10_000, 1000)
    with (
        Mosquitto(terms.folder / "broker", persistent=True) as broker,
        Proxy(broker.port) as proxy,
        Subscriber(broker.port, topic="edgerun/+/+/alerts") as subscriber,
        Sender(terms.folder / "sender", proxy.port) as sender,
    ):
        proxy.let("refuse")
        sender.start(0, count, "--step-s", str(_DAY_S / count))
        wait_for(lambda: sender.counts.get("accepted", 0) > 20, 20, "the first alerts")
        before = rss_mb(sender.pid)
        sender.reached(300, accepted=count, depth=count)
        offline = rss_mb(sender.pid)
        proxy.let("pass")
        back = time.monotonic()
        sender.reached(300, depth=0)
        drained_s = time.monotonic() - back
        most = max(offline, rss_mb(sender.pid)) - before
        wait_for(lambda: len(subscriber.arrivals) >= count, 20, "everything")
        received = {(name, seq) for name, seqs in subscriber.by_camera().items() for seq in seqs}
        missing = len(sender.accepted - received) + count - len(sender.accepted)
    figure = (
        f"{missing} of {count} missing, drained in {drained_s:.1f} s, at most {proxy.most_unacknowledged} in flight, "
        f"RSS {most:+.1f} MB"
    )
    return Outcome(figure, not missing and drained_s <= 60 and proxy.most_unacknowledged <= 16 and most <= 10)


def _receive_maximum(terms: Terms) -> Outcome:
    settings = "allow_anonymous true\nmax_inflight_messages 5"
    count = terms.times(2000, 300)
    with (
        Mosquitto(terms.folder / "broker", settings=settings) as broker,
        Proxy(broker.port) as proxy,
        Subscriber(broker.port, topic="edgerun/+/+/alerts"),
        Sender(terms.folder / "sender", proxy.port) as sender,
    ):
        proxy.let("refuse")
        sender.start(0, count)
        sender.reached(120, accepted=count)
        proxy.let("pass")
        time.sleep(1)
        proxy.reset()
        sender.reached(120, depth=0)
    figure = f"at most {proxy.most_unacknowledged} unacknowledged, in {proxy.connections} connections"
    return Outcome(figure, proxy.most_unacknowledged <= 5)


def _nobody_listens(terms: Terms) -> Outcome:
    with (
        Mosquitto(terms.folder / "broker") as broker,
        Sender(terms.folder / "sender", broker.port) as sender,
    ):
        with Subscriber(broker.port, topic="edgerun/+/+/alerts", session_s=0) as subscriber:
            sender.start(10, 50)
            wait_for(lambda: len(subscriber.alerts()) >= 20, 20, "20 alerts")
        here = {alert["id"] for alert in subscriber.alerts()}
        sender.reached(20, accepted=50)
        wait_for(lambda: sender.counts["unclaimed"] == sender.counts["depth"] > 0, 10, "unclaimed")
        with Subscriber(broker.port, topic="edgerun/+/+/alerts", session_s=0) as returned:
            back = time.monotonic()
            wait_for(lambda: len(here | {a["id"] for a in returned.alerts()}) >= 50, 30, "what was missed")
            took_s = time.monotonic() - back
            got = len({a["id"] for a in returned.alerts()} - here)
    return Outcome(f"{got} of {50 - len(here)} replayed, {took_s:.1f} s after the return", got == 50 - len(here))


def _refused(terms: Terms) -> Outcome:
    rules = terms.folder / "acl"
    rules.write_text(f"topic readwrite {TOPICS.base}/#\ntopic deny {TOPICS.alerts('porch')}\n")
    settings = f"allow_anonymous true\nacl_file {rules}"
    with (
        Mosquitto(terms.folder / "broker", settings=settings) as broker,
        Sender(terms.folder / "sender", broker.port) as sender,
    ):
        began = time.monotonic()
        sender.start(0, 1)
        wait_for(lambda: sender.counts.get("accepted"), 10, "accepted")
        accepted = time.monotonic()
        wait_for(lambda: sender.counts["refused"] and any("does not take" in line for line in sender.lines), 10, "told")
        told_s = time.monotonic() - accepted
        time.sleep(terms.times(20, 3))
        kept = sender.counts["depth"]
        rules.write_text("topic readwrite edgerun/#\n")
        os.kill(broker.pid, signal.SIGHUP)
        with Subscriber(broker.port, topic="edgerun/+/+/alerts") as subscriber:
            wait_for(lambda: subscriber.alerts(), 90, "the alert, once it is allowed")
    figure = f"kept {kept} of 1 for {time.monotonic() - began:.0f} s, told after {told_s:.1f} s, delivered once allowed"
    return Outcome(figure, kept == 1 and told_s <= 1)


ROWS = [
    Row(4, "a day offline, 10,000 alerts", "0 missing, <= 60 s, <= 16 in flight, RSS <= +10 MB", _day_offline),
    Row(5, "a broker with Receive Maximum 5", "never more than 5 unacknowledged", _receive_maximum),
    Row(7, "nobody listens for 30 alerts", "all replayed", _nobody_listens),
    Row(8, "the broker refuses alerts", "never deleted, told within 1 s", _refused),
]
