"""For what a broker may have ended the connection: many end it over a message or a subscription that their access rules
forbid, or that is too large for them, and MQTT 3.1.1 has no other answer. Asked again at each connection it would keep
everything else from the broker for ever.

What the broker had not granted when a connection broke is suspect, and is asked for alone in the next one. What breaks
a second one is left out for a while.
"""

from __future__ import annotations

import threading

_SOON_S = 3.0
"""A broker ends the connection at once, so what was asked longer before is not the cause."""
_FIRST_BAR_S, _LONGEST_BAR_S = 60.0, 600.0


class Suspects:
    """Over all connections, from any thread. What is asked has a name (a topic); times are monotonic seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: dict[int | str, tuple[str, float]] = {}
        """What is not granted, by the packet's number; what is never answered, by its name."""
        self._suspect: set[str] = set()
        self._bars: dict[str, tuple[float, float]] = {}
        """What broke two connections: until when it is left out, and for how long."""

    def barred(self, name: str, now: float) -> bool:
        """It is left out."""
        with self._lock:
            return now < self._bars.get(name, (0.0, 0.0))[0]

    def is_suspect(self, name: str) -> bool:
        with self._lock:
            return name in self._suspect

    def must_wait(self, name: str, now: float) -> bool:
        """It is suspect, and so is something that the broker has not granted yet."""
        with self._lock:
            self._acquit(now)
            return name in self._suspect and any(asked in self._suspect for asked, _ in self._asked.values())

    def ask(self, name: str, now: float, number: int | None = None) -> None:
        """It is sent; without a number no answer will come."""
        with self._lock:
            self._acquit(now)
            self._asked[name if number is None else number] = name, now

    def grant(self, number: int) -> None:
        """The broker did as asked."""
        with self._lock:
            name, _ = self._asked.pop(number, ("", 0.0))
            self._forgive(name)

    def ended(self, now: float) -> None:
        """The connection is gone."""
        with self._lock:
            self._acquit(now)
            for name in {name for name, _ in self._asked.values()}:
                if name in self._suspect:
                    bar_s = min(2 * self._bars.get(name, (0.0, _FIRST_BAR_S / 2))[1], _LONGEST_BAR_S)
                    self._bars[name] = now + bar_s, bar_s
                self._suspect.add(name)
            self._asked.clear()

    def _acquit(self, now: float) -> None:
        """What was asked a while ago did no harm, answered or not."""
        for number, (name, at) in list(self._asked.items()):
            if now - at >= _SOON_S:
                del self._asked[number]
                self._forgive(name)

    def _forgive(self, name: str) -> None:
        self._suspect.discard(name)
        self._bars.pop(name, None)
