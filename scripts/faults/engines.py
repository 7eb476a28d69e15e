"""Row 15: the engine's process hangs or dies; a picture is worth waiting a few seconds for, the daemon stays."""

from __future__ import annotations

import os
import signal
import time
from datetime import datetime

from faults.row import Outcome, Row, Terms
from tests.daemon_process import DaemonProcess, wait_for
from tests.outages import camera, clip
from tests.servers.mosquitto import Mosquitto
from tests.subscriber import Subscriber

_FAULTS = {"hang": signal.SIGSTOP, "SIGSEGV": signal.SIGSEGV, "SIGFPE": signal.SIGFPE}


def _recovery_s(subscriber: Subscriber, daemon: DaemonProcess, fault: signal.Signals) -> float:
    """Seconds until a frame that was captured after the fault has been through an engine."""
    child = daemon.engine()
    began, wall = time.monotonic(), time.time()
    os.kill(child, fault)

    def inferred() -> float:
        for found in subscriber.on("/detections", began):
            captured = datetime.fromisoformat(found.json["captured"].replace("Z", "+00:00")).timestamp()
            if captured > wall and found.json["inference_ms"] is not None:
                return found.at
        return 0.0

    return wait_for(inferred, 60, daemon.log) - began


def _play(terms: Terms) -> Outcome:
    times = terms.times(20, 2)
    with (
        Mosquitto(terms.folder / "broker") as broker,
        Subscriber(broker.port, topic="edgerun/+/+/detections") as subscriber,
        DaemonProcess(
            terms.folder / "daemon",
            {
                "device": "pi",
                "mqtt": {"host": "127.0.0.1", "port": broker.port},
                "cameras": {"gate": camera(clip(), motion={"enabled": False})},
            },
        ) as daemon,
    ):
        daemon.ready()
        pid = daemon.pid
        worst = {}
        for name, number in _FAULTS.items():
            took = []
            for _ in range(times):
                time.sleep(terms.chance.uniform(0.2, 1.0))
                took.append(_recovery_s(subscriber, daemon, number))
            worst[name] = max(took)
        same = daemon.process.poll() is None and daemon.pid == pid
        reason = daemon.health()["workers"][0]
        status = daemon.stop()
    figure = ", ".join(f"{name} x{times}: at most {took:.1f} s" for name, took in worst.items())
    figure += f"; {reason['restarts']} restarts, daemon's pid {'unchanged' if same else 'changed'}"
    return Outcome(figure, same and status == 0 and max(worst.values()) <= 10)


ROWS = [
    Row(
        15,
        "the engine hangs, SIGSEGV, SIGFPE, 20 times each",
        "recovered <= 10 s each, the daemon's pid unchanged",
        _play,
    )
]
