"""Engines that take their time. Apart from what starts the daemon, as an engine's process imports them by name."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgerun.engines.tflite import Tflite
from edgerun.types import Array

SLOW_S = 0.15


class Hanging:
    """One whose accelerator does not answer."""

    def __init__(self, options: Any, model: Path) -> None:
        time.sleep(600)


class Slow(Tflite):
    """One that waits for something else than the processor, so that cores are idle meanwhile."""

    def infer(self, tensors: Sequence[Array]) -> list[Array]:
        time.sleep(SLOW_S)
        return super().infer(tensors)
