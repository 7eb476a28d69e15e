"""What the last start with a configuration file came to, kept so that the next one need not find it out again.

Checking a configuration takes longer than all else at a start, so the checked one is kept, in a file of the user's own,
with what the engine's process had to load. It counts only for the same file and the same package. Hardly more
than the standard library is imported here, so that it can be asked before the rest is imported.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

from edgerun.children import deaf
from edgerun.folders import cache_dir, is_own, write_whole
from edgerun.hashing import sha256
from edgerun.records import dataclass

_PACKAGE = os.path.dirname(__file__)  # noqa: PTH120  a text: what follows is done at every start
MAX_BYTES = 256 * 1024
"""Of a configuration."""
_LARGEST = 4 << 20
_MOST = 16
"""Files, one for each configuration's path, of which the oldest go."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """Pickles: a Config that was found good, and the Load of the engine's process that served it (empty: none)."""

    config: bytes
    load: bytes = b""


def content(path: Path) -> bytes:
    """The text of a configuration file, or as much of it as shows that it is too large. Raises OSError."""
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def key_of(path: Path, text: bytes) -> bytes:
    """A digest of all that a checked configuration depends on: the file, the package, Python, and the host's name.

    A text that names secrets or the environment depends on more; such a configuration is never remembered.
    """
    digest = sha256(text)
    digest.update(repr((str(path.absolute()), sys.version, socket.gethostname(), os.geteuid())).encode())
    for line in _modules(_PACKAGE):
        digest.update(line.encode())
    return digest.digest()


def _modules(folder: str) -> Iterator[str]:
    """The modules below a folder, each with its size and time."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=attrgetter("name"))
    for entry in entries:
        if entry.name.endswith(".py"):
            status = entry.stat()
            yield f"{entry.path} {status.st_size} {status.st_mtime_ns}"
        elif entry.name != "__pycache__" and entry.is_dir():
            yield from _modules(entry.path)


def recall(path: Path, text: bytes | None = None) -> Remembered | None:
    """What is remembered of the file as it is now, or of its ``text`` where that was read; None when nothing is, or
    when others could have written it."""
    try:
        place = _place(path)
        descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not is_own(os.fstat(descriptor)) or not is_own(place.parent.stat()):
                return None
            head, body = file.read(64), file.read(_LARGEST)
        if (
            head[:32] != key_of(path, content(path) if text is None else text)
            or head[32:] != sha256(head[:32] + body).digest()
        ):
            return None
        config, load = pickle.loads(body)
    except (OSError, ValueError, EOFError, TypeError, pickle.UnpicklingError):
        return None
    return Remembered(config, load)


def remember(path: Path, key: bytes, remembered: Remembered) -> None:
    """Keep it for the next start. ``key`` was taken before the text was checked. A disk that refuses is no harm."""
    body = pickle.dumps((remembered.config, remembered.load))
    content = key + sha256(key + body).digest() + body
    place = _place(path)
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(place, content)
        for old in sorted(place.parent.iterdir(), key=lambda kept: kept.stat().st_mtime)[:-_MOST]:
            old.unlink()


def note_load(path: Path, load: bytes) -> None:
    """What serves the remembered configuration was loaded by this."""
    try:
        text = content(path)
    except OSError:
        return
    found = recall(path, text)
    if found is not None and found.load != load:
        remember(path, key_of(path, text), Remembered(found.config, load))


def start_reader(path: Path, *beside: Path) -> subprocess.Popen[bytes]:
    """Begins to check a configuration in a process of its own (see ``config.load_isolated``)."""
    with deaf():
        command = [sys.executable, "-m", "edgerun.config", *map(str, (path, *beside))]
        return subprocess.Popen(command, stdout=subprocess.PIPE)


def _place(path: Path) -> Path:
    return cache_dir() / "starts" / sha256(os.fsencode(path.absolute())).hexdigest()[:32]
