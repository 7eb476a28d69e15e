"""Zones and lines: what may be drawn, who is inside, who passed, and where on the ground."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerun.zones import Ground, GroundOptions, LineOptions, ZoneOptions, Zones
from tests.geometry import crossing, inside

SIZE = (640, 480)
SQUARE = ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75))
RECTANGLE = ((0.0, 0.0), (3.5, 0.0), (3.5, 12.0), (0.0, 12.0))

unit = st.floats(0, 1).map(lambda x: round(x, 3))
spot = st.tuples(st.floats(20, 620), st.floats(60, 470))


def track(
    zones: Zones, feet: list[tuple[float, float]], seen: list[bool] | None = None, fps: float = 10.0
) -> list[str]:
    """Lead one box of 40 x 50 px over the points at its feet: what happens in each frame, a letter each."""
    zones.grow(1)
    letters = []
    for frame, (x, y) in enumerate(feet):
        box = np.array([[x - 20, y - 50, x + 20, y]], np.float32)
        found = np.array([seen[frame] if seen else True])
        zones.update(box, np.sqrt(np.array([2000], np.float32)), found, np.array([frame / fps]), frame / fps, SIZE)
        crossed = {1: "R", -1: "L", 0: ""}[int(zones.crossed.sum())]
        letters.append(("E" if zones.entered.any() else "") + ("X" if zones.left.any() else "") + crossed)
    return letters


@pytest.mark.parametrize(
    ("polygon", "words"),
    [
        (((0.1, 0.1), (0.9, 0.9)), "at least 3 corners"),
        (((0.1, 0.1), (0.9, 0.1), (1.2, 0.9)), r"\[1.2, 0.9\] is outside the picture"),
        (((0.1, 0.1), (0.9, 0.1), (float("nan"), 0.9)), "outside the picture"),
        (((0.1, 0.1), (0.9, 0.9), (0.9, 0.1), (0.1, 0.9)), "crosses itself"),
        (((0.1, 0.1), (0.5, 0.5), (0.9, 0.9)), "no area"),
    ],
)
def test_bad_polygon_is_refused_in_words(polygon: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ZoneOptions(polygon=polygon)


def test_line_needs_two_points() -> None:
    with pytest.raises(ValueError, match="two different points"):
        LineOptions(from_=(0.5, 0.5), to=(0.5, 0.5))
    with pytest.raises(ValueError, match="outside the picture"):
        LineOptions(from_=(0.5, 0.5), to=(0.5, -0.1))


@pytest.mark.parametrize(
    ("points", "meters", "words"),
    [
        (SQUARE[:3], RECTANGLE, "exactly 4"),
        ((SQUARE[0], SQUARE[2], SQUARE[1], SQUARE[3]), RECTANGLE, "points must go around"),
        (SQUARE, ((0.0, 0.0), (1.0, 0.0), (2.0, 0.0), (0.0, 3.0)), "meters must go around"),
    ],
)
def test_bad_ground_is_refused_in_words(points: Any, meters: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        GroundOptions(points=points, meters=meters)


@given(st.lists(spot, min_size=1, max_size=20), st.sampled_from(["bottom", "center", "top", "left", "right"]))
def test_without_inertia_inside_is_the_polygon(feet: list[tuple[float, float]], anchor: Any) -> None:
    """With no inertia and no margin, who is inside is told by the anchor alone, for several polygons at once."""
    polygons = {
        "square": SQUARE,
        "arrow": ((0.1, 0.1), (0.9, 0.5), (0.1, 0.9), (0.4, 0.5)),
        "lower": ((0.0, 0.5), (1.0, 0.5), (1.0, 1.0), (0.0, 1.0)),
    }
    zones = Zones({n: ZoneOptions(polygon=p, anchor=anchor, inertia_s=0, margin=0) for n, p in polygons.items()}, {})
    zones.grow(len(feet))
    box = np.array([[x - 20, y - 50, x + 20, y] for x, y in feet], np.float32)
    seen = np.ones(len(feet), np.bool_)
    zones.update(box, np.ones(len(feet), np.float32), seen, np.zeros(len(feet)), 0.0, SIZE)
    offset = {"bottom": (0, 0), "center": (0, -25), "top": (0, -50), "left": (-20, -25), "right": (20, -25)}[anchor]
    points = np.clip(np.array(feet, np.float32) + np.array(offset, np.float32), 0.5, np.array(SIZE) - 0.5)
    for column, polygon in enumerate(polygons.values()):
        corners = np.array(polygon) * SIZE
        near = np.zeros(len(feet), np.bool_)  # rounding may decide within a hair of the border
        for dx, dy in ((1e-3, 0), (-1e-3, 0), (0, 1e-3), (0, -1e-3)):
            near |= inside(points + np.array([dx, dy]), corners) != inside(points, corners)
        assert ((zones.inside[:, column] == inside(points, corners)) | near).all()


def test_box_cut_off_by_the_picture_is_inside_a_zone_that_ends_there() -> None:
    zones = Zones({"all": ZoneOptions(polygon=((0, 0), (1, 0), (1, 1), (0, 1)), inertia_s=0)}, {})
    assert track(zones, [(320, 480), (700, 500)]) == ["E", ""]


def test_entering_takes_inertia_in_seconds_not_frames() -> None:
    """At 10 and at 30 frames a second it takes 0.3 s of being inside without a break."""
    for fps in (10.0, 30.0):
        zones = Zones({"z": ZoneOptions(polygon=SQUARE, inertia_s=0.3)}, {})
        letters = track(zones, [(320, 240)] * 20, fps=fps)
        assert letters.index("E") == round(0.3 * fps)
    zones = Zones({"z": ZoneOptions(polygon=SQUARE, inertia_s=0.3)}, {})
    assert "E" not in track(zones, [(320, 240), (320, 240), (100, 240)] * 10)


def test_leaving_takes_inertia_too_right_after_entering() -> None:
    zones = Zones({"z": ZoneOptions(polygon=SQUARE, inertia_s=0.3)}, {})
    here, there = (320.0, 240.0), (100.0, 240.0)
    letters = track(zones, [here] * 4 + [there] * 2 + [here] + [there] * 5)
    assert letters == ["", "", "", "E", *[""] * 6, "X", ""]


def test_predicted_boxes_decide_nothing() -> None:
    zones = Zones({"z": ZoneOptions(polygon=SQUARE)}, {"l": LineOptions(from_=(0.2, 0.3), to=(0.8, 0.3))})
    feet = [(320.0, 100.0)] * 5 + [(320.0, 240.0)] * 20
    assert set(track(zones, feet, [True] * 5 + [False] * 20)) == {""}


@given(st.lists(st.tuples(st.floats(-4, 4), st.floats(-4, 4)), min_size=50, max_size=200), st.integers(0, 3))
def test_trembling_on_the_border_is_at_most_one_visit(shakes: list[tuple[float, float]], corner: int) -> None:
    """However a box trembles by less than its margin (here 0.15 x 45 px) about any corner, it enters once at most and
    never leaves."""
    zones = Zones({"z": ZoneOptions(polygon=SQUARE)}, {})
    x, y = SQUARE[corner][0] * 640, SQUARE[corner][1] * 480
    letters = "".join(track(zones, [(x + dx * 0.7, y + dy * 0.7) for dx, dy in shakes]))
    assert letters in ("", "E")


@given(st.lists(st.floats(-4, 4), min_size=10, max_size=60), st.booleans(), st.booleans())
def test_standing_on_a_line_is_one_pass_or_none(shakes: list[float], starts_left: bool, ends_left: bool) -> None:
    """Whatever a box does within the band, only the sides it came from and went to count. Seen by who stands at the
    line's start and looks along it to the right of the picture, left is up."""
    zones = Zones({}, {"gate": LineOptions(from_=(0.1, 0.5), to=(0.9, 0.5))})
    way = [(320.0, 180.0 if starts_left else 300.0)] * 3
    way += [(320.0, 240.0 + shake) for shake in shakes]
    way += [(320.0, 180.0 if ends_left else 300.0)] * 3
    told = "".join(track(zones, way))
    assert told == ("" if starts_left == ends_left else "R" if starts_left else "L")


