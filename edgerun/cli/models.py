"""``edgerun models``: what there is, what is on this machine, and what a model file holds."""

from __future__ import annotations

import argparse
import json
import os
import pickle
import sys
import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from edgerun.errors import ConfigError, EdgerunError, ModelError
from edgerun.folders import is_file
from edgerun.logs import plain
from edgerun.models import ModelFile, is_path, resolve
from edgerun.models.catalogue import Entry, catalogue, parts
from edgerun.models.checksums import sha256_of
from edgerun.models.resolve import catalogued
from edgerun.models.store import find, folders, pull
from edgerun.types import ModelIO, TensorSpec
from edgerun.worker.nurse import Nurse
from edgerun.worker.process import EngineProcess

LOAD_TIMEOUT_S = 120.0
"""A model file is only looked into by a process that may neither grow nor hang without end."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(do=_list, json=False)
    verbs = parser.add_subparsers(metavar="list|pull|verify|info")
    listing = verbs.add_parser("list", help="the models of the catalogue (the default)")
    listing.add_argument("--json", action="store_true")
    pulling = verbs.add_parser("pull", help="bring models to this machine")
    pulling.set_defaults(do=_pull)
    pulling.add_argument("names", nargs="+", metavar="NAME")
    pulling.add_argument("--from", dest="offline", type=Path, metavar="FOLDER", help="take the files from a folder")
    verifying = verbs.add_parser("verify", help="compare the models on this machine with the catalogue's hashes")
    verifying.set_defaults(do=_verify)
    verifying.add_argument("names", nargs="*", metavar="NAME")
    telling = verbs.add_parser("info", help="a model's inputs, outputs, labels and head")
    telling.set_defaults(do=_info)
    telling.add_argument("model", metavar="NAME|FILE")
    telling.add_argument("--labels", default="", metavar="FILE", help="labels of a model file")
    telling.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    status: int = args.do(args)
    return status


def _list(args: argparse.Namespace) -> int:
    rows = []
    for entry in catalogue(folders()).values():
        there = any(find(file) for file in entry.files)
        size = sum(part.size for file in entry.files for part in file.parts)
        rows.append({**asdict(entry), "here": there, "size": size})
    if args.json:
        print(json.dumps(rows))
        return 0
    for row in rows:
        size = row["size"] / 1e6
        print(f"{row['name']:28} {'here' if row['here'] else '-':5} {size:6.1f} MB  {row['licence']}")
        labels = "1 label" if len(row["labels"]) == 1 else f"{len(row['labels'])} labels"
        print(f"    {row['good_for']} ({labels}, {row['input']})")
    if not all(row["here"] for row in rows):
        print("\nGet one with: edgerun models pull NAME")
    return 0


def _pull(args: argparse.Namespace) -> int:
    """One that cannot be had keeps none of the others away."""
    failures = [error for entry in catalogued(*args.names) if (error := _failure_to_pull(entry, args.offline))]
    if failures:
        raise ModelError("\n".join(map(str, failures)), retriable=any(one.retriable for one in failures))
    return 0


def _failure_to_pull(entry: Entry, offline: Path | None) -> ModelError | None:
    try:
        for file in entry.files:
            path = pull(file, partial(_show_progress, file.name), offline)
            print(f"{entry.name}: {path} (verified, {entry.licence})")
    except ModelError as error:
        return error
    return None


def _show_progress(name: str, have: int, total: int) -> None:
    """On stderr, where a person looks."""
    if sys.stderr.isatty():
        of = f"/{total / 1e6:.1f}" if total else ""
        end = "\n" if total and have >= total else ""
        print(f"\r{name}: {have / 1e6:.1f}{of} MB ", end=end, file=sys.stderr, flush=True)


def _verify(args: argparse.Namespace) -> int:
    """1 when a file is damaged, or one that was asked for by name is not there."""
    bad = False
    for entry in catalogued(*args.names or catalogue(folders())):
        for file in [replace(part, weights=None) for whole in entry.files for part in whole.parts]:
            path = find(file) or next((p for p in (f / file.name for f in folders()) if is_file(p)), None)
            if path is None:
                bad |= bool(args.names)
                verdict = "not here"
            elif sha256_of(path) == file.sha256:
                verdict = f"good  {path}"
            else:
                bad = True
                verdict = f"DAMAGED  {path}: remove it, then run: edgerun models pull {entry.name}"
            print(f"{file.name:34} {verdict}")
    return 1 if bad else 0


def _info(args: argparse.Namespace) -> int:
    if args.labels and not is_path(args.model):
        raise ConfigError(f"--labels goes with a model file; {args.model!r} of the catalogue brings its own")
    model = resolve("", args.model, args.labels) if is_path(args.model) else resolve(args.model)
    engine, io = inspect(model)
    told = _described(model, engine, io)
    if args.json:
        print(json.dumps(told))
        return 0
    for key in ("name", "path", "size", "sha256", "engine", "head", "assumed"):
        if told[key] != "":
            print(f"{key:8} {told[key]}")
    for key in ("inputs", "outputs"):
        for tensor in told[key]:
            quantized = f", (q - {tensor['zero_point']}) x {tensor['scale']:.6g}" if tensor["scale"] else ""
            print(f"{key[:-1]:8} {plain(tensor['name'])} {tensor['shape']} {tensor['dtype']}{quantized}")
    labels = told["labels"]
    more = f", ... ({len(labels)} in all)" if len(labels) > 12 else ""
    print(f"labels   {plain(', '.join(labels[:12])) + more if labels else 'none: give a labels file'}")
    for key, value in told["metadata"].items():
        print(f"says     {plain(key)}: {value[:100]!r}")
    return 0


def inspect(model: ModelFile) -> tuple[str, ModelIO]:
    """Which engine loads a model, and what it is then. Loaded in a process of its own, with limits, and run there.

    Raises ModelError or EngineError where no engine can.
    """
    from edgerun.runtime.inference.engines import PROCESSOR_MEMORY_MB, candidates

    refusals: dict[str, EdgerunError] = {}
    for candidate in candidates(model, None):
        memory = os.memfd_create("edgerun-models")
        load = replace(candidate.load, slots=1, memory_limit_mb=PROCESSOR_MEMORY_MB)
        nurse = Nurse()
        process = EngineProcess(nurse.child(memory, pickle.dumps(load)))
        try:
            return candidate.name, _loaded(process)
        except EdgerunError as error:
            refusals[candidate.name] = error
        finally:
            process.close()
            nurse.close()
            os.close(memory)
    if len(refusals) == 1:
        raise next(iter(refusals.values()))
    told = " ".join(f"{name}: {error}" for name, error in refusals.items())
    raise ModelError(f"No engine can load {model.path}. {told}")


def _loaded(process: EngineProcess) -> ModelIO:
    until = time.monotonic() + LOAD_TIMEOUT_S
    while (left := until - time.monotonic()) > 0:
        io = process.loaded(left)
        if io is not None:
            return io
    raise ModelError(f"it was not loaded within {LOAD_TIMEOUT_S:.0f} s")


def _described(model: ModelFile, engine: str, io: ModelIO) -> dict[str, Any]:
    from edgerun.heads.recognise import assumed, recognise
    from edgerun.runtime.inference.engines import head_chooser, labels_of

    labels = labels_of(model, io)
    try:
        if model.head:
            head_chooser(model, None)(io)  # a catalogue of one's own may name what there is not
        head = model.head or recognise(io.of_one(), len(labels) or None)
    except (ValueError, ModelError) as error:
        head = f"not recognised: {error}"
    return {
        "name": model.name,
        "path": str(model.path),
        "size": sum(path.stat().st_size for path in parts(model.path)),
        "sha256": model.sha256,
        "engine": engine,
        "head": head,
        "assumed": "" if model.head else assumed(head, io),
        "inputs": [_tensor(spec) for spec in io.inputs],
        "outputs": [_tensor(spec) for spec in io.outputs],
        "labels": list(labels),
        "metadata": {str(key): str(value) for key, value in io.metadata.items()},
    }


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {**asdict(spec), "shape": list(spec.shape)}
