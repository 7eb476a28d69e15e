"""Retained messages: the newest of each topic, sent when it changed and again on every connect."""

from __future__ import annotations

import threading
from collections.abc import Callable

from edgerun.types import Message


class Retained:
    """Set from any thread, taken by one. ``news`` is called with each message that is not what its topic holds."""

    def __init__(self, news: Callable[[Message], None] | None = None) -> None:
        self._news = news
        self._lock = threading.Lock()
        self._newest: dict[str, Message] = {}
        self._due: dict[str, None] = {}

    def set(self, message: Message) -> bool:
        """False when the topic holds just that already, or waits to be sent anyway."""
        with self._lock:
            if self._newest.get(message.topic) == message:
                return False
            self._newest[message.topic] = message
            waits = message.topic in self._due
            self._due[message.topic] = None
        if self._news:
            self._news(message)
        return not waits

    def withdraw(self, topic: str) -> bool:
        """Set an empty message where there is none."""
        with self._lock:
            told = topic in self._newest
        return not told and self.set(Message(topic, b"", qos=1, retain=True))

    def leaving(self) -> tuple[str, ...]:
        """The topics that are to be taken away."""
        with self._lock:
            return tuple(sorted(topic for topic, message in self._newest.items() if not message.payload))

    def take(self) -> Message | None:
        """The message that waits longest; ``again`` it if it could not be sent."""
        with self._lock:
            topic = next(iter(self._due), None)
            if topic is None:
                return None
            del self._due[topic]
            return self._newest[topic]

    def arrived(self, message: Message) -> None:
        """The broker has it: taking a topic away need not be said again."""
        with self._lock:
            if not message.payload and self._newest.get(message.topic) is message:
                del self._newest[message.topic]
                self._due.pop(message.topic, None)

    def again(self, message: Message) -> None:
        """Send a message later, unless a newer one has come."""
        with self._lock:
            self._newest.setdefault(message.topic, message)
            self._due[message.topic] = None

    def all_again(self) -> None:
        """A new connection: whoever listens there may know nothing."""
        with self._lock:
            self._due = dict.fromkeys([*self._newest, *self._due])
