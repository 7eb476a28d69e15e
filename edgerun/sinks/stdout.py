"""Messages as JSON lines on standard output."""

from __future__ import annotations

import base64
import json
import logging
import os
import threading
from queue import SimpleQueue

from edgerun.records import dataclass
from edgerun.types import Message

log = logging.getLogger(__name__)

_WAITING = 256
"""Messages that may wait for the reader."""
_CLOSE_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class StdoutOptions:
    """Print every message as one JSON line with its topic and payload. What a slow reader does not take is left out."""

    detections: bool = True
    """Print detections too, one line a frame."""


class StdoutSink:
    """Built as ``StdoutSink(options, descriptor)``, where lines go to; a thread writes them, as a reader may stall."""

    def __init__(self, options: StdoutOptions, descriptor: int = 1) -> None:
        self._options = options
        self._descriptor = descriptor
        self._queue: SimpleQueue[Message | None] = SimpleQueue()
        self._trouble = ""
        self._thread = threading.Thread(target=self._run, name="stdout", daemon=True)

    def open(self) -> None:
        self._thread.start()

    def send(self, message: Message) -> None:
        if not self._options.detections and message.topic.endswith("/detections"):
            return
        if self._queue.qsize() >= _WAITING:
            self._tell("nobody reads the standard output fast enough; messages are left out")
        else:
            self._queue.put(message)

    def close(self) -> None:
        """Standard output stays open."""
        self._queue.put(None)
        self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        while message := self._queue.get():
            self._write(_line(message).encode() + b"\n")

    def _write(self, line: bytes) -> None:
        """Past Python's own buffer, whose lock would hold up the end of the process for as long as a reader stalls."""
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except OSError as error:  # the reader went away
            self._tell(f"the standard output cannot be written: {error.strerror}")

    def _tell(self, trouble: str) -> None:
        """Once, as every message after it may say the same."""
        if trouble != self._trouble:
            self._trouble = trouble
            log.warning("%s", trouble)


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
