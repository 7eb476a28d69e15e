"""Starts a worker's children, each over its candidate's shared memory, which is laid out for what was loaded."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Sequence
from typing import TypeAlias

from edgerun.errors import EngineError
from edgerun.records import dataclass
from edgerun.types import ModelIO
from edgerun.worker.nurse import Child, Nurse
from edgerun.worker.process import EngineProcess
from edgerun.worker.terms import SLOTS, Candidate
from edgerun.worker.wire import Slots

Layout: TypeAlias = tuple[ModelIO, Slots]
"""What was loaded, and how the memory is laid out for it."""


@dataclass(slots=True)
class Started:
    """A child of the candidate ``index`` that is loading, or was, since ``began`` (monotonic seconds)."""

    index: int
    process: EngineProcess
    began: float


class Launcher:
    """Of one worker, used by its thread. ``early`` is a child that was started before: adopted where it loads what the
    first one started is to."""

    def __init__(self, number: int, candidates: Sequence[Candidate], nurse: Nurse, early: Child | None) -> None:
        self._loads = [one.load for one in candidates]
        self._nurse = nurse
        self._early = early
        self._memories = [os.memfd_create(f"edgerun-{number}-{one.name}") for one in candidates]
        self._known: dict[int, Layout] = {}
        """By candidate; kept, since another thread may still write there when an engine is given up."""

    def start(self, index: int) -> Started:
        """Begin to load a candidate. Raises EngineError, retriable."""
        load = self._loads[index]
        child, self._early = self._early, None
        if child is not None:
            if pickle.loads(child.load) == load:
                os.close(self._memories[index])
                self._memories[index] = child.memory
            else:
                child.end()
                os.close(child.memory)
                child = None
        try:
            child = child or self._nurse.child(self._memories[index], pickle.dumps(load))
        except OSError as error:  # no descriptor, no memory or no further process is to be had now
            raise EngineError(f"its process cannot be started: {error.strerror}", retriable=True) from None
        return Started(index, EngineProcess(child), time.monotonic())

    def layout(self, index: int, io: ModelIO) -> Layout:
        """The candidate's memory for what was loaded: another object than the last time only where that has changed."""
        known = self._known.get(index)
        if known is None or known[0] != io:
            known = self._known[index] = io, Slots(self._memories[index], io, SLOTS, create=True)
        return known

    def close(self) -> None:
        """Once no child is left."""
        if self._early is not None:
            self._early.end()
        for memory in self._memories:
            os.close(memory)
