"""Stages that do what a test says. They live in a module so that an engine's process can import them, too."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgerun.errors import EngineError, ModelError
from edgerun.types import Array, Detections, Fit, InputLayout, ModelIO, TensorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeEngineOptions:
    """``fault`` happens at the inference of that number, counting from the process's start (the trial run is 1)."""

    fault: str = ""
    at: int = 0
    once: Path | None = None
    """The fault happens only while this file is not there; it is made then."""
    delay_s: float = 0.0
    size: int = 8
    batch: int = 1
    shared: bool = False
    """An output that does not tell the pictures of a batch apart."""
    name: str = "fake"


class FakeEngine:
    """Gives back the mean of its picture, and its process id."""

    def __init__(self, options: FakeEngineOptions, model: Path) -> None:
        self._options = options
        self._calls = 0
        if options.fault == "load":
            raise EngineError("this accelerator is not plugged in", retriable=True)
        if options.fault == "load again" and not self._is_due():
            raise EngineError("there is no memory left", retriable=True)
        if options.fault == "wrong model":
            raise ModelError("this is a poem, not a model")
        if options.fault == "slower":
            print("libfake: opened", file=sys.stderr)
            logging.getLogger("edgerun.engines.fake").warning("the accelerator runs at half its clock")
        if options.fault == "crash on load":
            sys.stderr.write("libfake: cannot map the device\n")
            sys.stderr.flush()
            os.kill(os.getpid(), signal.SIGSEGV)
        picture = TensorSpec("picture", (options.batch, options.size, options.size, 3), "uint8")
        rows = 1 if options.shared else options.batch
        pid = TensorSpec("pid", (-1,) if options.batch == 1 else (rows, -1), "int64")
        self.io = ModelIO((picture,), (TensorSpec("mean", (options.batch,), "float32"), pid))

    def infer(self, tensors: Sequence[Array]) -> Sequence[Array]:
        self._calls += 1
        time.sleep(self._options.delay_s)
        if self._options.fault == "now and then" and self._calls % self._options.at == 0:
            raise EngineError("the delegate refused this one")
        if self._calls == self._options.at and self._is_due():
            self._fail()
        pids = np.full((*self.io.outputs[1].shape[:-1], 1), os.getpid(), np.int64)
        return [tensors[0].mean(axis=(1, 2, 3), dtype=np.float32), pids]

    def close(self) -> None: ...

    def _is_due(self) -> bool:
        once = self._options.once
        if once is None:
            return True
        if once.exists():
            return False
        once.touch()
        return True

    def _fail(self) -> None:
        match self._options.fault:
            case "error":
                raise EngineError("the delegate refused")
            case "hang":
                time.sleep(600)
            case fault:
                os.kill(os.getpid(), signal.Signals[fault])


class FakeHead:
    """Says one box over the region, its score the picture's mean over 255."""

    def layout(self, io: ModelIO) -> InputLayout:
        return InputLayout()

    def decode(self, outputs: Sequence[Array], io: ModelIO, fit: Fit, min_score: float) -> Detections:
        score = np.array([float(outputs[0][0]) / 255], np.float32)
        return Detections(np.array([fit.region], np.float32), score, np.zeros(1, np.int32))
