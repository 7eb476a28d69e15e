"""When a rule is awake: days, hours, sunrise and sunset.

A schedule is text: ``22:00-06:00``, ``mon-fri 08:00-18:00; sat,sun 10:00-16:00``, ``sunset-30m-sunrise``. Windows are
separated by ``;``. Days name the day on which a window starts, so ``fri 22:00-06:00`` ends on Saturday morning.

A window is a stretch of real time from its start to its end, so it stays in one piece on the nights when the clocks
change: an hour that comes twice is inside from its first start to its last end, and a time that does not exist counts
as the same moment told by the old offset (RFC 5545, section 3.3.5).

A window from one time to another that is not later, or from after noon (or sunset) to before noon (or sunrise), ends on
the next day. Where its end comes before its start all the same, as ``06:00-sunrise`` does in summer, it is empty.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from typing import Annotated

from edgerun.limits import Interval
from edgerun.records import dataclass

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME = r"(?:\d{1,2}:\d{2}|(?:sunrise|sunset)(?:[+-]\d{1,3}m)?)"
_WINDOW = re.compile(rf"(?:(?P<days>[a-z,\-]+)\s+)?(?P<start>{_TIME})\s*-\s*(?P<end>{_TIME})|(?P<only>[a-z,\-]+)")
_HINT = "write it like 22:00-06:00, mon-fri 08:00-18:00, sat,sun or sunset-sunrise+30m, several separated by ;"

_J2000 = 946728000.0
"""The epoch of the sun's formulas, 2000-01-01 12:00, in Unix seconds."""
_SLACK_S = 1.0
"""Windows so near to each other are one, and shorter ones none: all that parts two days of a midnight sun are the
formulas' last digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a camera stands, for schedules."""

    latitude: Annotated[float, Interval(ge=-90, le=90)] | None = None
    """Degrees north; needed by schedules with sunrise or sunset."""
    longitude: Annotated[float, Interval(ge=-180, le=180)] | None = None
    """Degrees east; needed by schedules with sunrise or sunset."""
    timezone: str = ""
    """A name such as `Europe/Vienna`; the system's own time zone where empty."""

    def __post_init__(self) -> None:
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("give latitude and longitude together, or neither")
        if self.timezone:
            self.zone()

    def zone(self) -> tzinfo | None:
        """The time zone, None for the system's own. Raises ValueError for a name that is not known."""
        if not self.timezone:
            return None
        from zoneinfo import ZoneInfo  # takes a while, and most stay with the system's own

        try:
            return ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError; a path or folder, the others
            raise ValueError(
                f"timezone {self.timezone!r} is not known here; use a name such as Europe/Vienna, "
                "and install tzdata if it is a right one"
            ) from None


