"""What root does in another user's folder is done as that user: a link there could lead root anywhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def as_owner_of(folder: Path) -> Iterator[None]:
    """For root, in a process with one thread: the rights of who owns the first of the folders on the way to this one
    that is not root's. Raises OSError."""
    owner = _other_owner(folder.absolute()) if os.geteuid() == 0 else None
    if owner is None:
        yield
        return
    group, groups = os.getegid(), os.getgroups()
    os.setgroups([owner.st_gid])
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def _other_owner(folder: Path) -> os.stat_result | None:
    for place in (*reversed(folder.parents), folder):
        for look in (place.lstat, place.stat):  # of a link, and of what it leads to
            try:
                status = look()
            except FileNotFoundError:
                return None
            if status.st_uid:
                return status
    return None
