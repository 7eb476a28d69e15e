"""The rule book: what rules may be told, when they are awake, and what must hold whatever the tracks do.

What each kind of rule makes of what it sees stands in ``tests/scenarios``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerun.rules import Place, RuleBook, RuleOptions
from edgerun.rules.schedule import Schedule, sun_times
from edgerun.types import Event, Past, Stamp, Tracks
from edgerun.zones import GroundOptions, LineOptions, ZoneOptions

YARD = ZoneOptions(polygon=((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)))
GATE = LineOptions(from_=(0.1, 0.5), to=(0.9, 0.5))
LABELS = ("person", "car")
VIENNA = Place(timezone="Europe/Vienna", latitude=48.21, longitude=16.37)
Row = tuple[int, float, float]


def rule(**options: Any) -> RuleOptions:
    return RuleOptions(**{"name": "r"} | options)


def book(*rules: RuleOptions, **options: Any) -> RuleBook:
    return RuleBook(rules, {"yard": YARD}, {"gate": GATE}, LABELS, **options)


def tracks(rows: Sequence[Row], seen: bool = True, class_id: int | Sequence[int] = 0) -> Tracks:
    """Tracks of 40 x 100 px, each told by its id and the point at its feet."""
    box = np.array([[x - 20, y - 100, x + 20, y] for _, x, y in rows], np.float32).reshape(-1, 4)
    n = len(rows)
    ids = np.array([i for i, _, _ in rows], np.int64)
    return Tracks(box, np.full(n, 0.9, np.float32), np.full(n, class_id, np.int32), ids, np.full(n, seen))


def stamp(t: float, wall: float = 0.0, size: tuple[int, int] = (640, 480)) -> Stamp:
    return Stamp("porch", round(t * 10), t, wall, *size)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"when": "enter"}, "needs zone"),
        ({"when": "cross", "zone": "yard"}, "needs line"),
        ({"when": "dwell", "zone": "yard"}, "needs seconds above 0"),
        ({"when": "dwell", "zone": "yard", "seconds": 0.0}, "needs seconds above 0"),
        ({"when": "count", "zone": "yard"}, "needs at_least or at_most"),
        ({"when": "count", "zone": "yard", "at_least": 3, "at_most": 1}, "at_least is above at_most"),
        ({"when": "enter", "zone": "yard", "line": "gate", "seconds": 3}, "takes no line or seconds"),
        ({"when": "speed", "zone": "yard"}, "needs min_speed_kmh or max_speed_kmh"),
        ({"when": "enter", "zone": "yard", "min_area": 0.5, "max_area": 0.1}, "min_area is above max_area"),
        ({"when": "all", "all": ("a",), "seconds": 3}, "at least two other rules"),
        ({"when": "enter", "zone": "yard", "schedule": "25:00-26:00"}, "25:00 is no time of day"),
        ({"when": "sneeze", "zone": "yard"}, "when: 'sneeze' is not known; it is one of enter, exit"),
    ],
)
def test_rule_that_cannot_be_meant_is_refused_in_words(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        rule(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"when": "enter", "zone": "yrad"}, "the camera has no zone 'yrad'; it has yard"),
        ({"when": "cross", "line": "door"}, "the camera has no line 'door'; it has gate"),
        ({"when": "enter", "zone": "yard", "labels": ("persn",)}, "does not know the label 'persn'; is it 'person'"),
        ({"when": "speed", "zone": "yard", "min_speed_kmh": 30.0}, "needs its ground"),
        ({"when": "enter", "zone": "yard", "schedule": "sunset-sunrise"}, "needs the camera's latitude"),
        ({"when": "enter", "zone": "yard", "schedule": "22:00-sunrise"}, "needs the camera's latitude"),
        ({"when": "all", "all": ("a", "b"), "seconds": 3}, "'a' in all is no other rule"),
    ],
)
def test_rule_about_what_is_not_there_is_refused_in_words(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        book(rule(**options))


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two rules are named 'r'"):
        book(rule(when="enter", zone="yard"), rule(when="exit", zone="yard"))


def test_all_stands_on_no_other_all() -> None:
    plain = [rule(name=name, when="enter", zone="yard") for name in ("a", "b")]
    stacked = [rule(name=name, when="all", all=of, seconds=3.0) for name, of in (("c", ("a", "b")), ("d", ("a", "c")))]
    with pytest.raises(ValueError, match="'c' in all is no other rule"):
        book(*plain, *stacked)


@pytest.mark.parametrize(
    ("text", "local", "awake"),
    [
        ("22:00-06:00", "2024-05-15 23:00", True),
        ("22:00-06:00", "2024-05-15 06:00", False),
        ("22:00-06:00", "2024-05-15 05:59:59", True),
        ("fri 22:00-06:00", "2024-05-18 03:00", True),  # Saturday morning: Friday's night
        ("fri 22:00-06:00", "2024-05-17 03:00", False),
        ("mon-fri 08:00-18:00; sat,sun 10:00-12:00", "2024-05-18 11:00", True),
        ("mon-fri 08:00-18:00; sat,sun 10:00-12:00", "2024-05-18 09:00", False),
        ("sat,sun", "2024-05-19 23:59", True),
        ("sat,sun", "2024-05-20 00:00", False),
        ("fri-mon 00:00-24:00", "2024-05-19 12:00", True),
        ("sunset-sunrise", "2024-06-21 20:50", False),  # the sun sets at 20:58
        ("sunset-sunrise", "2024-06-21 21:05", True),
        ("sunset-sunrise", "2024-06-22 04:50", True),  # and rises at 04:54
        ("sunset-sunrise", "2024-06-22 05:00", False),
        ("sunset-30m-sunrise+15m", "2024-06-21 20:30", True),
        ("sunset-30m-sunrise+15m", "2024-06-22 05:05", True),
        ("sunset-23:30", "2024-06-21 23:00", True),
        ("01:00-03:30", "2024-03-31 03:15", True),  # the hour from 02:00 is not there
        ("02:00-03:00", "2024-03-31 12:00", False),  # nor is the window of that night
        ("02:30-03:00", "2024-03-31 12:00", False),
        ("sun 02:00-03:00", "2024-03-31 12:00", False),
        ("02:00-03:00", "2024-04-01 02:30", True),
        ("22:00-06:00", "2024-10-27 02:30", True),
        ("05:30-sunrise", "2024-12-21 07:00", True),
        ("05:30-sunrise", "2024-06-21 07:00", False),
        ("22:00-sunrise", "2024-06-21 04:00", True),
        ("sunset-20:00", "2024-12-21 17:00", True),
        ("sunset-20:00", "2024-06-21 21:30", False),
        ("sunset-00:00", "2024-06-21 23:30", True),
        ("sunrise-00:00", "2024-06-21 23:30", True),
    ],
)
def test_schedule_by_the_local_clock(text: str, local: str, awake: bool) -> None:
    wall = datetime.fromisoformat(local).replace(tzinfo=ZoneInfo("Europe/Vienna")).timestamp()
    assert Schedule(text, VIENNA).awake(wall) is awake


def test_schedule_stands_a_clock_that_jumps() -> None:
    """One schedule asked about moments years apart, in any order, tells what a fresh one tells."""
    schedule = Schedule("mon-thu 22:00-06:00; sunrise-12:00", VIENNA)
    for wall in np.random.default_rng(1).uniform(0, 2e9, 200).tolist():
        assert schedule.awake(wall) is Schedule("mon-thu 22:00-06:00; sunrise-12:00", VIENNA).awake(wall)


@given(st.integers(0, 1439), st.integers(0, 1439), st.floats(0, 2e9), st.sampled_from(["UTC", "Asia/Kolkata"]))
def test_where_clocks_never_change_hours_are_the_clocks(start: int, end: int, wall: float, name: str) -> None:
    if start == end:
        return
    text = f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"
    local = datetime.fromtimestamp(wall, ZoneInfo(name))
    minute = local.hour * 60 + local.minute
    inside = start <= minute < end if start < end else minute >= start or minute < end
    assert Schedule(text, Place(timezone=name)).awake(wall) is inside


@pytest.mark.parametrize("text", ["22-6", "22:00", "moon 22:00-06:00", "10:00-10:00", "dusk-dawn", "", "fri 8:00-9:61"])
def test_schedule_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"schedule"):
        Schedule(text)


@pytest.mark.parametrize(
    ("day", "latitude", "longitude", "rise", "down"),
    [  # UTC, rounded from astral 3.2
        (date(2024, 6, 21), 48.21, 16.37, "2024-06-21 02:54:21", "2024-06-21 18:58:30"),
        (date(2024, 12, 21), -33.87, 151.21, "2024-12-20 18:41:07", "2024-12-21 09:05:26"),
        (date(2024, 3, 20), 0.0, 0.0, "2024-03-20 06:04:12", "2024-03-20 18:10:22"),
    ],
)
def test_sun_is_within_a_minute(day: date, latitude: float, longitude: float, rise: str, down: str) -> None:
    wanted = [datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp() for text in (rise, down)]
    assert sun_times(day, latitude, longitude) == pytest.approx(wanted, abs=60)


@pytest.mark.parametrize(
    ("name", "latitude", "longitude"),
    [
        ("Pacific/Apia", -13.83, -171.77),
        ("Pacific/Kiritimati", 1.87, -157.4),
        ("Pacific/Fiji", -16.8, -179.9),
        ("America/Adak", 52.9, 172.9),
        ("Pacific/Auckland", -36.85, 174.76),
    ],
)
def test_beside_the_date_line_the_sun_rises_on_the_clocks_day(name: str, latitude: float, longitude: float) -> None:
    place = Place(latitude=latitude, longitude=longitude, timezone=name)
    monday = datetime(2024, 3, 11, tzinfo=ZoneInfo(name)).timestamp()

    def awake(text: str) -> list[int]:
        """Hours from Monday's midnight on."""
        return [hour for hour in range(-24, 48) if Schedule(text, place).awake(monday + 3600 * hour)]

    assert 9 < len(awake("mon sunrise-sunset")) < 17
    assert all(6 <= hour < 24 for hour in awake("mon sunrise-sunset"))
    assert awake("mon sunset-24:00")[-1] == 23
    assert awake("mon 03:00-sunrise")[0] == 3


