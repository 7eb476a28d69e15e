"""The folders that systemd gives the service, or else the user's own, and how a file is kept there. Asked at every
start, before all else."""

from __future__ import annotations

import os
from pathlib import Path

NOWHERE = Path("/dev/null")
"""In the place of the home of a user who has none: nothing can be made below it, not even by root."""


def state_dirs() -> list[Path]:
    """For what must last: systemd's state directories, and last the user's own."""
    return _folders("STATE_DIRECTORY", "XDG_STATE_HOME", "~/.local/state")


def cache_dir() -> Path:
    """For what can be found out again."""
    return _folders("CACHE_DIRECTORY", "XDG_CACHE_HOME", "~/.cache")[0]


def is_own(status: os.stat_result) -> bool:
    """Whether nobody but this user may write to it."""
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022


def is_file(path: Path) -> bool:
    """As ``Path.is_file``, which raises before Python 3.14 where this user may not look."""
    return os.path.isfile(path)  # noqa: PTH113


def unseen(path: str | Path) -> str:
    """What to add where a path may not be read: an ending for the sentence, or nothing."""
    if not str(path).startswith(("/home/", "/root/", "/run/user/")):
        return ""
    return "; the service sees no home directories, so put it elsewhere, such as into /var/lib/edgerun"


def write_whole(path: Path, content: bytes, *, lasting: bool = False) -> None:
    """All of it or nothing, and for this user alone; ``lasting``: also where the power fails. Raises OSError."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            if lasting:
                file.flush()
                os.fsync(descriptor)
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def expanded(path: str | Path) -> Path:
    """A path as somebody wrote it, with ``~`` for a home. That of a user who is not known stays as it is."""
    return Path(expanded_text(str(path)))


def own_folder(path: str | Path) -> Path:
    """As ``expanded``, for a folder that is to be made: where there is no such home it cannot be."""
    text = expanded_text(str(path))
    return NOWHERE / text if text.startswith("~") else Path(text)


def expanded_text(path: str) -> str:
    """As ``expanded``, where ``./x`` means something else than ``x``."""
    return os.path.expanduser(path)  # noqa: PTH111  raises nothing


def _folders(of_service: str, of_user: str, usual: str) -> list[Path]:
    given = [Path(name) for name in os.environ.get(of_service, "").split(":") if name]
    return [*given, own_folder(os.environ.get(of_user) or usual) / "edgerun"]
