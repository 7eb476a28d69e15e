"""Starting an engine's process: an interpreter and three descriptors.

Imports the standard library alone, so that it can be done before the daemon's own modules are imported.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass

from edgerun.worker import LENGTH


@dataclass(frozen=True, slots=True)
class Child:
    """A process, our ends of its pipes, and its memory."""

    process: subprocess.Popen[bytes]
    requests: int
    replies: int
    memory: int
    load: bytes = b""
    """What it was told to load at once, where it was started early."""

    def end(self) -> None:
        """Kill and reap it, and give its descriptors back; the memory is whose it was."""
        self.process.kill()
        self.process.wait()
        for descriptor in (self.requests, self.replies):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        if self.process.stderr is not None:
            self.process.stderr.close()


def spawn(memory: int, load: bytes = b"") -> Child:
    """Start one over ``memory``, a memfd. With ``load``, a pickled Load, it begins to load at once."""
    requests, our_requests = os.pipe()
    our_replies, replies = os.pipe()
    try:
        # No fork of a process with threads, no helper process.
        process = subprocess.Popen(
            [sys.executable, "-m", "edgerun.worker.child", str(requests), str(replies), str(memory)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(requests, replies, memory),
        )
    finally:
        os.close(requests)
        os.close(replies)
    if load:
        with contextlib.suppress(BrokenPipeError):
            os.write(our_requests, LENGTH.pack(len(load)) + load)
    return Child(process, our_requests, our_replies, memory, load)


def spawn_early(load: bytes) -> Child:
    """Start one over a memory of its own, before the worker is there that will adopt both."""
    return spawn(os.memfd_create("edgerun-early"), load)
