"""The newest deliveries, in a page of memory that belongs to a file.

Writing there costs no system call and wears no card to speak of, and what was written outlives the process: after a
kill no alert is sent again whose acknowledgement had come. After a power cut it may be old, which costs repeats only.
"""

from __future__ import annotations

import logging
import mmap
import os
import struct
from pathlib import Path

log = logging.getLogger(__name__)

SLOTS = 512
_SLOT = struct.Struct("<QI4x")
_BYTES = SLOTS * _SLOT.size


class Ring:
    """Pairs of a row's id and its checksum. The latter ties a pair to one alert, whatever file the ids are of."""

    def __init__(self, path: Path) -> None:
        self._page: mmap.mmap | None = None
        self._next = 0
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(handle, 0, _BYTES)  # so that a full disk cannot take the page away
                os.pread(handle, _BYTES, 0)  # a bad sector is an error here, and in mapped memory the process's end
                self._page = mmap.mmap(handle, _BYTES)
            finally:
                os.close(handle)
        except OSError as error:
            log.warning("%s cannot be used (%s): a kill will repeat some alerts", path, error)

    def note(self, row: int, checksum: int) -> None:
        """From one thread at a time."""
        if self._page is not None:
            _SLOT.pack_into(self._page, self._next * _SLOT.size, row, checksum)
            self._next = (self._next + 1) % SLOTS

    def noted(self) -> set[tuple[int, int]]:
        """The pairs of this run and of the one before it."""
        if self._page is None:
            return set()
        return {(row, checksum) for row, checksum in _SLOT.iter_unpack(self._page[:]) if row}
