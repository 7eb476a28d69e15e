"""Which seqs were given out: those of alerts, too, that were delivered and never came to the outbox file."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path

from edgerun.outbox.rows import ANY


def above_all(file: Path) -> int:
    """Above every seq that came to the outbox file: the seconds since 1970, in which a device without a battery lives
    until it hears of the time. The file's own time is later then."""
    now = time.time()
    with contextlib.suppress(OSError):
        now = max(now, file.stat().st_mtime)
    return int(now)


class Seqs:
    """Those of one run. ``word`` is a file that is there while the outbox ``file`` may not know all of them, for the
    next run to see."""

    def __init__(self, word: Path, file: Path) -> None:
        self._word = word
        self._is_our_word = False
        self.last: dict[str, int] = {ANY: above_all(file)}
        """The last that was given out; that of ANY is above all that may have been, while nobody can tell."""
        self.are_ahead = False
        """The outbox file may not know all of them."""

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

    def trust_file(self) -> None:
        """The file was read. It knows what the run before gave out, unless that left word. Raises OSError."""
        if self._is_our_word or not self._word.exists():
            self.last.pop(ANY, None)

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
