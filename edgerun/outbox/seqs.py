"""Which seqs were given out: those of alerts, too, that were delivered and never came to the outbox file."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from edgerun.outbox.rows import ANY

_UNTOLD = 10_000
"""More than a run gives out without a disk, mostly."""


def above_all(file: Path, known: Iterable[int] = ()) -> int:
    """Above every seq that was given out, of which the ``known`` came to the outbox file: the seconds since 1970, in
    which a device without a battery lives until it hears of the time. The file's own time is later then; and a camera
    that leapt before and tells more than an alert a second is ahead of any clock."""
    now = time.time()
    with contextlib.suppress(OSError):
        now = max(now, file.stat().st_mtime)
    return max([int(now), *(seq + _UNTOLD for seq in known)])


class Seqs:
    """Those of one run. ``word`` is a file that is there while the outbox ``file`` may not know all of them, for the
    next run to see."""

    def __init__(self, word: Path, file: Path) -> None:
        self._word, self._file = word, file
        self._is_our_word = False
        self.last: dict[str, int] = {ANY: above_all(file)}
        """The last that was given out; that of ANY is above all that may have been, while nobody can tell."""
        self.are_ahead = False
        """The outbox file may not know all of them."""
        self._have_read = False

    def next(self, camera: str) -> int:
        """One that was never given out before."""
        self.last[camera] = max(self.last.get(camera, 0), self.last.get(ANY, 0)) + 1
        return self.last[camera]

    def gave(self, camera: str, seq: int) -> None:
        """It was given out by another run, and the outbox file does not tell so."""
        self.last[camera] = max(seq, self.last.get(camera, 0))

    def go_ahead(self) -> None:
        """From now on alerts may be delivered that never come to the file: leave word of that, should we be killed."""
        self.are_ahead = True
        with contextlib.suppress(OSError):
            self._word.touch(exist_ok=False)
            self._is_our_word = True

    def trust_file(self, known: Iterable[int], *, is_copy: bool) -> None:
        """The file was read, with the ``known`` as the last of all cameras: what the run before gave out, unless that
        left word, or it is a copy of what it left at some time. Raises OSError."""
        if (self._is_our_word or not self._word.exists()) and not (is_copy and not self._have_read):
            self.last.pop(ANY, None)
        else:
            self.last[ANY] = above_all(self._file, known)
        self._have_read = True

    def beyond(self, known: Mapping[str, int]) -> dict[str, int]:
        """Take over what the file knows, by camera; what it does not know."""
        least = known.get(ANY, 0)
        ahead = {name: seq for name, seq in self.last.items() if seq > known.get(name, least)}
        self.last = {**known, **ahead}
        return ahead

    def are_known(self) -> None:
        """The file knows them all."""
        self.are_ahead = False
        with contextlib.suppress(OSError):
            self._word.unlink()
        self._is_our_word = False
