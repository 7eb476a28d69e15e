"""Shapes that a model leaves open, settled once, so that slots of a fixed size can be laid out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, TypeAlias

import numpy as np

from edgerun.errors import ModelError
from edgerun.limits import Ge, Interval
from edgerun.types import Array, TensorSpec

OPEN = -1
"""A dimension that the model leaves open."""
MOST_PIXELS = 8192
MOST_BATCH = 16
Batch: TypeAlias = Annotated[int, Interval(ge=1, le=MOST_BATCH)]
Size: TypeAlias = tuple[Annotated[int, Ge(1)], Annotated[int, Ge(1)]]
"""Width and height of a picture in pixels."""
USUAL_SIZE = (640, 640)
_MOST_CHOSEN = 300
"""Models that choose their boxes tell of so many at the most."""


def told_size(metadata: Mapping[str, str]) -> tuple[int, int] | None:
    """Width and height of the picture that an Ultralytics export was made for (``imgsz``: height and width)."""
    sides = [int(side) for side in re.findall(r"\d{1,5}", metadata.get("imgsz", ""))]
    return (sides[-1], sides[0]) if 1 <= len(sides) <= 2 else None


def settle_input(shape: Sequence[int], size: tuple[int, int], batch: int) -> tuple[int, ...]:
    """A shape with its open dimensions filled: ``batch`` pictures, three channels, and ``size`` (width, height)."""
    if len(shape) != 4:
        return tuple((1 if axis else batch) if n == OPEN else n for axis, n in enumerate(shape))
    width, height = size
    channels_last = shape[3] in (1, 3) and shape[1] not in (1, 3)
    usual = (batch, height, width, 3) if channels_last else (batch, 3, height, width)
    return tuple(u if n == OPEN else n for n, u in zip(shape, usual, strict=True))


def settle_output(shape: Sequence[int], seen: Sequence[Sequence[int]], batch: int) -> tuple[int, ...]:
    """An output's shape after a few inferences of ``batch`` pictures gave the shapes ``seen``.

    An open dimension that came out the same each time, and not zero, follows from the input's shape and is fixed;
    the others depend on what is in the picture and stay -1. So do those that count what was found.
    """
    if len(shape) != len(seen[0]):
        shape = (OPEN,) * len(seen[0])
    columns = zip(*seen, strict=True)
    return tuple(
        n if n != OPEN or len(set(column)) > 1 or _counts_what_was_found(axis, column[0], shape, batch) else column[0]
        for axis, (n, column) in enumerate(zip(shape, columns, strict=True))
    )


def _counts_what_was_found(axis: int, count: int, shape: Sequence[int], batch: int) -> bool:
    """Whether an open dimension may: nothing is in a trial's picture, or as much as the model tells of. So may a
    first one that does not count the pictures, and one of rows that are too few to stand for a cell each."""
    if axis == 0:
        return count != batch
    return count == 0 or (axis == 1 and len(shape) == 3 and shape[2] != OPEN and count <= _MOST_CHOSEN)


def refuse_unscaled(outputs: Sequence[TensorSpec]) -> None:
    """Raises ModelError for outputs that are quantized, by a scale that their format does not tell."""
    unclear = [spec.name for spec in outputs if spec.dtype in ("int8", "uint8", "int16") and not spec.scale]
    if unclear:
        raise ModelError(
            f"The outputs {', '.join(unclear)} are quantized, and nothing tells their scale. Export the model with "
            "float outputs, or as .tflite for the engine tflite."
        )


def picture_first(inputs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """The inputs with the picture (the one of rank 4) in front; the rest keep their order.

    Raises ModelError where there is none, or one for more than MOST_BATCH at a time, or of a size that no camera has.
    """
    ordered = tuple(sorted(inputs, key=lambda spec: len(spec.shape) != 4))
    shape = ordered[0].shape if ordered else ()
    if len(shape) != 4 or 3 not in (shape[1], shape[3]):
        found = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in inputs) or "none"
        raise ModelError(f"The model takes no colour picture; its inputs: {found}. Is it an object detector?")
    if not 1 <= shape[0] <= MOST_BATCH:
        raise ModelError(f"The model takes {shape[0]} pictures at a time. Export it with a batch of 1 to {MOST_BATCH}.")
    if max(shape) > MOST_PIXELS:
        raise ModelError(f"The model takes a picture of shape {list(shape)}; {MOST_PIXELS} pixels a side is the most.")
    return ordered


def settled(
    infer: Callable[[Sequence[Array]], Sequence[Array]],
    inputs: Sequence[TensorSpec],
    outputs: Iterable[tuple[str, Sequence[int]]],
) -> tuple[TensorSpec, ...]:
    """The ``outputs``, of which names and shapes are told, after inferences of two different pictures: those tell the
    types, and what depends on the picture."""
    runs = [[(o.shape, str(o.dtype)) for o in infer(trial_tensors(inputs, seed))] for seed in (0, 1)]
    batch = inputs[0].shape[0]
    return tuple(
        TensorSpec(name, settle_output(shape, [seen[0] for seen in trials], batch), trials[0][1])
        for (name, shape), *trials in zip(outputs, *runs, strict=True)
    )


def trial_tensors(inputs: Sequence[TensorSpec], seed: int) -> list[Array]:
    """Input tensors to try a model with: an even picture for seed 0, noise for others; ones for what is no picture."""
    tensors: list[Array] = []
    for spec in inputs:
        tensor = np.ones(spec.shape, spec.dtype)
        if seed and len(spec.shape) == 4:
            # by multiplication (Knuth 6.4): numpy.random takes a while to import
            tensor[...] = (np.arange(seed, seed + tensor.size, dtype=np.uint32) * 2654435769 >> 25).reshape(spec.shape)
        tensors.append(tensor)
    return tensors
