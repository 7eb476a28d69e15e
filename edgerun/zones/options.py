"""What zones, lines and the ground can be told. All are drawn in 0-1 of the picture.

What decides is one point of a track's box, the anchor: by default the middle of its lower edge, where a person
touches the ground.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import numpy as np

from edgerun import boxes
from edgerun.limits import Interval, Len
from edgerun.records import dataclass

Unit: TypeAlias = Annotated[float, Interval(ge=0, le=1)]
Point: TypeAlias = tuple[Unit, Unit]
"""x and y in 0-1 of the picture, from its upper left corner."""
Anchor: TypeAlias = Literal["bottom", "center", "top", "left", "right"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneOptions:
    """A part of the picture."""

    polygon: Annotated[tuple[Point, ...], Len(3, 100)]
    """The corners in order, 3 to 100, each `[x, y]` in 0-1 of the picture."""
    anchor: Anchor = "bottom"
    """The point of a box that must lie inside: the middle of its lower edge, its centre, and so on."""
    inertia_s: Annotated[float, Interval(ge=0, le=60)] = 0.3
    """How long the anchor must stay inside before the track counts as inside, and outside before it has left."""
    margin: Annotated[float, Interval(ge=0, le=1)] = 0.15
    """How far outside the anchor must be before the track can leave, as a part of the box's size (the root of its
    area): a box that trembles on the border neither leaves nor comes back."""

    def __post_init__(self) -> None:
        _check_points("polygon", self.polygon)
        if len(self.polygon) < 3:
            raise ValueError(f"a polygon needs at least 3 corners, and this one has {len(self.polygon)}")
        if not boxes.is_simple(self.polygon):
            raise ValueError("the polygon has no area, touches or crosses itself; list its corners in order around it")


@dataclass(frozen=True, slots=True, kw_only=True)
class LineOptions:
    """A line to be crossed. Its left and right are those of somebody who stands at `from` and looks to `to`."""

    from_: Point
    """Where the line starts, `[x, y]` in 0-1 of the picture."""
    to: Point
    """Where the line ends, `[x, y]` in 0-1 of the picture."""
    anchor: Anchor = "bottom"
    """The point of a box that must pass the line."""
    inertia_s: Annotated[float, Interval(ge=0, le=60)] = 0.1
    """How long the anchor must stay on the far side before it counts as passed."""
    margin: Annotated[float, Interval(ge=0, le=1)] = 0.15
    """Half the width of the band around the line in which a track is on neither side, as a part of the box's size
    (the root of its area): somebody who stands on the line passes it not even once."""

    def __post_init__(self) -> None:
        _check_points("line", (self.from_, self.to))
        if self.from_ == self.to:
            raise ValueError("a line needs two different points in from and to")


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundOptions:
    """Four points on the ground whose real distances were measured: what turns pixels into km/h."""

    points: Annotated[tuple[Point, ...], Len(4, 4)]
    """Where the four points are in the picture, `[x, y]` in 0-1, in order around a quadrilateral."""
    meters: Annotated[tuple[tuple[float, float], ...], Len(4, 4)]
    """Where the same four points are on the ground, `[x, y]` in metres from any origin: for a rectangle 3.5 m wide
    and 12 m long `[[0, 0], [3.5, 0], [3.5, 12], [0, 12]]`."""

    def __post_init__(self) -> None:
        _check_points("points", self.points)
        for name, corners in (("points", self.points), ("meters", self.meters)):
            if len(corners) != 4:
                raise ValueError(f"{name} needs exactly 4 points, and has {len(corners)}")
            if not _is_convex(corners):
                raise ValueError(f"the four {name} must go around a convex shape, no three of them on one line")


def _check_points(what: str, points: tuple[Point, ...]) -> None:
    for x, y in points:
        if not (0 <= x <= 1 and 0 <= y <= 1):  # also refuses NaN
            raise ValueError(f"{what}: [{x}, {y}] is outside the picture; x and y are 0 to 1 of its width and height")


def _is_convex(corners: tuple[tuple[float, float], ...]) -> bool:
    turns = [
        boxes.cross(np.array(corners[i - 1]), np.array(corners[i]), np.array(corners[(i + 1) % 4])) for i in range(4)
    ]
    return all(t > 1e-9 for t in turns) or all(t < -1e-9 for t in turns)
