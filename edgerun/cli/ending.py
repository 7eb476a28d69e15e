"""How a command ends that is told to, or whose output nobody takes: quietly or with a sentence, never a traceback."""

from __future__ import annotations

import codecs
import io
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

FAILED = 1
_AGAIN_S = 0.02
_arrived: list[int] = []
"""The signal that told this process to end, once it did."""


class Stopped(KeyboardInterrupt):
    """SIGINT or SIGTERM; whatever was begun is taken down on its way up. ``status`` is what a shell expects."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


def heed_signals() -> None:
    """SIGTERM ends a command as Ctrl-C does. What was ignored from the start, as in a script's background, still is."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    sys.unraisablehook = _was_lost


def end_well_on_signals() -> None:
    """For the daemon, until it has handlers of its own: nothing is begun that would have to be taken down, as its first
    children end with it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the file is about to be read anyway


def _stop(number: int, frame: FrameType | None) -> None:
    for other in (signal.SIGINT, signal.SIGTERM):  # `timeout` sends it twice, and the end is not to be ended
        signal.signal(other, signal.SIG_IGN)
    _arrived.append(number)
    raise Stopped(number)


def _was_lost(lost: sys.UnraisableHookArgs) -> None:
    """Python calls some things where nobody can be told what they raise: at a fork, or when an object goes. What tells
    this process to end is raised once more then, a moment later and so elsewhere, as no other signal will be heeded."""
    if isinstance(lost.exc_value, Stopped):
        signal.signal(signal.SIGALRM, _stop_again)
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
    else:
        sys.__unraisablehook__(lost)


def _stop_again(number: int, frame: FrameType | None) -> None:
    raise Stopped(_arrived[0])


def ended(command: Callable[[], int]) -> int:
    """The exit status of a command, or of what ended it."""
    _open_what_was_closed()
    _write_all_characters()
    try:
        try:
            return command()
        finally:
            sys.stdout.flush()  # here it can still be told that it cannot be written
    except Stopped as stopped:
        return stopped.status
    except ImportError:  # what a library that is stopped in its own import may make of it
        if _arrived:
            return 128 + _arrived[0]
        raise
    except OSError as error:
        return _refused(error)


def _refused(error: OSError) -> int:
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is left, when Python ends
    if isinstance(error, BrokenPipeError):
        return 0  # the reader has seen enough, as `head` does
    where = f"{error.filename}: " if error.filename else ""
    print(f"edgerun: {where}{error.strerror or error}", file=sys.stderr)
    return FAILED


def _open_what_was_closed() -> None:
    """Instead of a stream that this process was started without, as by ``2>&-``: the next file to be opened would take
    its place, and get what libraries print there."""
    for number, (name, mode) in enumerate([("stdin", "r"), ("stdout", "w"), ("stderr", "w")]):
        if getattr(sys, name) is None:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free, which is its own
            setattr(sys, name, os.fdopen(number, mode))


def _write_all_characters() -> None:
    """Characters that an output has no code for are written as JSON does, which is right in text and in JSON."""
    codecs.register_error("as-in-json", _as_in_json)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="as-in-json")


def _as_in_json(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    unwritable = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    units = (unwritable[at : at + 2].hex() for at in range(0, len(unwritable), 2))
    return "".join(f"\\u{unit}" for unit in units), error.end
