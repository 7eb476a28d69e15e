"""Whether an outbox file is the one that was left where it lies, or a copy, as of a backup that was brought back: that
knows nothing of what was given out since it was made."""

from __future__ import annotations

import os
from pathlib import Path
from zlib import crc32


class Place:
    """Of the outbox ``file``. An empty file beside it is never touched again once it was made, so that no copy of it
    has its time of change, which nobody can set; where a copy is made only of what differs, the outbox itself is
    another file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._witness = file.with_name(file.name + ".place")

    def mark(self) -> int:
        """The number that the outbox is to bear here, never 0. Raises OSError."""
        found = self._witness.stat()
        return crc32(f"{found.st_ctime_ns} {self._file.stat().st_ino}".encode()) >> 1 | 1

    def knows(self, mark: int) -> bool:
        """Whether the outbox that bears this mark was left here: 0 is that of a new one, or of one from before there
        were marks. Raises OSError."""
        if self._witness.exists():
            return mark == self.mark()
        return mark == 0

    def take(self) -> int:
        """``mark``, with the file beside it made where there is none."""
        os.close(os.open(self._witness, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        return self.mark()