def test_passing_takes_inertia_without_a_break() -> None:
    """Steps over a line that are shorter than 0.3 s never add up to a pass."""
    here, there = (320.0, 300.0), (320.0, 180.0)
    for way, told in (([here] * 5 + [there] * 2) * 5, ""), ([here] * 5 + [there] * 5, "L"):
        zones = Zones({}, {"gate": LineOptions(from_=(0.1, 0.5), to=(0.9, 0.5), inertia_s=0.3)})
        assert "".join(track(zones, way)) == told


@given(spot, spot, spot)
def test_pass_needs_the_lines_own_length(
    a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]
) -> None:
    """Passing beside the end of a line is no pass; a way there and back is two, or none."""
    line = LineOptions(from_=(0.3, 0.5), to=(0.7, 0.4), inertia_s=0, margin=0)
    told = "".join(track(Zones({}, {"l": line}), [a, a, b, b, a, a]))
    from_, to = np.array(line.from_) * SIZE, np.array(line.to) * SIZE
    assert told == {0: "", 1: "RL", -1: "LR"}[crossing(a, b, from_, to)]
    assert track(Zones({}, {"l": line}), [c] * 4) == [""] * 4


@pytest.mark.parametrize(
    ("sides", "told"), [("lrrrr", ""), ("lrlll", ""), ("llrll", ""), ("lrrrll", "L"), ("l-l-rr-", ""), ("rrl-ll", "L")]
)
def test_who_was_on_a_side_for_a_moment_only_came_from_neither(sides: str, told: str) -> None:
    """At 5 frames a second 0.2 s of inertia are two sightings in a row, on the side passed from as on the other."""
    zones = Zones({}, {"gate": LineOptions(from_=(0.1, 0.5), to=(0.9, 0.5), inertia_s=0.2)})
    feet = [(320.0, {"l": 200.0, "-": 240.0, "r": 280.0}[side]) for side in sides]
    assert "".join(track(zones, feet, fps=5)) == told


