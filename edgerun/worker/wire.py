"""What crosses between the daemon and an engine's process: slots of shared memory, and small messages on pipes.

    daemon                                      child
      | -- Load (pickled, through the nurse) ---> |  builds the engine, runs it once
      | <-- ModelIO | an EdgerunError ----------- |
      |  sizes the memory                         |
      | -- slot number -------------------------> |  maps the memory on the first
      | <-- Reply, text --------------------------|  outputs lie in the slot, or a text says why not

An end-of-file on either pipe is the other side's death. Both sides run the same code on the same machine, so the
pickles never come from outside.
"""

from __future__ import annotations

import mmap
import os
import pickle
import struct
from collections.abc import Callable
from dataclasses import field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from edgerun.errors import EngineError
from edgerun.filestate import FileState
from edgerun.records import dataclass
from edgerun.stages import Engine
from edgerun.types import Array, ModelIO, TensorSpec

_LENGTH = struct.Struct("<I")
"""Before each pickle on a pipe: its size."""
SLOT = struct.Struct("<I")
REPLY = struct.Struct("<IIQ")
"""Slot number, length of the text that follows (0: it went well), nanoseconds of the inference."""
_ALIGN = 64
_HEADER = 64
"""Bytes before each output: its rank and dimensions as int64, for those that a TensorSpec leaves open."""
_OPEN_OUTPUT_BYTES = 1 << 20
"""Room for an output whose shape is only known at run time."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a child has to build: a plugin's ``build(options, model)``. ``memory_limit_mb`` 0 means none."""

    build: Callable[..., Engine]
    options: Any
    model: Path
    slots: int
    memory_limit_mb: int = 0
    files: tuple[FileState, ...] = ()
    """The model's as they were when its checksum was told: a child loads no others."""


def send(fd: int, value: object) -> None:
    body = pickle.dumps(value)
    os.write(fd, _LENGTH.pack(len(body)))
    for start in range(0, len(body), 4096):  # small enough never to block halfway on a full pipe
        os.write(fd, body[start : start + 4096])


def read_exactly(fd: int, size: int) -> bytes:
    """``size`` bytes. Raises EOFError at the end of the pipe."""
    parts = b""
    while len(parts) < size:
        part = os.read(fd, size - len(parts))
        if not part:
            raise EOFError
        parts += part
    return parts


def receive(fd: int) -> Any:
    (size,) = _LENGTH.unpack(read_exactly(fd, _LENGTH.size))
    return pickle.loads(read_exactly(fd, size))


@dataclass(frozen=True, slots=True)
class Slot:
    """One request's place: views of the shared memory, made once."""

    inputs: tuple[Array, ...]
    headers: tuple[Array, ...]
    bodies: tuple[Array, ...]
    io: ModelIO = field(repr=False)

    def store(self, outputs: tuple[Array, ...] | list[Array]) -> None:
        """Copy an engine's outputs in. Raises EngineError when one does not fit."""
        for spec, header, body, output in zip(self.io.outputs, self.headers, self.bodies, outputs, strict=True):
            if -1 not in spec.shape:
                if output.shape != body.shape:  # which a copy would stretch, where it can
                    raise EngineError(f"output {spec.name!r} came in the shape {output.shape}, not {body.shape}")
                np.copyto(body, output)
                continue
            if output.size > body.size:
                raise EngineError(f"output {spec.name!r} of shape {output.shape} is larger than edgerun allows")
            header[0] = output.ndim
            header[1 : 1 + output.ndim] = output.shape
            body[: output.size] = output.reshape(-1)

    def outputs(self) -> tuple[Array, ...]:
        """Views of the outputs in their own shapes, valid until the slot is used again."""
        return tuple(
            body if -1 not in spec.shape else body[: prod(shape := self._shape(header))].reshape(shape)
            for spec, header, body in zip(self.io.outputs, self.headers, self.bodies, strict=True)
        )

    @staticmethod
    def _shape(header: Array) -> tuple[int, ...]:
        return tuple(int(n) for n in header[1 : 1 + int(header[0])])


class Slots:
    """The shared memory of one worker, as both sides see it. The parent makes the memfd and keeps it over restarts."""

    def __init__(self, fd: int, io: ModelIO, count: int, *, create: bool) -> None:
        offset, places = 0, []
        for spec in io.inputs:
            if -1 in spec.shape:
                raise EngineError(f"input {spec.name!r} has an open shape {spec.shape}; set the engine's input_size")
            places.append((offset, spec.shape, np.dtype(spec.dtype)))
            offset = _aligned(offset + _nbytes(spec))
        for spec in io.outputs:
            size = _OPEN_OUTPUT_BYTES if -1 in spec.shape else _nbytes(spec)
            dtype = np.dtype(spec.dtype)
            shape = (size // dtype.itemsize,) if -1 in spec.shape else spec.shape
            places.append((offset + _HEADER, shape, dtype))
            offset = _aligned(offset + _HEADER + size)
        size = max(offset, _ALIGN) * count
        if create and os.fstat(fd).st_size < size:  # never smaller: somebody may still write to a mapping of before
            os.ftruncate(fd, size)
        self._memory = mmap.mmap(fd, size)
        self.slots = tuple(self._slot(io, places, number * (size // count)) for number in range(count))

    def _slot(self, io: ModelIO, places: list[tuple[int, tuple[int, ...], np.dtype[Any]]], base: int) -> Slot:
        def view(offset: int, shape: tuple[int, ...], dtype: Any) -> Array:
            flat = np.frombuffer(self._memory, dtype, prod(shape), base + offset)
            return flat.reshape(shape)

        inputs = tuple(view(*place) for place in places[: len(io.inputs)])
        outputs = places[len(io.inputs) :]
        headers = tuple(view(place[0] - _HEADER, (_HEADER // 8,), np.int64) for place in outputs)
        return Slot(inputs, headers, tuple(view(*place) for place in outputs), io)


def _nbytes(spec: TensorSpec) -> int:
    return prod(spec.shape) * np.dtype(spec.dtype).itemsize


def _aligned(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN
