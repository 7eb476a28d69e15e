"""Rows 9 and 10: the outbox at its cap, a full disk, torn logs and damaged files."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from edgerun.outbox import Outbox, OutboxOptions
from faults.row import Outcome, Row, Terms
from faults.sender import CAMERAS, Sender
from tests.daemon_process import DaemonProcess, wait_for
from tests.outages import camera, clip
from tests.servers.mosquitto import Mosquitto, free_port
from tests.subscriber import Subscriber


def _cap(terms: Terms) -> tuple[str, bool]:
    """A megabyte of outbox, several of alerts, and nobody who takes them."""
    count = terms.times(10_000, 5000)
    with Mosquitto(terms.folder / "cap-broker") as broker:
        with Sender(terms.folder / "cap", free_port()) as sender:
            sender.start(0, count, "--max-mb", "1")
            sender.reached(300, accepted=count)
            sender.stop()
        with (
            Subscriber(broker.port) as subscriber,
            Sender(terms.folder / "cap", broker.port) as sender,
        ):
            sender.start(0, 0, "--max-mb", "1")
            wait_for(lambda: sender.counts.get("connected") and sender.counts["depth"] == 0, 120, "drained")
            wait_for(lambda: len(subscriber.on("/alerts/gaps")) >= len(CAMERAS), 10, "the gap records")
            received = subscriber.by_camera()
            wrong = 0
            for name in CAMERAS:
                record = json.loads(subscriber.on(f"/{name}/alerts/gaps")[-1].payload)["gaps"]
                lost = {seq for gap in record for seq in range(gap["first"], gap["last"] + 1)}
                told = sum(gap["count"] for gap in record)
                expected = {*range(1, count // len(CAMERAS) + 1)} - {*received[name]}
                wrong += len(lost ^ expected) + abs(told - len(expected))
            kept = sum(map(len, received.values()))
    return f"cap: {count - kept} of {count} gave way, gap records wrong by {wrong}", not wrong and kept < count


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "edgerun-faults", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _full_disk(terms: Terms) -> tuple[str, bool | None]:
    if os.geteuid() != 0:
        return "full disk: not played, it needs root", None
    full_s = terms.times(600, 20)
    with (
        Mosquitto(terms.folder / "broker", persistent=True) as broker,
        _small_disk(terms.folder / "disk") as disk,
        Subscriber(broker.port) as subscriber,
        DaemonProcess(
            terms.folder / "daemon",
            {
                "device": "pi",
                "state_dir": str(disk),
                "mqtt": {"host": "127.0.0.1", "port": broker.port},
                "cameras": {"gate": camera(clip())},
            },
        ) as daemon,
    ):
        daemon.ready()
        subscriber.wait("/gate/alerts", 30)
        normal = _fps(subscriber, terms.times(60, 10))
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as out, contextlib.suppress(OSError):
            while True:
                out.write(bytes(4096))
        began = time.monotonic()
        degraded_s = _seconds_until(daemon, degraded=True, limit_s=full_s)
        during = _fps(subscriber, full_s - (time.monotonic() - began))
        came = len([found for found in subscriber.on("/gate/alerts") if found.at > began])
        filler.unlink()
        restored_s = _seconds_until(daemon, degraded=False, limit_s=60)
        subscriber.wait("/gate/alerts", 30, time.monotonic())
        status = daemon.stop()
        time.sleep(1)
        seqs = subscriber.by_camera()["gate"]
    holes = max(seqs) - len(seqs)
    share = during / normal
    words = "never degraded" if degraded_s is None else f"degraded told after {degraded_s:.1f} s"
    figure = (
        f"disk full for {full_s} s: {words}, {share:.0%} of normal fps, {came} alerts came meanwhile, {holes} holes, "
        f"well {restored_s or 0:.1f} s after, status {status}"
    )
    return figure, status == 0 and share >= 0.95 and not holes and restored_s is not None


def _fps(subscriber: Subscriber, seconds: float) -> float:
    before = len(subscriber.on("/gate/detections"))
    time.sleep(max(1.0, seconds))
    return (len(subscriber.on("/gate/detections")) - before) / max(1.0, seconds)


def _seconds_until(daemon: DaemonProcess, *, degraded: bool, limit_s: float) -> float | None:
    began = time.monotonic()
    while time.monotonic() - began < limit_s:
        if daemon.health()["outbox"]["degraded"] is degraded:
            return time.monotonic() - began
        time.sleep(0.1)
    return None


def _room(terms: Terms) -> Outcome:
    cap, exact = _cap(terms)
    disk, survived = _full_disk(terms)
    return Outcome(f"{cap}; {disk}", exact and survived is not False)


def _crashed(terms: Terms, folder: Path) -> tuple[list[tuple[str, int]], set[tuple[str, int]]]:
    """An outbox as a kill leaves it, its log not yet taken over: what it accepted in order, and what was delivered."""
    with (
        Mosquitto(terms.folder / "broker", persistent=True) as broker,
        Subscriber(broker.port, topic="edgerun/+/+/alerts") as subscriber,
        Sender(folder, broker.port) as sender,
    ):
        sender.start(300, 10**9, "--ahead", "0")  # of a commit that is torn any part may be seen, not its first alerts
        wait_for(lambda: len(subscriber.alerts()) > 300, 30, "alerts")
        broker.stop()
        seen = len(sender.accepted)
        wait_for(lambda: len(sender.accepted) > seen + 300, 30, "alerts that wait")
        sender.kill()
        broker.start()  # which may have acknowledged some that had not come to the subscriber
        with Subscriber(broker.port, topic="none", name="marker", session_s=0) as another:
            marker = {"id": "marker", "camera": "marker", "seq": 0}
            another.publish("edgerun/marker/marker/alerts", json.dumps(marker).encode())
        wait_for(lambda: "marker" in subscriber.by_camera(), 30, "what the broker still had")
        delivered = {(name, seq) for name, seqs in subscriber.by_camera().items() for seq in seqs}
    half = (max(seq for _, seq in sender.accepted)) + 1
    order = [(name, seq) for seq in range(1, half) for name in CAMERAS if (name, seq) in sender.accepted]
    return order, delivered


def _damages(terms: Terms) -> Outcome:
    """Each copy is damaged in its own way and opened: at once, and with what it can still have."""
    origin = terms.folder / "origin"
    order, delivered = _crashed(terms, origin)
    logging.getLogger("edgerun.outbox").setLevel(logging.CRITICAL)
    tears, damages = terms.times(200, 20), terms.times(60, 8)
    starts = slow = gaps = quarantined = 0
    worst_s = 0.0
    for n in range(tears + damages):
        copy = Path(shutil.copytree(origin, terms.folder / f"copy-{n}"))
        if n < tears:
            _tear(terms, copy / "outbox.db-wal")
        else:
            _damage(terms, copy / "outbox.db")
        began = time.monotonic()
        outbox = Outbox(copy / "outbox.db", OutboxOptions())
        waiting = {(entry.camera, entry.seq) for entry in outbox.open()}
        took_s = time.monotonic() - began
        starts += 1
        slow += took_s > 5
        worst_s = max(worst_s, took_s)
        quarantined += outbox.quarantined
        told = {(name, s) for name in CAMERAS for gap in outbox.gaps.of(name) for s in range(gap.first, gap.last + 1)}
        if n < tears:
            gaps += not _is_prefix(order, delivered, waiting | told)
        outbox.seqs.next("porch")
        outbox.close()
        shutil.rmtree(copy)
    figure = (
        f"{starts} of {tears + damages} started, at most {worst_s:.2f} s; {gaps} torn logs without their accepted "
        f"prefix; {quarantined} files set aside"
    )
    return Outcome(figure, starts == tears + damages and not slow and not gaps)


def _tear(terms: Terms, wal: Path) -> None:
    """The log ends anywhere, or in garbage."""
    content = bytearray(wal.read_bytes())
    at = terms.chance.randrange(len(content))
    rest = b"" if terms.chance.random() < 0.5 else terms.chance.randbytes(len(content) - at)
    wal.write_bytes(bytes(content[:at]) + rest)


def _damage(terms: Terms, database: Path) -> None:
    content = bytearray(database.read_bytes())
    for _ in range(terms.chance.randrange(1, 8)):
        at = terms.chance.randrange(len(content))
        garbage = terms.chance.randbytes(terms.chance.choice([1, 16, 512, 4096]))
        content[at : at + len(garbage)] = garbage
    database.write_bytes(content[: terms.chance.randrange(100, len(content) + 1)])


def _is_prefix(order: list[tuple[str, int]], delivered: set[tuple[str, int]], known: set[tuple[str, int]]) -> bool:
    """What is known again, with what was delivered, is all that was accepted up to some moment."""
    known = known | delivered
    there = [alert in known for alert in order]
    end = len(there) - there[::-1].index(True) if any(there) else 0
    return all(there[:end])


ROWS = [
    Row(9, "the outbox at its cap; a full disk", "no exit, >= 95 % of fps, exact gap record", _room),
    Row(10, "200 torn logs, 60 damaged files", "all start <= 5 s, accepted prefix kept", _damages),
]
