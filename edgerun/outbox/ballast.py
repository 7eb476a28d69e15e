"""Room on the disk set aside, to be given up when the disk is full."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

_BYTES = 2 << 20
"""More than the outbox's log and some hundred alerts take."""
_SPARE = 4 * _BYTES


class Ballast:
    """A file of zeros. Nothing here raises: without a ballast all goes on, only with less room to fall back on."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def release(self) -> bool:
        """Give the room back to the disk; False when there was none."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True

    def restore(self) -> None:
        """Set the room aside again, once the disk has plenty."""
        with contextlib.suppress(OSError):
            if self._path.exists() or shutil.disk_usage(self._path.parent).free < _SPARE:
                return
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.posix_fallocate(handle, 0, _BYTES)
            finally:
                os.close(handle)