def test_polar_night_is_all_night_and_polar_day_none() -> None:
    tromso = Place(latitude=69.65, longitude=18.96, timezone="Europe/Oslo")
    night, light = Schedule("sunset-sunrise", tromso), Schedule("sunrise-sunset", tromso)
    winter = datetime(2024, 12, 21, tzinfo=timezone.utc).timestamp()
    summer = datetime(2024, 6, 21, tzinfo=timezone.utc).timestamp()
    assert all(night.awake(winter + hour * 3600) for hour in range(48))
    assert not any(night.awake(summer + hour * 3600) for hour in range(48))
    assert not any(light.awake(winter + hour * 3600) for hour in range(48))
    assert all(light.awake(summer + hour * 3600) for hour in range(48))


def test_a_polar_day_is_in_one_piece() -> None:
    """From one to the next there is no moment of night, which would end whatever is open."""
    pole = Place(latitude=78.2, longitude=15.6, timezone="Arctic/Longyearbyen")
    night, light = Schedule("sunset-sunrise", pole), Schedule("sunrise-sunset", pole)
    for number in range(40):
        today = date(2024, 6, 1) + timedelta(number)
        down, rise = (sun_times(day, 78.2, 15.6)[end] for day, end in ((today, 1), (today + timedelta(1), 0)))
        assert light.awake((down + rise) / 2)
        assert not night.awake((down + rise) / 2)


