"""Checksums of files. Those of a model's are remembered: to add up 100 MB takes a small device a second."""

from __future__ import annotations

import time
from pathlib import Path

from edgerun.hashing import sha256
from edgerun.notes import Notes

_NOTES = Notes("checksums.json")
_BLOCK = 1 << 18
_SETTLED_NS = 2_000_000_000
"""A file that is younger may yet change without another time: those of some file systems are so coarse."""


def sha256_of(*paths: Path) -> str:
    """The hash of the contents of files, one after the other. Raises OSError."""
    digest = sha256()
    for path in paths:
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()


def known_sha256_of(*paths: Path) -> str:
    """The same, without reading files that are as they were the last time. Raises OSError."""
    files = [path.stat() for path in paths]
    state = [[file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns] for file in files]
    key = "\n".join(str(path.absolute()) for path in paths)
    match _NOTES.get(key):
        case {"state": before, "sha256": str(known)} if before == state:
            return known
    found = sha256_of(*paths)
    if all(time.time_ns() - file.st_ctime_ns > _SETTLED_NS for file in files):
        _NOTES.put(key, {"state": state, "sha256": found})
    return found
