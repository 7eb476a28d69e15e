"""What a .tflite file says of itself: in a zip archive at its end, whose files TensorFlow's metadata tells apart.

That metadata is a FlatBuffer within the model's own (tensorflow/lite/schema/schema.fbs, ``Metadata``, and
tflite-support's metadata_schema.fbs).
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgerun.archives import unpacking
from edgerun.errors import ModelError
from edgerun.literals import read_literal
from edgerun.records import dataclass

if TYPE_CHECKING:
    from zipfile import ZipFile

_ZIP_END_BYTES: Final = 22 + (1 << 16)
"""A zip archive ends with a record of 22 bytes and a comment (APPNOTE.TXT 4.3.16)."""
METADATA_BYTES: Final = 1 << 20
"""Metadata beyond this is not read: labels and a licence fit many times over, an archive made to explode does not."""
_MOST_FILES: Final = 16
_MOST_TABLES: Final = 64
_NAME: Final = b"TFLITE_METADATA"
_LABELS: Final = (2, 3)
"""The kinds of an associated file that are labels: of an output's axis, and of its values."""
_NO_LABELS: Final = ("license", "licence", "copying", "notice", "readme")


def read_metadata(path: Path) -> dict[str, str]:
    """What a zip archive appended to a .tflite file says: Ultralytics' keys (``names``, ``task``, ``imgsz``, ...), and
    ``labels`` with the text of TensorFlow's associated label file. Empty where there is none."""
    with path.open("rb") as file:
        file.seek(-min(_ZIP_END_BYTES, path.stat().st_size), os.SEEK_END)
        if b"PK\5\6" not in file.read():
            return {}
    import zipfile  # takes a while; most models have no metadata

    if not zipfile.is_zipfile(path):
        return {}
    found: dict[str, str] = {}
    what = f"The metadata at the end of {path}"
    try:
        with unpacking(path, what) as archive:
            texts = dict(_texts(archive))
    except OSError as error:
        raise ModelError(f"{what} is damaged: {error}") from error
    plain: list[str] = []
    for name, text in texts.items():
        if name == "metadata.json" or text.lstrip().startswith("{"):
            found |= _mapping(text)
        elif name.endswith(".txt"):
            plain.append(name)
    if plain and (labels := _labels_file(path, plain)):
        found["labels"] = texts[labels]
    return found


def _texts(archive: ZipFile) -> Iterator[tuple[str, str]]:
    for entry in archive.infolist()[:_MOST_FILES]:
        if entry.file_size <= METADATA_BYTES:
            with archive.open(entry) as stream:
                yield entry.filename, stream.read(METADATA_BYTES).decode("utf-8", "replace")


def _mapping(text: str) -> dict[str, str]:
    """A JSON object, or the Python literal that older exports wrote, as texts; empty where it is neither."""
    import json

    try:
        made = json.loads(text)
    except (ValueError, RecursionError):
        made = read_literal(text)
    return {str(key): str(value) for key, value in made.items()} if isinstance(made, dict) else {}


def _labels_file(path: Path, names: Sequence[str]) -> str | None:
    """Which of several text files holds the labels: what the model says, the English ones of several languages; else
    one that is called so; else the first that is not plainly something else."""
    told = [name for name in _told_labels(path) if name in names]
    called = [name for name in names if "label" in name.lower()]
    others = [name for name in names if not name.lower().startswith(_NO_LABELS)]
    return next(iter(told or called or others), None)


def _told_labels(path: Path) -> list[str]:
    """The names of the label files that TensorFlow's metadata tells, English ones first; none where it is damaged."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            model = _Table.root(content, 0)
            about = next((one for one in model.tables(6) if one.body(0) == _NAME), None)
            if about is None:
                return []
            whole = model.table(4, about.number(1, "<I")).body(0)
    except (struct.error, ValueError, OSError):
        return []
    try:
        files = [
            one
            for subgraph in _Table.root(whole, 0).tables(3)
            for output in subgraph.tables(3)
            for one in output.tables(6)
            if one.number(2, "<b") in _LABELS
        ]
        files.sort(key=lambda one: one.body(3)[:2] not in (b"", b"en"))
        return [one.body(0).decode("utf-8", "replace") for one in files]
    except struct.error:
        return []


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of a FlatBuffer, whose fields are asked for by their number (flatbuffers.dev/internals). Raises
    struct.error for what lies outside of ``content``."""

    content: bytes | mmap.mmap
    at: int

    @classmethod
    def root(cls, content: bytes | mmap.mmap, at: int) -> _Table:
        return cls(content, at + struct.unpack_from("<I", content, at)[0])

    def tables(self, field: int) -> list[_Table]:
        """Those of a vector, or as many as can be meant."""
        return [self.table(field, place) for place in range(min(self._vector(field)[1], _MOST_TABLES))]

    def table(self, field: int, place: int) -> _Table:
        """One of them."""
        return self.root(self.content, self._vector(field)[0] + 4 * place)

    def body(self, field: int) -> bytes:
        """Of a text, or of a vector of bytes."""
        start, count = self._vector(field)
        return self.content[start : start + count]

    def number(self, field: int, form: str) -> int:
        place = self._place(field)
        return int(struct.unpack_from(form, self.content, place)[0]) if place else 0

    def _vector(self, field: int) -> tuple[int, int]:
        place = self._place(field)
        if not place:
            return 0, 0
        place += struct.unpack_from("<I", self.content, place)[0]
        return place + 4, struct.unpack_from("<I", self.content, place)[0]

    def _place(self, field: int) -> int:
        """Where a field lies; 0 where it is left out."""
        about = self.at - struct.unpack_from("<i", self.content, self.at)[0]
        size = struct.unpack_from("<H", self.content, about)[0]
        offset = struct.unpack_from("<H", self.content, about + 4 + 2 * field)[0] if 4 + 2 * field < size else 0
        return self.at + offset if offset else 0