def test_place_needs_a_known_zone_and_both_coordinates() -> None:
    with pytest.raises(ValueError, match="timezone 'Mars/Olympus' is not known"):
        Place(timezone="Mars/Olympus")
    with pytest.raises(ValueError, match="together"):
        Place(latitude=48.0)


def test_occupancy_has_a_zero_for_what_rules_name_and_zones_go_with_the_rows() -> None:
    rules = book(rule(when="enter", zone="yard", labels=("person",)))
    assert rules.occupancy() == {("yard", "person"): 0}
    for frame in range(10):
        rules.update(tracks([(5, 30, 300), (2, 320, 300), (9, 300, 200)]), stamp(frame / 10))
    assert rules.occupancy() == {("yard", "person"): 2}
    assert rules.zones_of() == [(), ("yard",), ("yard",)]
    for frame in range(10, 40):
        rules.update(tracks([(7, 320, 250)], class_id=1), stamp(frame / 10))
    assert rules.occupancy() == {("yard", "person"): 0, ("yard", "car"): 1}


def test_class_without_a_label_is_told_by_its_number() -> None:
    rules = book(rule(when="enter", zone="yard"), rule(name="car", when="enter", zone="yard", labels=("car",)))
    told = [e for f in range(10) for e in rules.update(tracks([(1, 320, 300)], class_id=77), stamp(f / 10))]
    assert [(event.rule, event.objects[0].label) for event in told] == [("r", "class 77")]
    assert rules.occupancy() == {("yard", "car"): 0, ("yard", "class 77"): 1}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"min_area": 0.013}, True),
        ({"min_area": 0.014}, False),
        ({"max_area": 0.014}, True),
        ({"max_area": 0.013}, False),
        ({"min_aspect": 0.39}, True),
        ({"min_aspect": 0.41}, False),
        ({"max_aspect": 0.41}, True),
        ({"max_aspect": 0.39}, False),
        ({"min_area": 0.013, "max_area": 0.014, "min_aspect": 0.41, "max_aspect": 0.5}, False),
    ],
)
def test_rule_is_about_boxes_of_a_size_and_shape(options: dict[str, float], told: bool) -> None:
    """A box of 40 x 100 px is 0.01302 of the picture."""
    rules = book(rule(when="enter", zone="yard", **options))
    events = [event for frame in range(10) for event in rules.update(tracks([(1, 320, 300)]), stamp(frame / 10))]
    assert bool(events) is told


