"""The child's side: load one engine, then answer slot numbers until the pipe ends.

Run as ``python -m edgerun.worker.child LINE``, the inherited line to the daemon. That process is the nurse, and those
that it forks are the children. Imports numpy and the engine's own library, nothing else.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import resource
import select
import sys
import time
from pathlib import Path

import numpy as np

from edgerun.children import die_with_parent
from edgerun.errors import EdgerunError, EngineError, ReplacedError
from edgerun.filestate import replaced
from edgerun.stages import Engine
from edgerun.worker import PROCESS_NAME, SAID
from edgerun.worker.forking import Errand, forked
from edgerun.worker.pages import let_go_of_files
from edgerun.worker.wire import REPLY, SLOT, Load, Slots, read_exactly, send

_PAUSE_S = 0.05
"""When nothing was asked for so long, nobody waits for what can be put off."""
_PUT_OFF_S = 5.0
"""Where there is no such pause for so long, a request has to wait for it: some milliseconds, once."""


def _prepare(load: Load) -> None:
    """Be told from the nurse, die with it and so with the daemon, and be the first to go when memory runs out."""
    die_with_parent()
    for file, text in (("comm", PROCESS_NAME), ("oom_score_adj", "500")):
        with contextlib.suppress(OSError):
            Path("/proc/self", file).write_text(text)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if load.memory_limit_mb:
        limit = load.memory_limit_mb << 20
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))  # not of addresses: runtimes reserve those freely


def _let_logs_be_heard() -> None:
    """By the daemon, in whose log they belong. An engine that has nothing to say does without the module."""
    if "logging" in sys.modules:
        import logging

        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(SAID + "%(message)s"))
        logging.getLogger("edgerun").addHandler(handler)


def _load(load: Load) -> Engine:
    _refuse_another(load)
    engine = load.build(load.options, load.model)
    _refuse_another(load)  # it may have come while that was read
    # Proven by a real inference: some runtimes load what they cannot run.
    engine.infer([np.zeros(spec.shape, spec.dtype) for spec in engine.io.inputs])
    return engine


def _refuse_another(load: Load) -> None:
    """Raises ReplacedError."""
    if path := replaced(load.files):
        raise ReplacedError(
            f"{path} was replaced since it was checked; until the new one is taken over, none is loaded"
        )


def _serve(engine: Engine, load: Load, errand: Errand) -> None:
    slots = None
    has_let_go, put_off_until = False, time.monotonic() + _PUT_OFF_S
    while True:
        if not has_let_go:
            has_let_go = _is_pause(errand.requests) or time.monotonic() > put_off_until
            if has_let_go:
                let_go_of_files()
        try:
            (number,) = SLOT.unpack(read_exactly(errand.requests, SLOT.size))
        except EOFError:
            return
        if slots is None:
            slots = Slots(errand.memory, engine.io, load.slots, create=False).slots
        slot = slots[number]
        started = time.perf_counter_ns()
        reason = b""
        try:
            slot.store(list(engine.infer(slot.inputs)))
        except (EngineError, ValueError) as error:
            reason = str(error).encode()[:2000]
        os.write(errand.replies, REPLY.pack(number, len(reason), time.perf_counter_ns() - started) + reason)


def _is_pause(requests: int) -> bool:
    return not select.select([requests], [], [], _PAUSE_S)[0]


def main(errand: Errand) -> int:
    os.dup2(errand.errors, sys.stderr.fileno())
    os.close(errand.errors)
    load: Load = pickle.loads(errand.load)
    _prepare(load)
    _let_logs_be_heard()
    try:
        engine = _load(load)
    except EdgerunError as error:
        send(errand.replies, error)
        return 1
    except MemoryError:
        told = f"{load.model.name} needs more memory than the limit of {load.memory_limit_mb} MB"
        send(errand.replies, EngineError(told))
        return 1
    send(errand.replies, engine.io)
    try:
        _serve(engine, load, errand)
    except BrokenPipeError:
        pass
    finally:
        engine.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(forked(sys.argv[1:])))