@dataclass(frozen=True, slots=True)
class _Moment:
    """A time of day: minutes after local midnight, or after sunrise or sunset."""

    minutes: int
    sun: str = ""

    @property
    def is_morning(self) -> bool:
        return self.sun == "sunrise" or (not self.sun and self.minutes < 720)

    def at(self, day: date, place: Place, *, last: bool) -> float:
        """Unix seconds on a local day; of an hour that comes twice the last or the first."""
        if self.sun:
            assert place.latitude is not None and place.longitude is not None  # Schedule checks it
            rise, down = sun_times(day, place.latitude, place.longitude, place.zone())
            return (rise if self.sun == "sunrise" else down) + 60 * self.minutes
        days, minutes = divmod(self.minutes, 1440)
        local = datetime.combine(day + timedelta(days), time(minutes // 60, minutes % 60), place.zone())
        first = local.timestamp()
        # in a gap fold=1 is the earlier one, so the later of both is right for every end
        return max(first, local.replace(fold=1).timestamp()) if last else first


@dataclass(frozen=True, slots=True)
class _Window:
    days: frozenset[int]
    start: _Moment
    end: _Moment

    def on(self, day: date, place: Place) -> tuple[float, float]:
        """Unix seconds of the start and the end of the window that starts on a local day; the end may be the earlier
        one, the window is empty then."""
        end_day = day + timedelta(1) if self._over_midnight else day
        return self.start.at(day, place, last=False), self.end.at(end_day, place, last=True)

    @property
    def _over_midnight(self) -> bool:
        """As it is written, not as it comes out: on some days the sun sets before a time, and others lack an hour."""
        if self.start.sun == self.end.sun:
            return self.end.minutes <= self.start.minutes
        return self.end.is_morning and not self.start.is_morning


class Schedule:
    """A schedule's text, compiled. Raises ValueError where the text or the place does not do."""

    def __init__(self, text: str, place: Place | None = None) -> None:
        self._windows = parse(text)
        self._place = place or Place()
        sunny = any(moment.sun for window in self._windows for moment in (window.start, window.end))
        if sunny and self._place.latitude is None:
            raise ValueError(f"schedule {text!r} needs the camera's latitude and longitude")
        self._edges: list[float] = []
        self._known = (math.inf, -math.inf)

    def awake(self, wall: float) -> bool:
        """Whether a moment, in Unix seconds, lies in one of the windows. The clock may jump either way."""
        if not self._known[0] <= wall < self._known[1]:
            self._compile(wall)
        return bisect_right(self._edges, wall) % 2 == 1

    def _compile(self, wall: float) -> None:
        """The joint windows around a moment as a sorted list of starts and ends, good for a day each way."""
        today = datetime.fromtimestamp(wall, self._place.zone()).date()
        spans = []
        for offset in range(-3, 4):
            day = today + timedelta(offset)
            spans += [w.on(day, self._place) for w in self._windows if day.weekday() in w.days]
        edges: list[float] = []
        for start, end in sorted(spans):
            if edges and start <= edges[-1] + _SLACK_S:
                edges[-1] = max(edges[-1], end)
            elif end > start + _SLACK_S:
                edges += [start, end]
        self._edges = edges
        self._known = (wall - 86400, wall + 86400)


def parse(text: str) -> tuple[_Window, ...]:
    """The windows of a schedule's text. Raises ValueError with what is wrong and how to write it."""
    windows = []
    for part in text.lower().split(";"):
        match = _WINDOW.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"schedule {text!r}: cannot read {part.strip()!r}; {_HINT}")
        if match["only"]:
            windows.append(_Window(_days(match["only"]), _Moment(0), _Moment(1440)))
            continue
        days = _days(match["days"]) if match["days"] else frozenset(range(7))
        start, end = _moment(match["start"]), _moment(match["end"])
        if start == end:
            raise ValueError(f"schedule {text!r}: {part.strip()!r} starts when it ends; for the whole day, 00:00-24:00")
        windows.append(_Window(days, start, end if end != _Moment(0) else _Moment(1440)))
    return tuple(windows)


def _days(text: str) -> frozenset[int]:
    days: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first not in _DAYS or (last or first) not in _DAYS:
            raise ValueError(f"schedule: {part!r} is no day or range of days; days are {', '.join(_DAYS)}")
        begin, end = _DAYS.index(first), _DAYS.index(last or first)
        days.update((begin + i) % 7 for i in range((end - begin) % 7 + 1))
    return frozenset(days)


def _moment(text: str) -> _Moment:
    if text.startswith("sun"):
        name, offset = re.fullmatch(r"(sunrise|sunset)(?:([+-]\d+)m)?", text).groups()  # type: ignore[union-attr]  # _WINDOW matched it
        return _Moment(int(offset or 0), name)
    hours, minutes = (int(part) for part in text.split(":"))
    if minutes > 59 or hours * 60 + minutes > 1440:
        raise ValueError(f"schedule: {text} is no time of day; times go from 00:00 to 24:00")
    return _Moment(hours * 60 + minutes)


def sun_times(day: date, latitude: float, longitude: float, zone: tzinfo | None = timezone.utc) -> tuple[float, float]:
    """Unix seconds of sunrise and sunset on a local day, good to about half a minute between the polar circles.

    It is the day of the clock in ``zone`` (None: the system's own), whose noon the sun's is nearest to: where the date
    line makes way for an island, the longitude alone would tell that of the day before or after.
    In a polar night both are noon, in a polar day the midnights around it, so a window from sunset to sunrise is
    always, or never, open.
    """
    clock = datetime.combine(day, time(12), zone).timestamp()
    noon = 43200 - 240 * longitude  # by the mean sun
    noon += 86400 * math.ceil((clock - noon) / 86400 - 0.5)
    times = []
    for side in (-1, 1):
        late_s = half_s = 0.0
        for _ in range(2):  # the sun moves on between noon and its rise or set
            late_s, half_s = _sun(noon + late_s + side * half_s, latitude)
        times.append(noon + late_s + side * half_s)
    return times[0], times[1]


def _sun(wall: float, latitude: float) -> tuple[float, float]:
    """By how many seconds the sun's noon is later than that of the mean sun, and for how many before and after its noon
    it is up, as things stand at a moment in Unix seconds.

    The sun's place after the U.S. Naval Observatory's Approximate Solar Coordinates (aa.usno.navy.mil/faq/sun_approx),
    good to a minute of arc; the hour angle for a zenith of 90.833 degrees (refraction and the sun's radius), as NOAA's
    solar calculator has it (gml.noaa.gov/grad/solcalc).
    """
    days = (wall - _J2000) / 86400
    anomaly, mean = math.radians(357.529 + 0.98560028 * days), math.radians(280.459 + 0.98564736 * days)
    longitude = mean + math.radians(1.915 * math.sin(anomaly) + 0.020 * math.sin(2 * anomaly))
    tilt = math.radians(23.439 - 0.00000036 * days)
    ascension = math.atan2(math.cos(tilt) * math.sin(longitude), math.cos(longitude))
    declination = math.asin(math.sin(tilt) * math.sin(longitude))
    late = math.remainder(ascension - mean, 2 * math.pi)
    lat = math.radians(min(max(latitude, -89.9), 89.9))
    cosine = math.cos(math.radians(90.833)) / (math.cos(lat) * math.cos(declination))
    cosine -= math.tan(lat) * math.tan(declination)
    half = math.acos(min(max(cosine, -1.0), 1.0))
    return 43200 / math.pi * late, 43200 / math.pi * half
