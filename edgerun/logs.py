"""Logging to stderr: plain where a person looks, with priorities under systemd, JSON where it is asked for.

Credentials never pass: the handler's formatter hides the user part of every URL and every secret it was told of, in
messages, arguments and tracebacks alike, and libraries' own messages too, since they go through the same handler. No
more do orders to the terminal, which a camera or a model's author may have put into what it is quoted with.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Literal, TextIO
from urllib.parse import quote

from edgerun.records import dataclass
from edgerun.secrets import hide_parameters

_URL_USER = re.compile(r"(?<=://)[^\s/?#\"]*@")
_SHORTEST_SECRET = 4
"""Shorter ones would blot out ordinary words and protect nobody."""

_PRIORITY = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}
"""sd-daemon(3): the syslog priorities in front of a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """What goes to stderr, and from there to the journal."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important messages that are still written."""
    format: Literal["text", "json"] = "text"
    """`text` for people, `json` for one object a line."""


class Redactor:
    """Hides credentials in texts. Secrets may be added while others use it."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: re.Pattern[str] | None = None
        self.set(secrets)

    def set(self, secrets: Iterable[str]) -> None:
        """The secrets from now on, also in their URL-quoted form."""
        known = {form for s in secrets for form in (s, quote(s, safe="")) if len(s) >= _SHORTEST_SECRET}
        longest_first = sorted(known, key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, longest_first))) if known else None

    def hide(self, text: str) -> str:
        """``rtsp://user:password@host`` becomes ``rtsp://***@host``."""
        text = hide_urls(text)
        return self._secrets.sub("***", text) if self._secrets else text


def hide_urls(text: str) -> str:
    """The text with the credentials of every URL in it hidden."""
    return hide_parameters(_URL_USER.sub("***@", text))


def plain(text: str) -> str:
    """Without characters that a terminal would take for orders to itself, ends of lines among them."""
    return text if text.isprintable() else "".join(sign if sign.isprintable() else "?" for sign in text)


def plain_lines(text: str) -> str:
    """The same, line by line."""
    return "\n".join(map(plain, text.split("\n")))


class _Formatter(logging.Formatter):
    """One record to one or more lines, redacted as a whole."""

    def __init__(self, redactor: Redactor, *, as_json: bool, priorities: bool) -> None:
        clock = "" if priorities else "%(asctime)s %(levelname)-7s "  # the journal has its own
        super().__init__(f"{clock}%(name)s: %(message)s", "%H:%M:%S")
        self._redactor = redactor
        self._as_json = as_json
        self._priorities = priorities

    def format(self, record: logging.LogRecord) -> str:
        text = plain_lines(self._redactor.hide(self._json(record) if self._as_json else super().format(record)))
        if self._priorities:
            priority = f"<{_PRIORITY.get(record.levelno, 6)}>"
            text = "\n".join(priority + line for line in text.splitlines())
        return text

    def _json(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="microseconds")
        entry = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def set_up(options: LogOptions | None = None, secrets: Iterable[str] = (), stream: TextIO | None = None) -> Redactor:
    """Send all logging to stderr, in place of what was set up before. The Redactor takes secrets learnt later."""
    options = options or LogOptions()
    out = stream or sys.stderr
    redactor = Redactor(secrets)
    handler = logging.StreamHandler(out)
    handler.setFormatter(_Formatter(redactor, as_json=options.format == "json", priorities=_is_journal(out)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(options.level.upper())
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a full disk or a closed stderr must not print tracebacks of the logging itself
    return redactor


def _is_journal(stream: TextIO) -> bool:
    """Whether systemd reads this stream: $JOURNAL_STREAM holds its device and inode (systemd.exec(5))."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # closed, or no file at all
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
