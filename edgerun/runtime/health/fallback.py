"""The last good configuration, and when to fall back on it: kept in two small files with the lasting state."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

from edgerun.config.upkeep import SupervisionOptions
from edgerun.folders import write_whole
from edgerun.hashing import sha256

_STARTS = "starts.json"
_LAST_GOOD = "last-good.yaml"


class StartRecord:
    """Counts the starts of a configuration that did not become steady; another text starts the count anew.

    A disk that cannot be written is no reason not to serve: then nothing is remembered.
    """

    def __init__(self, folder: Path, options: SupervisionOptions) -> None:
        self.last_good = folder / _LAST_GOOD
        self.previous_end = ""
        """Why the run before this one ended, where it ended itself for a reason."""
        self._file = folder / _STARTS
        self._options = options
        self.text = b""
        """Of the configuration that is served; empty where it could not be read."""
        self._starts: list[float] = []

    def begin(self, text: bytes) -> str:
        """Note a start. In words, why the last good configuration should be served instead; empty: it should not."""
        self.text = text
        before = self._read()
        self.previous_end = str(before.get("end", ""))
        now = time.time()
        if before.get("sha256") == _sha256(text):
            self._starts = [at for at in before.get("starts", ()) if now - self._options.within_s < at <= now]
        self._starts.append(now)
        self._write()
        crashes = len(self._starts) - 1
        if not self._options.crashes or crashes < self._options.crashes or self._good() in (b"", text):
            return ""
        return (
            f"the daemon was started {crashes} times within {self._options.within_s:g} s and never became steady with "
            "the configuration as it is; the last one that did is served"
        )

    def adopt(self, text: bytes) -> None:
        """A reload took over another text."""
        self.text, self._starts = text, [time.time()]
        self._write()

    def steady(self) -> None:
        """What is being served is good."""
        self._starts = []
        self._write()
        if self.text and self._good() != self.text:
            _keep(self.last_good, self.text)

    def serves_last_good(self) -> None:
        """From now on the text is that of the last good configuration, whose starts are not counted."""
        self.text = self._good()

    def end(self, reason: str = "") -> None:
        """Ended in good order: this start was no crash. ``reason`` is for the next run to tell."""
        if self._starts and not reason:
            self._starts.pop()
        self._write(reason)

    def _good(self) -> bytes:
        try:
            return self.last_good.read_bytes()
        except OSError:
            return b""

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self._file.read_bytes())
        except (OSError, ValueError, RecursionError):  # not there, or damaged: nothing is known
            return {}
        starts = found.get("starts") if isinstance(found, dict) else None
        good = isinstance(starts, list) and all(isinstance(at, int | float) for at in starts)
        return found if good else {}

    def _write(self, end: str = "") -> None:
        kept = {"sha256": _sha256(self.text), "starts": self._starts[-100:], "end": end}
        _keep(self._file, json.dumps(kept).encode())


def _keep(path: Path, content: bytes) -> None:
    with contextlib.suppress(OSError):
        write_whole(path, content, lasting=True)


def _sha256(text: bytes) -> str:
    return sha256(text).hexdigest()
