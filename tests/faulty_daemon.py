"""The daemon with a fault of its own, chosen by $FAULT; run as ``python -m tests.faulty_daemon run -c FILE``."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgerun.cli import main
from edgerun.runtime import detector, watch
from edgerun.runtime.delivery import Delivery
from edgerun.runtime.engines import candidates
from edgerun.worker.wire import Load


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


class Hanging:
    """An engine whose accelerator does not answer."""

    def __init__(self, options: Any, model: Path) -> None:
        time.sleep(600)


def hang_while_loading() -> None:
    def hanging(*arguments: Any, **options: Any) -> Any:
        return [
            type(one)(one.name, Load(Hanging, one.load.options, one.load.model, one.load.slots))  # type: ignore[arg-type]
            for one in candidates(*arguments, **options)
        ]

    setattr(detector, "candidates", hanging)  # noqa: B010  this is the fault, which no type can allow


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
    "jumping clock": jumping_clock,
}

if __name__ == "__main__":
    FAULTS[os.environ["FAULT"]]()
    sys.exit(main())
