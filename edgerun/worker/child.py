"""The child's side: load one engine, then answer slot numbers until the pipe ends.

Run as ``python -m edgerun.worker.child REQUESTS REPLIES MEMORY`` with three inherited descriptors. Imports numpy and
the engine's own library, nothing else.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
import time
from pathlib import Path

import numpy as np

from edgerun.errors import EdgerunError, EngineError
from edgerun.stages import Engine
from edgerun.worker.wire import REPLY, SLOT, Load, Loaded, Slots, read_exactly, receive, send

_PR_SET_PDEATHSIG = 1


def _prepare(load: Load) -> None:
    """Die with the daemon even while an inference hangs; be the first to go when memory runs out."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if load.memory_limit_mb:
        limit = load.memory_limit_mb << 20
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))  # not of addresses: runtimes reserve those freely
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a signal to the group is the daemon's to answer


def _load(load: Load) -> Engine:
    engine = load.build(load.options, load.model)
    # Proven by a real inference: some runtimes load what they cannot run.
    engine.infer([np.zeros(spec.shape, spec.dtype) for spec in engine.io.inputs])
    return engine


def _serve(engine: Engine, load: Load, requests: int, replies: int, memory: int) -> None:
    slots = None
    while True:
        try:
            (number,) = SLOT.unpack(read_exactly(requests, SLOT.size))
        except EOFError:
            return
        if slots is None:
            slots = Slots(memory, engine.io, load.slots, create=False).slots
        slot = slots[number]
        started = time.perf_counter_ns()
        reason = b""
        try:
            slot.store(list(engine.infer(slot.inputs)))
        except (EngineError, ValueError) as error:
            reason = str(error).encode()[:2000]
        os.write(replies, REPLY.pack(number, len(reason), time.perf_counter_ns() - started) + reason)


def main(requests: int, replies: int, memory: int) -> int:
    load: Load = receive(requests)
    _prepare(load)
    try:
        engine = _load(load)
    except EdgerunError as error:
        send(replies, error)
        return 1
    except MemoryError:
        send(replies, EngineError(f"{load.model.name} needs more memory than the limit of {load.memory_limit_mb} MB"))
        return 1
    send(replies, Loaded(engine.io))
    try:
        _serve(engine, load, requests, replies, memory)
    except BrokenPipeError:
        pass
    finally:
        engine.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:4])))
