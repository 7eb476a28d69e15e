"""Fifty model files that mean harm, or came to harm, and archives that do."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import random
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from tests.engines import onnx_models as onnx

SECRET = "the-secret.bin"
"""A file beside the folder of the models, of 4096 bytes, that no model may read."""
_HUGE = 1 << 40
_PICTURE = [1, 3, 64, 64]


def hostile_files(folder: Path, good: Path, chance: random.Random) -> Iterator[tuple[str, Path]]:
    """What each is, and where it was written."""
    (folder.parent / SECRET).write_bytes(chance.randbytes(4096))
    for number, (what, suffix, content) in enumerate(_contents(good, chance)):
        path = folder / f"hostile-{number}{suffix}"
        path.write_bytes(content)
        yield what, path
    yield from _pairs(folder, chance)
    yield from _oddities(folder, good)


def _contents(good: Path, chance: random.Random) -> Iterator[tuple[str, str, bytes]]:
    whole = good.read_bytes()
    for tenth in (0, 1, 3, 5, 7, 9):
        yield f"cut after {tenth} tenths", ".tflite", whole[: len(whole) * tenth // 10]
    for turned, reach in [(1, 64), (8, 1024), (20, 4096), (40, 1 << 16), (200, len(whole)), (2000, len(whole))] * 2:
        content = bytearray(whole)
        for _ in range(turned):
            content[4 + chance.randrange(reach - 4)] ^= chance.randrange(1, 256)
        yield f"{turned} bytes turned", ".tflite", bytes(content)
    yield "noise under the right mark", ".tflite", whole[:8] + chance.randbytes(20_000)
    yield "a bomb as its metadata", ".tflite", whole + _bomb()
    yield "an Edge TPU's operation without a body", ".tflite", whole + b"edgetpu-custom-op"
    yield "noise", ".onnx", chance.randbytes(20_000)
    for where in (
        f"../{SECRET}",
        f"../../{SECRET}",
        "/etc/passwd",
        "/dev/zero",
        "//proc/self/mem",
        "x/../../" + SECRET,
    ):
        yield f"weights in {where}", ".onnx", _adding(onnx.tensor("w", [1024], b"", onnx.external(where)))
    yield "weights that claim terabytes", ".onnx", _adding(onnx.tensor("w", [_HUGE], b"\0" * 64))
    yield "weights of a negative size", ".onnx", _adding(onnx.tensor("w", [(1 << 64) - 4], b"\0" * 64))
    yield "an input of terabytes", ".onnx", onnx.pooling([1, 3, 1 << 20, 1 << 20])
    yield "an output of terabytes", ".onnx", _grown(_HUGE)
    yield "an output of many gigabytes", ".onnx", _grown(3 << 32)
    yield "nested too deep", ".onnx", _nested(5000)
    yield "a loop without end", ".onnx", _endless()
    yield "a compiled program inside", ".onnx", _context()
    yield "a poem", ".onnx", b"roses are red " * 1000
    yield "a pickle", ".onnx", pickle.dumps({"weights": [os.path.join]})
    yield "PyTorch's own kind", ".pt", _torch()
    yield "a native library", ".engine", b"\x7fELF" + chance.randbytes(4096)


def _adding(weights: bytes) -> bytes:
    """A model that adds ``w`` to its picture."""
    shapes = onnx.value("picture", _PICTURE), onnx.value("sum", _PICTURE)
    return onnx.model([onnx.node("Add", ["picture", "w"], ["sum"])], shapes[:1], shapes[1:], [weights])


def _grown(count: int) -> bytes:
    """A small picture becomes ``count`` numbers."""
    top = onnx.node("ReduceMax", ["picture"], ["top"], onnx.attribute("keepdims", 0))
    nodes = [top, onnx.node("Expand", ["top", "n"], ["all"])]
    ins, outs = [onnx.value("picture", _PICTURE)], [onnx.value("all", ["n"])]
    return onnx.model(nodes, ins, outs, [onnx.integers("n", [count])])


def _nested(depth: int) -> bytes:
    graph = onnx.node("Identity", ["picture"], ["out"])
    for _ in range(depth):
        body = onnx.field(1, "then_branch") + onnx.field(6, onnx.field(1, graph)) + onnx.field(20, 5)
        graph = onnx.field(1, "picture") + onnx.field(2, "out") + onnx.field(4, "If") + onnx.field(5, body)
    return onnx.model([graph], [onnx.value("picture", _PICTURE)], [onnx.value("out", _PICTURE)])


def _endless() -> bytes:
    """Its one node is a Loop that never comes to its condition's end."""
    body = onnx.field(1, onnx.node("Identity", ["go"], ["on"])) + onnx.field(2, "body")
    for number, name, kind in ((11, "i", 7), (11, "go", 9), (12, "on", 9)):
        body += onnx.field(number, onnx.value(name, [], kind))
    loop = onnx.node("Loop", ["most", ""], [], onnx.field(1, "body") + onnx.field(6, body) + onnx.field(20, 5))
    nodes = [loop, onnx.node("GlobalMaxPool", ["picture"], ["largest"])]
    most = onnx.field(2, 7) + onnx.field(8, "most") + onnx.field(9, ((1 << 62) - 1).to_bytes(8, "little"))
    return onnx.model(nodes, [onnx.value("picture", _PICTURE)], [onnx.value("largest", [1, 3, 1, 1])], [most])


