"""Processes that edgerun starts: they end with the one that started them, and leave the group's signals to it.

Imports next to nothing, as the first of them are started before all else is imported.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """This process gets that signal when the thread that started it is gone, even while it hangs. 0: none any more."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


@contextlib.contextmanager
def deaf() -> Iterator[None]:
    """Processes started here never hear Ctrl-C or another signal to the whole group, not even before their own first
    line: their parent answers it, and ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