@pytest.mark.parametrize(
    ("way", "told"),
    [
        ([(400, 220), (440, 260), (480, 260), (560, 260)], "R"),  # passes, and has turned aside before it is told
        ([(460, 220), (460, 260), (400, 260), (300, 260)], ""),  # passes beside the end, and walks behind the line
        ([(300, 220), (440, 237), (500, 237), *[(540, 260)] * 3], ""),  # walks along it, and passes beside its end
        ([(400, 220), (440, 237), (440, 243), (500, 243), *[(600, 260)] * 3], "R"),  # passes, and walks along it
    ],
)
def test_pass_is_where_the_line_was_stepped_over(way: list[tuple[float, float]], told: str) -> None:
    """The line ends at 448 px; what is farther on, before or after, is no part of the pass."""
    zones = Zones({}, {"gate": LineOptions(from_=(0.1, 0.5), to=(0.7, 0.5), inertia_s=0.2)})
    assert "".join(track(zones, [way[0]] * 3 + way)) == told


def test_stay_counts_seconds_of_this_visit() -> None:
    zones = Zones({"z": ZoneOptions(polygon=SQUARE)}, {})
    track(zones, [(320, 240)] * 21)
    assert zones.stays(np.array([2.0])) == pytest.approx(2.0)
    zones.leave(np.array([True]))
    assert zones.left.all() and not zones.inside.any() and zones.stays(np.array([2.0])) < 0


@given(st.tuples(st.floats(0.5, 5), st.floats(1, 30)), unit)
def test_ground_maps_what_was_measured(size: tuple[float, float], part: float) -> None:
    """The four points land where they were measured, and straight lines stay straight."""
    meters = ((0.0, size[1]), (size[0], size[1]), (size[0], 0.0), (0.0, 0.0))
    points = ((0.4, 0.25), (0.6, 0.25), (0.9, 1.0), (0.1, 1.0))
    ground = Ground(GroundOptions(points=points, meters=meters))
    assert ground.meters(np.array(points)) == pytest.approx(np.array(meters), abs=1e-6)
    left = np.array(points[0]) + (np.array(points[3]) - points[0]) * part
    assert ground.meters(left[None])[0, 0] == pytest.approx(0, abs=1e-6)


def test_above_the_horizon_there_is_no_ground() -> None:
    points = ((0.4, 0.25), (0.6, 0.25), (0.9, 1.0), (0.1, 1.0))
    ground = Ground(GroundOptions(points=points, meters=RECTANGLE))
    assert np.isnan(ground.meters(np.array([[0.5, 0.0]]))).all()
