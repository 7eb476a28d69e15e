"""The nurse: a process that has imported what an engine needs and is forked for each engine's process. The daemon's
side.

An engine that died is back after a fork and its model's loading, instead of an interpreter and its imports as well; and
pages that nobody writes to are there once. Imports the standard library alone, so that it can be started before the
daemon's own modules are imported.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time

from edgerun.children import deaf
from edgerun.records import dataclass
from edgerun.worker import NUMBER

_FORKING_S = 0.2
"""A nurse that has not forked after so long is busy with its imports, or hangs in them."""
_IMPORTING_S = 5.0
"""After so long in its imports others do not wait for it any more."""
_DYING_S = 5.0
"""A killed process that is stuck in the kernel for longer is left to it."""


class Child:
    """An engine's process, our ends of its pipes, its memory, and what it was told to load at once."""

    def __init__(
        self,
        nurse: Nurse,
        process: subprocess.Popen[bytes],
        line: socket.socket,
        pipes: tuple[int, int, int],
        memory: int,
        load: bytes,
    ) -> None:
        self.nurse = nurse
        self.requests, self.replies, self.errors = pipes
        self.memory = memory
        self.load = load
        self._process = process
        """The nurse's, as it was when it was asked."""
        self._line = line
        self._told: list[int] = []
        """What the nurse told: the process' id, then its exit status."""

    @property
    def pid(self) -> int:
        """0 before it is forked."""
        return self._told[0] if self._hears(1, _FORKING_S) else 0

    def status(self, timeout_s: float) -> int | None:
        """Its exit status as ``subprocess`` tells it, negative for a signal; None while it lives."""
        if self._hears(2, timeout_s):
            return self._told[1]
        return self._process.poll()  # it ends with the nurse

    def kill(self) -> None:
        """From any thread."""
        with contextlib.suppress(OSError):
            self._line.send(b"kill")

    def end(self) -> None:
        """Kill it, wait until all that it held is free, and give its descriptors back; the memory is whose it was."""
        if self._hears(1, _FORKING_S):
            self.kill()
            self._hears(2, _DYING_S)
        else:
            _kill(self._process)
        self._line.close()
        for descriptor in (self.requests, self.replies, self.errors):
            os.close(descriptor)

    def _hears(self, count: int, timeout_s: float) -> bool:
        """Whether so many numbers are told, at the latest after that time. Not thread-safe."""
        self._line.settimeout(timeout_s)
        with contextlib.suppress(OSError):
            while len(self._told) < count:
                told = self._line.recv(NUMBER.size)
                if not told:
                    _kill(self._process)  # its end was the line's
                    break
                self._told += NUMBER.unpack(told)
        return len(self._told) >= count


@dataclass(slots=True)
class _Process:
    """The nurse's process, the line to it, and when it began (monotonic seconds)."""

    process: subprocess.Popen[bytes]
    line: socket.socket
    began: float
    ready: bool = False
    """Its imports are done."""

    def hangs(self) -> bool:
        if not self.ready:
            with contextlib.suppress(OSError):
                self.ready = bool(self.line.recv(1, socket.MSG_DONTWAIT))
        return not self.ready and time.monotonic() - self.began > _IMPORTING_S

    def end(self) -> None:
        _kill(self.process)
        self.line.close()


class Nurse:
    """Started with the first child, and again should it have died, or hang in what it imports. Thread-safe.

    While it imports it lives no longer than the thread that started it, afterwards until it is closed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: list[_Process] = []
        """The last one forks; one that hung before it may still come to fork what it was asked for."""

    def child(self, memory: int, load: bytes) -> Child:
        """A process over ``memory``, a memfd, that begins at once to load ``load``, a pickled Load. Raises OSError."""
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            requests, our_requests = _pipe(theirs, ours)
            our_replies, replies = _pipe(ours, theirs)
            our_errors, errors = _pipe(ours, theirs)
            our_line, line = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.enter_context(our_line)
            theirs.enter_context(line)
            with self._lock:
                nurse = self._alive(load, errors)
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the child's pipes tell it
                    socket.send_fds(nurse.line, [load], [requests, replies, errors, memory, line.fileno()])
            ours.pop_all()
        return Child(self, nurse.process, our_line, (our_requests, our_replies, our_errors), memory, load)

    def close(self) -> None:
        """End it, and with it what it forked."""
        with self._lock:
            for one in self._processes:
                one.end()
            self._processes.clear()

    def _alive(self, load: bytes, errors: int) -> _Process:
        """One that has to be started prepares itself for ``load``, and complains to the first child's ``errors``."""
        last = self._processes[-1] if self._processes else None
        if last is not None and last.process.poll() is None and not last.hangs():
            return last
        for one in [one for one in self._processes if one.process.poll() is not None]:
            one.end()
            self._processes.remove(one)
        line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with contextlib.ExitStack() as ours, theirs, deaf():
            ours.enter_context(line)
            # An interpreter of its own, since the daemon has threads, and so must not be forked.
            process = subprocess.Popen(
                [sys.executable, "-m", "edgerun.worker.child", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=(theirs.fileno(),),
                env={"OPENBLAS_NUM_THREADS": "1", **os.environ},  # else numpy starts threads
            )
            ours.pop_all()
        line.send(load)
        self._processes.append(_Process(process, line, time.monotonic()))
        return self._processes[-1]


def _pipe(reader: contextlib.ExitStack, writer: contextlib.ExitStack) -> tuple[int, int]:
    """The ends to read and to write, each closed with its stack."""
    ends = os.pipe()
    reader.callback(os.close, ends[0])
    writer.callback(os.close, ends[1])
    return ends


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_DYING_S)


def early_child(load: bytes) -> Child:
    """One over a memory of its own, before the worker is there that will adopt both, and the nurse."""
    return Nurse().child(os.memfd_create("edgerun-early"), load)
