"""How one alert lies in the outbox file: a row that tells all of itself, so that it can be found without the file.

``RS id camera seq done length crc LF body``. ``done`` names the rows that were delivered since the row before was
written: the marks of delivery ride on the next alert's commit and cost no page of their own (see also ``ring``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TypeAlias
from zlib import crc32

from edgerun.records import dataclass
from edgerun.topics import NAME

Ranges: TypeAlias = tuple[tuple[int, int], ...]
"""Ids as ranges, both ends included."""

MARKS_ID = 0
"""The id of the one row that holds no alert but marks: every id below its ``seq`` is settled, and those in ``done``."""

ANY = "*"
"""In the place of a camera's name: all those that have no row of their own."""

_HEAD = re.compile(
    rb"\x1e(\d{1,15}) (%b|\*) (\d{1,15}) (-|\d{1,15}(?:[,-]\d{1,15})*) (\d{1,9}) ([0-9a-f]{8})\n" % NAME.encode()
)


@dataclass(frozen=True, slots=True)
class Row:
    """One alert as it is stored; without a body it only keeps the camera's seq."""

    id: int
    camera: str
    seq: int
    done: Ranges
    body: bytes


@dataclass(frozen=True, slots=True)
class Trace:
    """A row's beginning found in a damaged file; ``row`` is None when the rest of it is not whole."""

    id: int
    camera: str
    seq: int
    row: Row | None


def pack(row: Row) -> bytes:
    """The row as bytes, with a checksum over all that it holds."""
    done = ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in row.done) or "-"
    head = f"{row.id} {row.camera} {row.seq} {done} {len(row.body)}".encode()
    return b"\x1e%s %08x\n%s" % (head, crc32(row.body, crc32(head)), row.body)


def checksum(blob: bytes) -> int:
    """The checksum that a packed row bears."""
    end = blob.index(b"\n")
    return int(blob[end - 8 : end], 16)


def unpack(blob: bytes) -> Row:
    """The row that ``pack`` wrote. Raises ValueError when one bit of it is not as it was."""
    found = _HEAD.match(blob)
    row = _whole(found, blob[found.end() :]) if found else None
    if row is None:
        raise ValueError("a row does not fit its checksum")
    return row


def scan(image: bytes) -> Iterator[Trace]:
    """Every row anywhere in a piece of a damaged file or of its log, in the order of their places, old versions
    included.

    A row longer than a page lies there in pieces, so it is found but not whole.
    """
    for found in _HEAD.finditer(image):
        row = _whole(found, image[found.end() : found.end() + int(found[5])])
        yield Trace(int(found[1]), found[2].decode(), int(found[3]), row)


def _whole(found: re.Match[bytes], body: bytes) -> Row | None:
    head = found[0][1:-10]
    if len(body) != int(found[5]) or crc32(body, crc32(head)) != int(found[6], 16):
        return None
    done = () if found[4] == b"-" else tuple(_range(part) for part in found[4].split(b","))
    return Row(int(found[1]), found[2].decode(), int(found[3]), done, body)


def _range(part: bytes) -> tuple[int, int]:
    first, _, last = part.partition(b"-")
    return int(first), int(last or first)


def ranges(ids: Iterable[int]) -> Ranges:
    """Ids as ranges, sorted and as few as can be."""
    found: list[tuple[int, int]] = []
    for number in sorted(set(ids)):
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return tuple(found)


class Settled:
    """Which ids are settled: all below a floor, and ranges above it."""

    def __init__(self) -> None:
        self._floor = MARKS_ID + 1
        self._ranges: list[tuple[int, int]] = []

    def add(self, row: Row) -> None:
        """Learn what a row marks as delivered."""
        if row.id == MARKS_ID:
            self._floor = max(self._floor, row.seq)
        self._ranges.extend(row.done)

    @property
    def end(self) -> int:
        """No id from here on is settled."""
        return max([self._floor, *(last + 1 for _, last in self._ranges)])

    def among(self, ids: Iterable[int]) -> set[int]:
        """Those of ``ids`` that are settled."""
        known = set(ids)
        done = {number for number in known if number < self._floor}
        for first, last in self._ranges:
            if last - first < len(known):
                done.update(number for number in range(first, last + 1) if number in known)
            else:
                done.update(number for number in known if first <= number <= last)
        return done
