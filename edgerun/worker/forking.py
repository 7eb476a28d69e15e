"""The nurse's own side: import what an engine needs, then fork a process for each that the daemon asks for.

A Unix socket brings the pickled Load to import for, then one for each child, with that child's descriptors. Each child
has a line of its own to the daemon on which the nurse tells its process id, and later its exit status; a word or the
end of that line is the child's death.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import select
import signal
import socket
import sys

from edgerun.children import die_with_parent
from edgerun.errors import EdgerunError
from edgerun.records import dataclass
from edgerun.stages import Preloading
from edgerun.worker import NUMBER
from edgerun.worker.pages import let_go_of_files
from edgerun.worker.wire import Load

_LARGEST_LOAD = 1 << 18
_UNPREPARED = "unprepared"
_CALM_S = 3.0
"""So long after the last fork nobody waits for the nurse or for what it forked."""


@dataclass(frozen=True, slots=True)
class Errand:
    """What a forked process is for: its pickled Load, its memory and its pipes."""

    load: bytes
    memory: int
    requests: int
    replies: int
    errors: int


def forked(arguments: list[str]) -> Errand:
    """Returns in the forked processes only. The nurse itself waits, and ends with the daemon."""
    die_with_parent()
    daemon = socket.socket(fileno=int(arguments[0]))
    if _UNPREPARED not in arguments:
        _prepare(pickle.loads(daemon.recv(_LARGEST_LOAD)))
        if len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208  a library started threads: it must not be forked
            os.execv(sys.executable, [sys.executable, "-m", "edgerun.worker.child", arguments[0], _UNPREPARED])
    die_with_parent(0)  # the thread that started it may end before the daemon; from here on, the line tells of that
    gc.freeze()  # the collector writes to each object that it looks at
    daemon.send(b"ready")
    return _tend(daemon)


def _prepare(load: Load) -> None:
    if isinstance(load.build, Preloading):
        with contextlib.suppress(EdgerunError):  # the child will say so itself
            load.build.preload()


class _Brood:
    """The living forks of this process: their lines to the daemon by process id, and which of them are to die."""

    def __init__(self) -> None:
        self._lines: dict[int, socket.socket] = {}
        self._doomed: set[int] = set()

    @property
    def lines(self) -> dict[socket.socket, int]:
        """Those to listen to, with their process ids."""
        return {line: pid for pid, line in self._lines.items() if pid not in self._doomed}

    def add(self, pid: int, line: socket.socket) -> None:
        self._lines[pid] = line
        _tell(line, pid)

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)  # not reaped yet, so the id is still its own
        self._doomed.add(pid)

    def reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = found
                self._doomed.discard(pid)
                line = self._lines.pop(pid, None)
                if line is not None:  # else a library's own
                    _tell(line, os.waitstatus_to_exitcode(status))
                    line.close()

    def disown(self) -> None:
        """In a fork: they are another's."""
        for line in self._lines.values():
            line.close()


def _tend(daemon: socket.socket) -> Errand:
    woken, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker)
    brood = _Brood()
    calm_s: float | None = None
    while True:
        lines = brood.lines
        sources: list[socket.socket | int] = [daemon, woken, *lines]
        ready = select.select(sources, [], [], calm_s)[0]
        if not ready:
            let_go_of_files()
            calm_s = None
        for line, pid in lines.items():
            if line in ready:  # told to, or the daemon does without it
                brood.kill(pid)
        if woken in ready:
            os.read(woken, 512)
            brood.reap()
        if daemon in ready:
            load, (*pipes, memory, ours) = _next_errand(daemon)
            line = socket.socket(fileno=ours)
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                brood.disown()
                daemon.close()
                line.close()
                for descriptor in (woken, waker):
                    os.close(descriptor)
                return Errand(load, memory, *pipes)
            brood.add(pid, line)
            calm_s = _CALM_S
            for descriptor in (*pipes, memory):
                os.close(descriptor)


def _next_errand(daemon: socket.socket) -> tuple[bytes, list[int]]:
    """A pickled Load, and the descriptors that go with it. Once the daemon is gone, so is this process."""
    try:
        load, descriptors, _, _ = socket.recv_fds(daemon, _LARGEST_LOAD, 5, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:  # gone before it had heard that this one is ready
        load = b""
    if not load:
        os._exit(0)  # at once, whatever a library has to say to that; the forks die with it
    return load, descriptors


def _tell(line: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # the daemon does without it
        line.send(NUMBER.pack(number))
