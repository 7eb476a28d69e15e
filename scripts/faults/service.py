"""Rows 16 and 17: what the service manager is told, and reloads without end."""

from __future__ import annotations

import itertools
import json
import signal
import time
from typing import Any

from edgerun.runtime.health.memory import rss_mb
from faults.row import Outcome, Row, Terms
from tests.daemon_process import DaemonProcess, wait_for
from tests.outages import accepted, camera, clip
from tests.servers import RtspServer, has_rtsp_server
from tests.servers.mosquitto import Mosquitto
from tests.subscriber import Subscriber


def _config(port: int, **cameras: Any) -> dict[str, Any]:
    mqtt = {"host": "127.0.0.1", "port": port}
    return {"device": "pi", "mqtt": mqtt, "log": {"level": "debug"}, "cameras": cameras}


def _told_the_truth(terms: Terms) -> Outcome:
    if not has_rtsp_server():
        return Outcome("not played: GStreamer's RTSP server is not there", None)
    server = RtspServer()
    server.start()
    server.stop()
    source = camera({"type": "rtsp", "url": server.url})
    with DaemonProcess(terms.folder / "a", _config(1, gate=source)) as daemon:
        daemon.start()
        wait_for(lambda: daemon.said("camera gate is offline"), 20, daemon.log)
        time.sleep(terms.times(30, 5))
        early = bool(daemon.noted("READY=1"))
        with server:
            wait_for(lambda: daemon.noted("READY=1"), 40, daemon.log)
            first = wait_for(lambda: daemon.said("looking: first frame"), 5, daemon.log)
            time.sleep(terms.times(60, 5))
            asked = time.monotonic()
            status = daemon.stop()
            stop_s = time.monotonic() - asked
        pings = daemon.noted("WATCHDOG=1")
        gap_s = max(b - a for a, b in itertools.pairwise(pings))
        stopping = bool(daemon.noted("STOPPING=1"))
    with DaemonProcess(terms.folder / "b", _config(1, gate=camera(clip())), program="tests.faulty_daemon") as daemon:
        daemon.environ["FAULT"] = "deadlock in delivery"
        daemon.ready()
        daemon.signal(signal.SIGUSR1)
        deadlocked = time.monotonic()
        wait_for(lambda: daemon.health()["stuck"], 40, daemon.log)
        time.sleep(3)
        silence_s = daemon.noted("WATCHDOG=1")[-1] - deadlocked
    figure = (
        f"READY {'early' if early or not first else 'after the first inferred frame'}; at most {gap_s:.1f} s between "
        f"pings; SIGTERM: status {status} after {stop_s:.1f} s; last ping {silence_s:.1f} s after a deadlock"
    )
    passed = not early and bool(first) and gap_s <= 15 and status == 0 and stop_s <= 5 and silence_s <= 30 and stopping
    return Outcome(figure, passed)


_INVALID = ("{]", "tpyo: 1\n", "device: [", '{"cameras": {}}')


def _reloads(terms: Terms) -> Outcome:
    times = terms.times(100, 5)
    with (
        Mosquitto(terms.folder / "broker", persistent=True) as broker,
        Subscriber(broker.port) as subscriber,
        DaemonProcess(terms.folder / "daemon", _config(broker.port, a=camera(clip()), b=camera(clip()))) as daemon,
    ):
        daemon.ready()
        _reload(daemon, _config(broker.port, a=camera(clip()), b=camera(clip(), fps=4)))
        before = daemon.descriptors(), len(daemon.threads())
        rss = rss_mb(daemon.pid)
        errors = 0
        for turn in range(times):
            _reload(daemon, terms.chance.choice(_INVALID))
            wait_for(lambda: daemon.health()["reload_error"], 5, "the error in the state")
            errors += 1
            _reload(daemon, _config(broker.port, a=camera(clip()), b=camera(clip(), fps=4 + turn % 3)))
        wait_for(lambda: daemon.said("reloaded; cameras started again") >= times + 1, 10, daemon.log)
        time.sleep(2)
        after = daemon.descriptors(), len(daemon.threads())
        grown = rss_mb(daemon.pid) - rss
        status = daemon.stop()
        known = accepted(daemon.log())
        missing = known - _received(subscriber)
        if missing:
            time.sleep(5)
            missing = known - _received(subscriber)
        holes = sum(max(seqs) - len(seqs) for seqs in subscriber.by_camera().values())
        undisturbed = subscriber.states("a") == ["offline", "ok"]
    figure = (
        f"{times} valid and {times} invalid: {len(missing)} of {len(known)} alerts missing, {holes} holes; "
        f"{errors} invalid ones told in the state; descriptors {before[0]} -> {after[0]}, "
        f"threads {before[1]} -> {after[1]}, RSS {grown:+.1f} MB; "
        f"the unchanged camera was {'left alone' if undisturbed else 'DISTURBED'}"
    )
    flat = after[0] <= before[0] and after[1] <= before[1]
    return Outcome(figure, flat and not missing and not holes and errors == times and undisturbed and status == 0)


def _received(subscriber: Subscriber) -> set[tuple[str, int]]:
    return {(name, seq) for name, seqs in subscriber.by_camera().items() for seq in seqs}


def _reload(daemon: DaemonProcess, wanted: dict[str, Any] | str) -> None:
    daemon.config.write_text(wanted if isinstance(wanted, str) else json.dumps(wanted))
    before = len(daemon.notes)
    daemon.signal(signal.SIGHUP)
    wait_for(lambda: "READY=1" in str(daemon.notes[before:]), 30, daemon.log)


ROWS = [
    Row(
        16,
        "what the service manager is told",
        "READY after inference, gap <= 15 s, SIGTERM <= 5 s, deadlock stops pings <= 30 s",
        _told_the_truth,
    ),
    Row(
        17,
        "SIGHUP 100 times valid, 100 times invalid",
        "0 alerts lost, config kept, descriptors and threads flat",
        _reloads,
    ),
]
