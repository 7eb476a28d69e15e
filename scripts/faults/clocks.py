"""Row 13: the wall clock jumps by a day, forwards and back, as it does when the network comes late."""

from __future__ import annotations

import itertools
import signal
import time

from faults.row import Outcome, Row, Terms
from tests.daemon_process import DaemonProcess, wait_for
from tests.outages import camera, clip
from tests.servers.mosquitto import Mosquitto
from tests.subscriber import Subscriber

_COOLDOWN_S = 5.0
_RULE = {"name": "visitor", "when": "enter", "zone": "path", "labels": ["person"], "cooldown_s": _COOLDOWN_S}


def _play(terms: Terms) -> Outcome:
    calm_s = terms.times(90, 30)
    with (
        Mosquitto(terms.folder / "broker") as broker,
        Subscriber(broker.port) as subscriber,
        DaemonProcess(
            terms.folder / "daemon",
            {
                "device": "pi",
                "mqtt": {"host": "127.0.0.1", "port": broker.port},
                "cameras": {"gate": camera(clip(), rules=[_RULE])},
            },
            program="tests.faulty_daemon",
        ) as daemon,
    ):
        daemon.environ["FAULT"] = "jumping clock"
        daemon.ready()
        phases = []
        for number in (None, signal.SIGUSR1, signal.SIGUSR2):
            if number is not None:
                daemon.signal(number)
            began = time.monotonic()
            time.sleep(calm_s)
            phases.append(len([found for found in subscriber.on("/gate/alerts") if found.at > began]))
        status = daemon.stop()
        wait_for(lambda: subscriber.statuses()[-1] == "offline", 5, "offline")
        arrivals = [found.at for found in subscriber.on("/gate/alerts")]
        seqs = [found.json["seq"] for found in subscriber.on("/gate/alerts")]
        days = {found.json["captured"][:10] for found in subscriber.on("/gate/alerts")}
        states = subscriber.states("gate")
    shortest = min(later - earlier for earlier, later in itertools.pairwise(arrivals))
    figure = (
        f"alerts in {calm_s} s: {phases[0]} before, {phases[1]} a day ahead, {phases[2]} a day behind; seq "
        f"{'without holes or repeats' if seqs == [*range(1, len(seqs) + 1)] else 'BROKEN'}; shortest pause "
        f"{shortest:.1f} s of a cooldown of {_COOLDOWN_S:g} s; {len(days)} days in the alerts"
    )
    even = min(phases) >= 0.6 * max(phases) and min(phases) > 0
    whole = seqs == [*range(1, len(seqs) + 1)] and states == ["offline", "ok"]
    return Outcome(figure, even and whole and shortest > _COOLDOWN_S - 0.7 and len(days) == 3 and status == 0)


ROWS = [Row(13, "the clock jumps by a day", "0 missed or repeated alerts, cooldowns right", _play)]
