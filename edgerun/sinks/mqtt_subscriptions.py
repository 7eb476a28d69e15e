"""What a connection asks to hear, and what it may not."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from edgerun.sinks import mqtt_words as words
from edgerun.sinks.mqtt_endpoint import Endpoint
from edgerun.sinks.mqtt_suspects import Suspects

if TYPE_CHECKING:
    from paho.mqtt.client import Client


class Subscriptions:
    """Of one connection. ``ask`` until nothing is left to ask for, under the lock for calls to ``client``."""

    def __init__(self, endpoint: Endpoint, client: Client, suspects: Suspects) -> None:
        self._endpoint = endpoint
        self._client = client
        self._suspects = suspects
        self._left = deque((*endpoint.subscriptions, *endpoint.as_published))
        self._asked: dict[int, str] = {}
        """By the number of the packet that asks for it."""
        self._refusals: deque[tuple[str, str]] = deque()

    def ask(self, now: float) -> None:
        """For all at once, but one at a time of what may have ended the last connection."""
        while self._left:
            topic = self._left[0]
            name = f"SUBSCRIBE {topic}"
            if self._suspects.barred(name, now):
                self._refusals.append((topic, words.ENDED_BY_SUBSCRIPTION))
            elif self._suspects.must_wait(name, now):
                return
            else:
                mid = self._ask_for(topic)
                self._asked[mid] = topic
                self._suspects.ask(name, now, mid)
            self._left.popleft()

    def _ask_for(self, topic: str) -> int:
        if not self._endpoint.v5:
            return self._client.subscribe(topic, 1)[1] or 0
        from paho.mqtt.subscribeoptions import SubscribeOptions

        options = SubscribeOptions(1, retainAsPublished=topic in self._endpoint.as_published)
        return self._client.subscribe(topic, options=options)[1] or 0

    def answered(self, mid: int, failures: list[str]) -> None:
        topic = self._asked.pop(mid, "")
        if not failures:
            self._suspects.grant(mid)
        self._refusals += [(topic, reason) for reason in failures]

    def refusals(self) -> list[tuple[str, str]]:
        """Those that were not told yet, each with its reason."""
        return [self._refusals.popleft() for _ in range(len(self._refusals))]
