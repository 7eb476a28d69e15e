"""A Unix socket on which the daemon answers how it is, for ``edgerun health``. One JSON object per connection."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgerun.errors import EdgerunError

log = logging.getLogger(__name__)

_TIMEOUT_S = 2.0
_PAUSE_S = 0.2
_LOOK_S = 5.0
"""How often it is seen to that the socket can still be found."""


class Control:
    """Answers with what ``report`` gives. Only the daemon's own user and group may ask."""

    def __init__(self, path: Path, report: Callable[[], Mapping[str, Any]]) -> None:
        self._path = path
        self._report = report
        self._closed = threading.Event()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._listen()
        except OSError as error:  # a path may have 107 bytes
            log.warning("`edgerun health` will get no answer: no socket at %s (%s)", path, error)
            return
        threading.Thread(target=self._run, name="control", daemon=True).start()

    def _listen(self) -> None:
        """With a new socket in the place of the one before. Raises OSError."""
        fresh = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._path.unlink(missing_ok=True)
            fresh.bind(str(self._path))
            self._path.chmod(0o660)
            fresh.listen(4)
            fresh.settimeout(_LOOK_S)
        except OSError:
            fresh.close()
            raise
        before, self._socket = self._socket, fresh
        before.close()

    def close(self) -> None:
        self._closed.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        with contextlib.suppress(OSError):  # as where the disk takes nothing more
            self._path.unlink()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except TimeoutError:
                if not self._path.exists():  # as its folder was deleted
                    with contextlib.suppress(OSError):  # the next look is not far
                        self._listen()
                continue
            except OSError:  # closed; or no descriptor is free just now
                if self._closed.wait(_PAUSE_S):
                    return
                continue
            with connection, contextlib.suppress(OSError):
                connection.settimeout(_TIMEOUT_S)
                connection.sendall(json.dumps(self._report()).encode())


def ask(path: Path) -> dict[str, Any]:
    """What the daemon behind the socket says of itself. Raises EdgerunError when none answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_TIMEOUT_S)
        try:
            connection.connect(os.fspath(path))
            with connection.makefile("rb") as said:
                answer: dict[str, Any] = json.load(said)
        except (OSError, ValueError) as error:
            raise EdgerunError(f"no daemon answers at {path}: is it running, and may you ask it? ({error})") from error
    return answer
