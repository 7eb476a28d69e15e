"""A look at an ONNX file before any runtime parses it: what could reach outside the file is refused.

ONNX lets a tensor live in another file, named by the model; every check of that name has been escaped so far
(CVE-2022-25882, CVE-2024-27318 and later ones), so such tensors are refused altogether. An ``EPContext`` node
carries, or points to, a compiled accelerator program, which is native code: refused as well.

The walk follows only the fields of onnx.proto3 that can lead to a tensor or a node, and skips weights unread.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from edgerun.errors import ModelError

_Schema = Mapping[int, str]

# onnx/onnx.proto3: message -> field number -> message type of that field.
_FIELDS: Final[Mapping[str, _Schema]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Function": {7: "Node", 11: "Attribute"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {},
}
_MODEL_PROPERTY: Final = 14
_NODE_OP_TYPE: Final = 4
_TENSOR_EXTERNAL: Final = 13
_TENSOR_LOCATION: Final = 14
_MAX_DEPTH: Final = 64
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def refuse_unsafe_onnx(path: Path) -> None:
    """Raise ModelError when the file is no whole ONNX model, or one that reaches outside itself."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            _walk(mapped, path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise ModelError(f"{path}: not a whole ONNX model ({error}). Pull or export it again.") from error


def onnx_metadata(path: Path) -> dict[str, str]:
    """The properties that exporters leave in an ONNX file. Call ``refuse_unsafe_onnx`` first: the file is trusted to
    be whole."""
    found = {}
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        for number, wire, start, stop in _fields(mapped, 0, len(mapped)):
            if number == _MODEL_PROPERTY and wire == _BYTES:
                entry = {n: mapped[a:b].decode(errors="replace") for n, _, a, b in _fields(mapped, start, stop)}
                found[entry.get(1, "")] = entry.get(2, "")
    return found


def _walk(file: mmap.mmap, path: Path) -> None:
    pending = [("Model", 0, len(file), 0)]
    graphs = 0
    while pending:
        message, start, end, depth = pending.pop()
        if depth > _MAX_DEPTH:
            raise ValueError(f"nested deeper than {_MAX_DEPTH} levels")
        known = _FIELDS[message]
        for number, wire, value, stop in _fields(file, start, end):
            if message == "Tensor":
                _refuse_outside(number, wire, value, path)
            elif message == "Node" and number == _NODE_OP_TYPE and file[value:stop] == b"EPContext":
                raise ModelError(
                    f"{path}: carries a program compiled elsewhere (an EPContext node), which would run as native "
                    "code. Use the plain ONNX model; edgerun compiles it here."
                )
            if wire == _BYTES and number in known:
                graphs += known[number] == "Graph"
                pending.append((known[number], value, stop, depth + 1))
    if not graphs:
        raise ValueError("it has no graph")


def _refuse_outside(number: int, wire: int, value: int, path: Path) -> None:
    if (number == _TENSOR_EXTERNAL and wire == _BYTES) or (number == _TENSOR_LOCATION and value == 1):
        raise ModelError(
            f"{path}: keeps weights in another file, which is refused because the name could lead anywhere. "
            "Save it as one file: onnx.save(model, path, save_as_external_data=False)."
        )


def _fields(file: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Each field of one message as ``(number, wire type, begin, end)``; a varint's value stands in ``begin``."""
    at = start
    while at < end:
        key, at = _varint(file, at, end)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise ValueError("it is no protobuf")
        if wire == _VARINT:
            value, at = _varint(file, at, end)
            yield number, wire, value, value
            continue
        if wire == _BYTES:
            length, at = _varint(file, at, end)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError("it is no protobuf")
        if length > end - at:
            raise ValueError("it is cut short")
        yield number, wire, at, at + length
        at += length


def _varint(file: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise ValueError("it is cut short")
        byte = file[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("it is no protobuf")
