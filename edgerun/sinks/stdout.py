"""Messages as JSON lines on standard output."""

from __future__ import annotations

import base64
import json
import sys
import threading
from dataclasses import dataclass
from typing import TextIO

from edgerun.stages import SinkListener
from edgerun.types import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class StdoutOptions:
    """Print every message as one JSON line with its topic and payload."""

    detections: bool = True
    """Print detections too, one line a frame."""


class StdoutSink:
    """Built as ``StdoutSink(options, out)``; ``out`` is standard output where not given."""

    def __init__(self, options: StdoutOptions, out: TextIO | None = None) -> None:
        self._options = options
        self._out = out or sys.stdout
        self._lock = threading.Lock()
        self._listener: SinkListener | None = None

    def open(self, listener: SinkListener) -> None:
        self._listener = listener
        listener.connected(1, 1)

    def send(self, message: Message) -> bool:
        if not self._options.detections and message.topic.endswith("/detections"):
            return True
        try:
            with self._lock:
                print(_line(message), file=self._out, flush=True)
        except (OSError, ValueError):  # a reader that went away, a closed stream
            return False
        return True

    def offer(self, message: Message, token: int, session: int) -> bool:
        done = self.send(message)
        if done and self._listener is not None:
            self._listener.answered(token, "taken", "printed")
        return done

    def reconnect(self, reason: str) -> None:
        """There is nothing to connect to."""

    def close(self) -> None:
        """Standard output stays open."""


def _line(message: Message) -> str:
    """``{"topic", "payload"}``; a payload that is no JSON stands as text, a picture as base64."""
    try:
        text = message.payload.decode()
        try:
            payload = json.loads(text)
        except ValueError:
            payload = text
        line = {"topic": message.topic, "payload": payload}
    except UnicodeDecodeError:
        line = {"topic": message.topic, "payload_base64": base64.b64encode(message.payload).decode()}
    return json.dumps(line, ensure_ascii=False, separators=(",", ":"))
