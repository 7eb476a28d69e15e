"""Where a running daemon keeps things."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from pathlib import Path

from edgerun.errors import ConfigError, EdgerunError
from edgerun.folders import NOWHERE, own_folder, state_dirs
from edgerun.kernel import is_in_memory

log = logging.getLogger(__name__)

_PASSING = {errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO}
"""With which a disk refuses that may take something later, as once it was checked or mounted."""


def state_dir(configured: str) -> Path:
    """Lasting state: as configured, or systemd's state directory, or the user's own. Raises ConfigError."""
    folder = own_folder(configured) if configured else state_dirs()[0]
    if folder.is_relative_to(NOWHERE):
        if configured:
            raise ConfigError(f"there is no home folder for {configured}: set another `state_dir`, or $HOME")
        raise ConfigError("this user has no home folder for lasting state: set `state_dir`, or $HOME")
    return folder


def made_state_dir(configured: str) -> Path:
    """As ``state_dir``, there and writable, if not on a disk that is mounted read-only, which the outbox waits out.
    Raises ConfigError, a retriable one where the disk refuses the folder now."""
    folder = state_dir(configured)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the folder {folder} for lasting state cannot be made: {error.strerror}; set another `state_dir`",
            retriable=error.errno in _PASSING,
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK) and not os.statvfs(folder).f_flag & os.ST_RDONLY:
        raise ConfigError(f"the folder {folder} for lasting state may not be written: set another `state_dir`")
    if is_in_memory(folder.resolve()):
        log.warning(
            "the folder %s for lasting state lies in memory: alerts that wait there are lost when the power fails, and "
            "`seq` begins anew; set a `state_dir` on a disk",
            folder,
        )
    return folder


def claimed(folder: Path) -> int:
    """Keep other daemons out of a folder for lasting state while this descriptor is open; no file is left behind.

    Raises EdgerunError when one is there.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise EdgerunError(
            f"another edgerun keeps its state in {folder}: stop it first, or give this one another `state_dir` and "
            "another `device`"
        ) from None
    except OSError:
        pass  # a file system without locks
    return descriptor


def control_socket(state: Path) -> Path:
    """Where a running daemon answers for its health: in the runtime directory if there is one (no SD card wear)."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    return (Path(given) if given else state) / "control.sock"
