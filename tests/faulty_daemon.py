"""The daemon with a fault of its own, chosen by $FAULT; run as ``python -m tests.faulty_daemon run -c FILE``."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from edgerun.cli import main
from edgerun.runtime.delivery.delivery import Delivery
from edgerun.runtime.health import watch
from edgerun.runtime.inference import crew, detector
from edgerun.runtime.inference.engines import candidates
from edgerun.worker.wire import Load
from tests.slow_engines import Hanging, Slow


def deadlock_in_delivery() -> None:
    """From SIGUSR1 on, the delivery's thread waits for a lock that nobody gives back."""
    watch.SILENCE_S = float(os.environ.get("SILENCE_S", watch.SILENCE_S))
    deadlocked = threading.Event()
    lock = threading.Lock()
    lock.acquire()
    turn = Delivery._turn

    def waiting_turn(delivery: Delivery) -> None:
        if deadlocked.is_set():
            lock.acquire()
        turn(delivery)

    setattr(Delivery, "_turn", waiting_turn)  # noqa: B010  this is the fault, which no type can allow
    signal.signal(signal.SIGUSR1, lambda *_: deadlocked.set())


def engine(build: Any) -> None:
    """The models are served by this one, and by no other."""

    def only(*arguments: Any, **options: Any) -> Any:
        one = candidates(*arguments, **options)[0]
        return [type(one)(one.name, Load(build, one.load.options, one.load.model, one.load.slots))]

    setattr(detector, "candidates", only)  # noqa: B010  this is the fault, which no type can allow


def hang_while_loading() -> None:
    engine(Hanging)


def slow_engine() -> None:
    """And there is little patience with it, however busy the machine is."""
    crew.PATIENCE_S, crew.LEAST_IDLE = 2.0, 0.0
    engine(Slow)


def jumping_clock() -> None:
    """SIGUSR1 sets the wall clock a day ahead of the true time, SIGUSR2 a day behind."""
    true_time = time.time
    ahead_s = 0.0

    def jump(number: int, _: object) -> None:
        nonlocal ahead_s
        ahead_s = 86_400.0 if number == signal.SIGUSR1 else -86_400.0

    time.time = lambda: true_time() + ahead_s
    signal.signal(signal.SIGUSR1, jump)
    signal.signal(signal.SIGUSR2, jump)


FAULTS: dict[str, Callable[[], None]] = {
    "deadlock in delivery": deadlock_in_delivery,
    "hang while loading": hang_while_loading,
    "slow engine": slow_engine,
    "jumping clock": jumping_clock,
}

if __name__ == "__main__":
    FAULTS[os.environ["FAULT"]]()
    sys.exit(main())