def _context() -> bytes:
    node = onnx.node("EPContext", ["picture"], ["out"], domain="com.microsoft")
    return onnx.model([node], [onnx.value("picture", _PICTURE)], [onnx.value("out", _PICTURE)])


def _pairs(folder: Path, chance: random.Random) -> Iterator[tuple[str, Path]]:
    """ncnn's and OpenVINO's models are two files."""
    told = {
        "layers without end": (".param", "7767517\n2000000000 2000000000\nInput x 0 1 x 0=64 1=64 2=3\n"),
        "layers that point nowhere": (".param", "7767517\n2 2\nInput x 0 1 x\nPooling p 1 1 nowhere out\n"),
        "a layer of vast sides": (".param", "7767517\n2 2\nInput x 0 1 x 0=2000000000 1=2000000000\nReLU r 1 1 x y\n"),
        "a network with no layer": (".xml", '<?xml version="1.0"?><net name="n" version="11"><layers/><edges/></net>'),
        "entities without end": (".xml", '<!DOCTYPE n [<!ENTITY a "aa"><!ENTITY b "&a;&a;&a;">]><net name="&b;"/>'),
        "a file named as an entity": (
            ".xml",
            '<!DOCTYPE n [<!ENTITY a SYSTEM "file:///etc/passwd">]><net name="&a;"/>',
        ),
    }
    for number, (what, (suffix, text)) in enumerate(told.items()):
        path = folder / f"pair-{number}{suffix}"
        path.write_text(text)
        path.with_suffix(".bin").write_bytes(chance.randbytes(1024))
        yield what, path


def _oddities(folder: Path, good: Path) -> Iterator[tuple[str, Path]]:
    """Paths that are no plain files."""
    pipe, vast, loop, deep = (folder / name for name in ("pipe.onnx", "vast.tflite", "loop.tflite", "folder.onnx"))
    os.mkfifo(pipe)
    with vast.open("wb") as file:
        file.truncate(_HUGE)
    loop.symlink_to(loop)
    deep.mkdir()
    yield from (("a pipe", pipe), ("a terabyte of nothing", vast), ("a link to itself", loop), ("a folder", deep))
    yield "a device", Path("/dev/zero")


def hostile_catalogue(folder: Path, good: Path) -> list[str]:
    """A ``catalogue.json`` whose entries mean harm when they are pulled; their names."""
    bomb, climbing, torch = folder / "bomb.zip", folder / "climbing.zip", folder / "torch.zip"
    bomb.write_bytes(_bomb())
    with zipfile.ZipFile(climbing, "w") as archive:
        archive.writestr("../../escaped", good.read_bytes())
    torch.write_bytes(_torch())
    sources = {
        "bomb": (str(bomb), "huge.txt"),
        "climbing": (str(climbing), "../../escaped"),
        "wrong-hash": (str(good), ""),
        "torch": (str(torch), ""),
        "plain-http": ("http://127.0.0.1:9/model.tflite", ""),
        "file-url": ("file:///etc/passwd", ""),
        "option": ("wheel:--index-url=http://x==1", "m"),
    }
    words = {"task": "detection", "good_for": "nothing", "input": "8x8", "licence": "none", "labels": ["x"]}
    sizes = {"wrong-hash": good.stat().st_size, "torch": torch.stat().st_size}  # only by its contents is it told
    entries = {}
    for name, (source, member) in sources.items():
        sha256 = hashlib.sha256(torch.read_bytes()).hexdigest() if name == "torch" else "0" * 64
        file = {"name": f"{name}.tflite", "sha256": sha256, "size": sizes.get(name, 4096)}
        entries[name] = {**words, "files": [{**file, "source": source, "member": member}]}
    (folder / "catalogue.json").write_text(json.dumps(entries))
    return list(entries)


def _bomb() -> bytes:
    """A zip of a few kilobytes that unpacks to megabytes, and to a path outside."""
    memory = BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("huge.txt", b"\0" * 50_000_000)
        archive.writestr("../../escaped.txt", "someone\n")
        archive.writestr("metadata.json", "{" + '"a":' * 100_000)
    return memory.getvalue()


def _torch() -> bytes:
    memory = BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps([1, 2, 3]))
    return memory.getvalue()