def test_each_counts_from_when_its_score_is_enough() -> None:
    """Three stand in the yard: one sure from the start, one after a second, one never."""
    rules = book(
        rule(name="in", when="enter", zone="yard", min_score=0.5),
        rule(name="two", when="count", zone="yard", at_least=2, min_score=0.5),
    )
    told = []
    for frame in range(40):
        here = tracks([(1, 200, 300), (2, 320, 300), (3, 440, 300)])
        scores = np.array([0.9, 0.9 if frame >= 10 else 0.3, 0.3], np.float32)
        events = rules.update(replace(here, score=scores), stamp(frame / 10))
        told += [(e.rule, [item.track_id for item in e.objects], e.stamp.captured) for e in events]
    assert told == [("in", [1], 0.3), ("in", [2], 1.7), ("two", [1, 2], 1.7)]


@pytest.mark.parametrize("every", [3, 5, 15])
def test_score_is_that_of_the_latest_sightings_in_whatever_rhythm_they_come(every: int) -> None:
    """Hardly seen for two seconds, then well, but not in each frame: regions may take turns."""
    rules = book(rule(when="enter", zone="yard", min_score=0.5))
    told = []
    for frame in range(20 + 16 * every):
        here = tracks([(1, 320, 300)], seen=frame < 20 or frame % every == 0)
        score = np.array([0.3 if frame < 20 else 0.9], np.float32)
        told += rules.update(replace(here, score=score), stamp(frame / 10))
    assert [event.kind for event in told] == ["enter"]


