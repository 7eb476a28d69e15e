"""Tiny ONNX files, written field by field (onnx/onnx.proto3), so that tests can say exactly what a file holds."""

from __future__ import annotations

import struct
from collections.abc import Sequence

FLOAT, INT64 = 1, 7
Dimension = int | str


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    body = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(body)) + body


def value(name: str, shape: Sequence[Dimension], kind: int = FLOAT) -> bytes:
    """An input or output; a dimension given by name is open."""
    dims = b"".join(field(1, field(1, n) if isinstance(n, int) else field(2, n)) for n in shape)
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, dims)))


def tensor(name: str, shape: Sequence[int], raw: bytes, *more: bytes) -> bytes:
    dims = b"".join(field(1, n) for n in shape)
    return dims + field(2, FLOAT) + field(8, name) + (field(9, raw) if raw else b"") + b"".join(more)


def integers(name: str, values: Sequence[int]) -> bytes:
    """A list of numbers, as operations want their axes and shapes."""
    raw = struct.pack(f"<{len(values)}q", *values)
    return field(1, len(values)) + field(2, INT64) + field(8, name) + field(9, raw)


def attribute(name: str, number: int) -> bytes:
    return field(1, name) + field(3, number) + field(20, 2)


def node(op: str, inputs: Sequence[str], outputs: Sequence[str], *attributes: bytes, domain: str = "") -> bytes:
    names = b"".join(field(1, n) for n in inputs) + b"".join(field(2, n) for n in outputs)
    return names + field(4, op) + b"".join(field(5, a) for a in attributes) + (field(7, domain) if domain else b"")


def external(location: str) -> bytes:
    """What makes a tensor's weights lie in another file."""
    return field(13, field(1, "location") + field(2, location)) + field(14, 1)


def model(
    nodes: Sequence[bytes],
    inputs: Sequence[bytes],
    outputs: Sequence[bytes],
    weights: Sequence[bytes] = (),
    metadata: dict[str, str] | None = None,
) -> bytes:
    parts = [(1, nodes), (5, weights), (11, inputs), (12, outputs)]
    graph = b"".join(field(number, part) for number, group in parts for part in group) + field(2, "graph")
    opset = field(8, field(1, "") + field(2, 17)) + field(8, field(1, "com.microsoft") + field(2, 1))
    properties = (field(14, field(1, key) + field(2, text)) for key, text in (metadata or {}).items())
    return field(1, 8) + field(7, graph) + opset + b"".join(properties)


def pooling(shape: Sequence[Dimension], *, name: str = "picture", metadata: dict[str, str] | None = None) -> bytes:
    """A picture in, the largest value of each channel out."""
    return model(
        [node("GlobalMaxPool", [name], ["largest"])],
        [value(name, shape)],
        [value("largest", [shape[0], shape[1], 1, 1])],
        metadata=metadata,
    )