def test_camera_without_zones_lines_or_rules_says_nothing() -> None:
    rules = RuleBook([], {}, {}, LABELS)
    for frame in range(30):
        assert rules.update(tracks([(frame // 5, 320, 300)]), stamp(frame / 10)) == []
    assert (rules.occupancy(), rules.zones_of()) == ({}, [()])


def test_dead_ids_are_forgotten() -> None:
    """Five hundred people appear, each at another place; what is remembered stays as small as the crowd of the last
    seconds."""
    rules = book(rule(when="enter", zone="yard", track_cooldown_s=3.0))
    told = 0
    for frame in range(2000):
        y, x = divmod(frame // 4, 30)
        here = tracks([(frame // 4, 1650.0 + 100 * x, 1250.0 + 100 * y)])
        told += len(rules.update(here, stamp(frame / 10, size=(6400, 4800))))
        assert len(rules._memory.table) < 20 and len(rules._journal._told) < 20
    assert told > 200


def test_cooldowns_that_last_are_not_looked_through_with_each_alert() -> None:
    """Of a busy street a day has a hundred thousand."""
    rules = book(rule(when="enter", zone="yard", track_cooldown_s=86_400.0))
    told, looked_through = 0, 0
    for frame in range(2000):
        y, x = divmod(frame // 4, 30)
        before = rules._journal._told
        here = tracks([(frame // 4, 1650.0 + 100 * x, 1250.0 + 100 * y)])
        told += len(rules.update(here, stamp(frame / 10, size=(6400, 4800))))
        looked_through += rules._journal._told is not before
    assert told == len(rules._journal._told) > 200
    assert looked_through < 20


@pytest.mark.parametrize(
    ("off_px", "visits"),
    [(100, 1), (20, 1), (-40, 1), (-100, 2), (170, 2)],
    ids=["walked on", "stopped", "turned round", "from behind", "from farther on"],
)
@pytest.mark.parametrize("way", [1, -1])
def test_who_was_lost_while_walking_is_sought_along_the_way(way: int, off_px: int, visits: int) -> None:
    """At 100 px/s, more than a box's size, somebody is lost for a second: a new id on the way, or hardly off it, is
    the same one."""
    rules = book(rule(when="enter", zone="yard"))
    walk = [(frame / 10, 1, 320 + way * (10.0 * frame - 140)) for frame in range(12)]
    events = []
    for t, i, x in [*walk, (1.2, 0, 0.0), (2.1, 2, walk[-1][2] + way * off_px), (2.5, 2, walk[-1][2] + way * off_px)]:
        events += rules.update(tracks([(i, x, 300.0)] if i else []), stamp(t))
    assert len(events) == visits


@pytest.mark.parametrize("fps", [0.2, 0.5, 1.0, 5.0])
def test_what_stood_and_was_missed_for_some_looks_comes_but_once(fps: float) -> None:
    """A car is parked; then its track is lost, and three looks later there is another one."""
    rules = book(rule(name="in", when="enter", zone="yard"), rule(name="some", when="count", zone="yard", at_least=1))
    stood = 1 + int(30 * fps)
    ids = [1] * max(stood, 5) + [0, 0, 0] + [2] * 5
    told = [
        event.rule
        for n, i in enumerate(ids)
        for event in rules.update(tracks([(i, 320, 300)] if i else []), stamp(n / fps))
    ]
    assert told == ["in", "some"]


@pytest.mark.parametrize("stop", [250, 260, 270, 280])
def test_place_of_what_came_to_rest_is_where_it_stands(stop: int) -> None:
    """A car stops, and trembles a little later on: that is one stay, wherever its last metre began."""
    rules = book(rule(name="parked", when="stationary", zone="yard", seconds=10.0))
    told = []
    for frame in range(600):
        x = min(200.0 + 2 * frame, stop) + (0 if frame < 150 else 5 if frame // 20 % 2 else -5)
        told += [event.phase for event in rules.update(tracks([(1, x, 300)]), stamp(frame / 10))]
    assert told == ["start"]


def test_open_episodes_end_with_the_camera() -> None:
    rules = book(
        rule(name="stay", when="dwell", zone="yard", seconds=1.0),
        rule(name="some", when="count", zone="yard", at_least=1, labels=("person",)),
    )
    for frame in range(20):
        rules.update(tracks([(1, 320, 300)]), stamp(frame / 10))
    ends = rules.finish(stamp(2.0))
    assert [(event.rule, event.phase, event.count) for event in ends] == [("stay", "end", 1), ("some", "end", 1)]
    assert rules.finish(stamp(2.1)) == []
    assert (rules.occupancy(), rules.zones_of()) == ({("yard", "person"): 0}, [])


def test_camera_that_was_out_of_service_begins_anew() -> None:
    """What happened or held before counts for nothing after it."""
    rules = book(
        rule(name="in", when="enter", zone="yard"),
        rule(name="some", when="count", zone="yard", at_least=1),
        rule(name="few", when="count", zone="yard", at_most=1, seconds=2.0),
        rule(name="pass", when="cross", line="gate"),
        rule(name="through", when="all", all=("in", "pass"), seconds=10.0),
        rule(name="met", when="all", all=("some", "pass"), seconds=10.0),
    )
    for frame in range(15):
        rules.update(tracks([(1, 320, 300)]), stamp(frame / 10))
    assert rules.occupancy() == {("yard", "person"): 1}
    assert [(event.rule, event.phase) for event in rules.finish(stamp(1.5))] == [("some", "end")]
    assert rules.occupancy() == {("yard", "person"): 0}
    told = []
    for frame in range(16, 40):
        told += rules.update(tracks([(2, 100, 200 if frame < 25 else 280)]), stamp(frame / 10))
    assert [(event.rule, event.stamp.captured) for event in told] == [("pass", 2.6), ("few", 3.6)]


FLAT = GroundOptions(
    points=((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)),
    meters=((0.0, 0.0), (64.0, 0.0), (64.0, 48.0), (0.0, 48.0)),
)


@pytest.mark.parametrize("way", [(1.0, 0.0), (0.0, -1.0), (-0.6, 0.8)])
@pytest.mark.parametrize("fps", [4, 10, 30])
def test_speed_is_that_over_the_ground(way: tuple[float, float], fps: int) -> None:
    """Somebody runs at 15 km/h where 10 px are a metre, each way, for two seconds."""
    limits = {"above": {"min_speed_kmh": 15.5}, "at": {"min_speed_kmh": 14.5, "max_speed_kmh": 15.5}}
    rules = book(*(rule(name=n, when="speed", zone="yard", **limit) for n, limit in limits.items()), ground=FLAT)
    px_s = 10 * 15 / 3.6
    told = []
    for frame in range(2 * fps):
        x, y = (at + part * px_s * frame / fps for at, part in zip((320, 240), way, strict=True))
        told += [event.rule for event in rules.update(tracks([(1, x, y)]), stamp(frame / fps))]
    assert told == ["at"]


@pytest.mark.parametrize(("px_s", "told"), [(10.0, []), (50.0, ["run"])])
def test_speed_of_who_enters_is_that_of_the_moment(px_s: float, told: list[str]) -> None:
    """18 km/h are told of; who walks in and runs then is not."""
    rules = book(rule(name="run", when="enter", zone="yard", min_speed_kmh=10.0), ground=FLAT)
    x, events = 100.0, []
    for frame in range(120):
        x += (px_s if x < 180 else 50.0) / 10
        events += rules.update(tracks([(1, min(x, 450.0), 300)]), stamp(frame / 10))
    assert [event.rule for event in events] == told


@pytest.mark.parametrize("fps", [0.5, 1, 2, 3, 10])
def test_speed_of_who_leaves_the_picture_is_that_of_before_at_any_rate(fps: float) -> None:
    """A car comes in at 7.2 km/h and is seen no more: it was fast, and left as fast."""
    kinds = ("enter", "speed", "exit")
    rules = book(*(rule(name=n, when=n, zone="yard", min_speed_kmh=6.0) for n in kinds), ground=FLAT)
    ways = [100 + 20 * frame / fps for frame in range(int(15 * fps))]
    events = []
    for frame, x in enumerate([*ways, *[0] * int(10 * fps)]):
        events += rules.update(tracks([(1, x, 300)] if x else []), stamp(frame / fps))
    assert {event.rule for event in events} == {"enter", "speed", "exit"}


@pytest.mark.parametrize(
    ("direction", "told"),
    [
        ("both", ["left_to_right", "right_to_left"]),
        ("left_to_right", ["left_to_right"]),
        ("right_to_left", ["right_to_left"]),
    ],
)
def test_pass_is_told_in_the_direction_asked_for(direction: Any, told: list[str]) -> None:
    rules = book(rule(when="cross", line="gate", direction=direction))
    way = [180] * 10 + [300] * 10 + [180] * 10
    events = [e for f, y in enumerate(way) for e in rules.update(tracks([(1, 320, y)]), stamp(f / 10))]
    assert [event.direction for event in events] == told


@pytest.mark.parametrize(("hour", "told"), [(12, set()), (23, {"in", "pass", "stay", "taken", "out"})])
def test_rule_that_is_asleep_tells_of_nothing(hour: int, told: set[str]) -> None:
    """Something comes over the gate into the yard, stands there for five seconds and goes."""
    rules = book(
        rule(name="in", when="enter", zone="yard", schedule="22:00-06:00"),
        rule(name="pass", when="cross", line="gate", schedule="22:00-06:00"),
        rule(name="stay", when="dwell", zone="yard", seconds=2.0, schedule="22:00-06:00"),
        rule(name="taken", when="removed", zone="yard", seconds=2.0, schedule="22:00-06:00"),
        rule(name="out", when="exit", zone="yard", schedule="22:00-06:00"),
        place=Place(timezone="UTC"),
    )
    way = [(100, 200)] * 10 + [(320, 300)] * 50 + [(x, 300) for x in range(320, 600, 10)]
    events = set()
    for frame, (x, y) in enumerate(way):
        now = stamp(frame / 10, wall=3600 * hour + frame / 10)
        events |= {event.rule for event in rules.update(tracks([(1, x, y)]), now)}
    assert events == told


@pytest.mark.parametrize("way_px", [4, 20, 40])
@pytest.mark.parametrize("back", [False, True])
def test_what_is_taken_out_of_a_tight_zone_is_told_of_once_however_fast(way_px: int, back: bool) -> None:
    """A parcel stands in a zone of its own size, and is carried off, or only lifted and put back."""
    parcel = ZoneOptions(polygon=((0.45, 0.4), (0.55, 0.4), (0.55, 0.65), (0.45, 0.65)))
    rules = RuleBook([rule(when="removed", zone="parcel", seconds=5.0)], {"parcel": parcel}, {}, LABELS)
    away = [320 + way_px * n for n in range(1, 5 if back else 30)]
    way = [320] * 100 + away + ([320] * 50 if back else [])
    told = [e for f, x in enumerate(way) for e in rules.update(tracks([(1, x, 300)] * (x < 640)), stamp(f / 10))]
    assert len(told) == (not back)


@pytest.mark.parametrize(("step_s", "seconds"), [(1, 2), (5, 10)])
def test_who_walks_past_a_slow_camera_was_never_at_rest(step_s: int, seconds: float) -> None:
    """That something moved is only sure in the second frame after; it had stood still in none."""
    rules = book(rule(when="removed", zone="yard", seconds=seconds))
    ways = [[(1, 200 + 60 * i, 300)] for i in range(6)] + [[]] * 8
    assert [event for i, way in enumerate(ways) for event in rules.update(tracks(way), stamp(step_s * i))] == []


def test_who_walks_about_stays_but_does_not_stand() -> None:
    rules = book(
        rule(name="stay", when="dwell", zone="yard", seconds=2.0),
        rule(name="stand", when="stationary", zone="yard", seconds=2.0),
    )
    way = [*range(200, 440, 5), *range(440, 200, -5)]
    told = [e.rule for f, x in enumerate(way) for e in rules.update(tracks([(1, x, 300)]), stamp(f / 10))]
    assert told == ["stay"]


def test_slow_camera_is_measured_by_its_own_pace() -> None:
    """At a frame every 10 s somebody in five of them has been there for 40 s, not for four times the longest gap."""
    rules = book(rule(when="dwell", zone="yard", seconds=35.0))
    for frame in range(10):
        rules.update(tracks([]), stamp(frame * 10.0))
    told = [e.stamp.captured for f in range(10, 20) for e in rules.update(tracks([(1, 320, 300)]), stamp(f * 10.0))]
    assert told == [140.0]


def test_rule_that_cools_down_tells_of_a_lasting_state_later_and_of_a_moment_never() -> None:
    rules = book(
        rule(name="stay", when="dwell", zone="yard", seconds=1.0, cooldown_s=5.0),
        rule(name="come", when="enter", zone="yard", cooldown_s=5.0),
    )
    told = [
        (event.rule, event.phase, event.objects[0].track_id, event.stamp.captured)
        for frame in range(100)
        for event in rules.update(
            tracks([(1, 200, 300)] * (frame < 90) + [(2, 440, 200)] * (frame >= 10)), stamp(frame / 10)
        )
    ]
    assert [item for item in told if item[0] == "come"] == [("come", "instant", 1, 0.3)]
    assert [item for item in told if item[1] == "start"] == [("stay", "start", 1, 1.0), ("stay", "start", 2, 6.0)]


def test_alert_that_the_rule_kept_back_does_not_cool_down_its_track() -> None:
    """2 comes while the rule cools down for 1, and again when it no longer does."""
    rules = book(rule(when="enter", zone="yard", cooldown_s=5.0, track_cooldown_s=60.0))
    told = []
    for frame in range(150):
        t = frame / 10
        here = [(1, 200.0, 300.0), (2, 440.0 if 2 <= t < 4 or t >= 10 else 600.0, 300.0)]
        told += [(e.objects[0].track_id, round(t)) for e in rules.update(tracks(here), stamp(t))]
    assert told == [(1, 0), (2, 10)]


def test_what_left_behind_somebody_is_told_in_time_after_a_stall_too() -> None:
    """A parked car is gone when the picture comes back after 8 s, with somebody before its place for half a second."""
    rules = book(rule(when="exit", zone="yard", labels=("car",)))
    left = []
    for frame in [*range(120), *range(200, 300)]:
        t = frame / 10
        here = [(1, 320.0, 300.0)] if t < 12 else [(2, 340.0 if t < 20.5 else 600.0, 300.0)]
        left += [t for _ in rules.update(tracks(here, class_id=int(t < 12)), stamp(t))]
    assert left == [pytest.approx(23.5, abs=0.3)]


def test_track_that_comes_back_under_its_id_still_cools_down() -> None:
    """A tracker may find somebody again, long after the visit was over. Who came to the same place in between is
    somebody else."""
    rules = book(rule(when="enter", zone="yard", track_cooldown_s=60.0))
    visits = [(1, 0.0), (1, 10.0), (2, 20.0), (1, 65.0)]
    told = []
    for frame in range(700):
        t = frame / 10
        here = tracks([(i, 320.0, 300.0) for i, start in visits if start <= t < start + 2])
        told += [(event.objects[0].track_id, round(t)) for event in rules.update(here, stamp(t))]
    assert told == [(1, 0), (2, 20), (1, 65)]


@pytest.mark.parametrize(
    ("feet", "told"),
    [
        ((320, 180), [("in", 0.0), ("pass", 0.1), ("stay", 0.6)]),  # in the yard, on the gate's far side
        ((320, 300), [("in", 0.0), ("stay", 0.6)]),
        ((320, 80), [("pass", 0.1), ("in", 0.3), ("stay", 1.0)]),
        ((320, 245), [("in", 0.0), ("stay", 0.6)]),  # on the gate itself
    ],
)
def test_what_a_track_did_before_it_was_confirmed_counts(
    feet: tuple[float, float], told: list[tuple[str, float]]
) -> None:
    """First seen 0.4 s ago at ``feet``, confirmed in the yard."""
    rules = book(
        rule(name="in", when="enter", zone="yard"),
        rule(name="pass", when="cross", line="gate"),
        rule(name="stay", when="dwell", zone="yard", seconds=1.0),
    )
    here = tracks([(1, 320, 300)])
    new = replace(here, past=Past(tracks([(1, *feet)]).xyxy, np.array([0.4])))
    events = [(e.rule, e.stamp.captured) for f in range(20) for e in rules.update(here if f else new, stamp(f / 10))]
    assert events == told


ALL = (
    rule(name="in", when="enter", zone="yard"),
    rule(name="out", when="exit", zone="yard"),
    rule(name="stay", when="dwell", zone="yard", seconds=1.0),
    rule(name="pass", when="cross", line="gate"),
    rule(name="crowd", when="count", zone="yard", at_least=2),
    rule(name="none", when="absent", zone="yard", seconds=1.0),
    rule(name="fast", when="speed", zone="yard", min_speed_kmh=10.0),
    rule(name="left", when="stationary", zone="yard", seconds=1.0),
    rule(name="taken", when="removed", zone="yard", seconds=1.0),
    rule(name="both", when="all", all=("in", "crowd"), seconds=2.0),
)
GROUND = GroundOptions(
    points=((0.4, 0.25), (0.6, 0.25), (0.9, 1.0), (0.1, 1.0)),
    meters=((0.0, 40.0), (6.0, 40.0), (6.0, 0.0), (0.0, 0.0)),
)


def wander(seed: int, frames: int) -> list[tuple[Tracks, Stamp]]:
    """Up to six tracks that walk, are lost, coast, change their ids and stall with the camera, at random."""
    rng = np.random.default_rng(seed)
    place, speed = rng.uniform((50, 100), (600, 470), (6, 2)), rng.normal(0, 6, (6, 2))
    ids, new, t = list(range(6)), 6, 0.0
    told = []
    for _ in range(frames):
        t += 0.1 if rng.random() > 0.01 else float(rng.uniform(1, 20))
        place = np.clip(place + speed, (5, 60), (635, 479))
        speed = np.where(rng.random((6, 1)) < 0.05, rng.normal(0, 6, (6, 2)), speed)
        for i in np.flatnonzero(rng.random(6) < 0.03):
            ids[i], new = new, new + 1
        there = np.flatnonzero(rng.random(6) < 0.9)
        rows = tracks([(ids[i], *place[i]) for i in there])
        seen = rng.random(len(there)) < 0.9
        past = Past(rows.xyxy + rng.normal(0, 30, (len(there), 1)).astype(np.float32), rng.uniform(0, 1, len(there)))
        told.append((replace(rows, seen=seen, past=past if rng.random() < 0.5 else None), stamp(t, t)))
    return told


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_whatever_the_tracks_do(seed: int) -> None:
    """Who enters leaves once, starts end once, episodes are never reused, labels and rows agree, and the same tracks
    give the same events."""
    frames = wander(seed, 150)
    first, again = book(*ALL, ground=GROUND), book(*ALL, ground=GROUND)
    events: list[Event] = []
    for seen, now in frames:
        told = first.update(seen, now)
        assert told == again.update(seen, now)
        events += told
        names = Counter(event.rule for event in events)
        inside = sum(first.occupancy().values())
        assert names["in"] - names["out"] == inside
        assert sum(map(len, first.zones_of())) <= inside
        assert len(first.zones_of()) == len(seen)
    events += first.finish(frames[-1][1])
    starts = [event.episode for event in events if event.phase == "start"]
    ends = [event.episode for event in events if event.phase == "end"]
    others = [event.episode for event in events if event.phase == "instant"]
    assert sorted(starts) == sorted(ends)
    assert len({*starts, *others}) == len(starts) + len(others)


@pytest.mark.parametrize("both", [False, True], ids=["another name", "two names at first"])
def test_thing_at_rest_is_one_thing_whatever_it_is_called(both: bool) -> None:
    """A detector takes a parked car for a truck from some moment on."""
    rules = book(
        rule(name="parked", when="stationary", zone="yard", seconds=5.0),
        rule(name="stolen", when="removed", zone="yard", seconds=5.0),
        rule(name="two", when="count", zone="yard", at_least=2, seconds=20.0),
    )
    told: Counter[tuple[str, str]] = Counter()
    for frame in range(600):
        t = frame / 10
        old, new = t < 15, t > 15.5 or both
        there = tracks([(1, 320.0, 300.0)] * old + [(2, 322.0, 301.0)] * new, class_id=[1] * old + [0] * new)
        told.update((event.rule, event.phase) for event in rules.update(there, stamp(t)))
        counted = rules.occupancy()
    assert told == {("parked", "start"): 1 + both} | ({("parked", "end"): 1} if both else {})
    assert {label for (_, label), count in counted.items() if count} == {"person"}


def test_picture_that_changes_its_size_moves_no_one() -> None:
    """A stream that goes on at half the size keeps its zones where they were drawn."""
    rules = book(rule(name="in", when="enter", zone="yard"), rule(name="out", when="exit", zone="yard"))
    for frame in range(10):
        rules.update(tracks([(1, 320, 300)]), stamp(frame / 10))
    assert rules.zones_of() == [("yard",)]
    told = [e.rule for f in range(10, 30) for e in rules.update(tracks([(1, 160, 150)]), stamp(f / 10, 0, (320, 240)))]
    assert told == [] and rules.zones_of() == [("yard",)]
