"""A camera's frames with all that edgerun makes of them, for a person who tunes a configuration by looking."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from edgerun.images import to_bgr
from edgerun.labels import label
from edgerun.marks import BOX_BGR, Bgr, draw, stroke, write
from edgerun.types import U8, Details, Detections, Event, Frame, Stamp, Tracks
from edgerun.zones import LineOptions, ZoneOptions

_ZONE: Bgr = (220, 160, 30)
_OCCUPIED: Bgr = (40, 140, 255)
_LOOSE: Bgr = (150, 150, 150)
_COASTING: Bgr = (170, 170, 60)
_ALERT: Bgr = (40, 40, 230)
_DETAIL: Bgr = (60, 220, 250)
_CLOCK: Bgr = (60, 60, 60)
_TOLD_S = 2.0
"""How long an alert stays written in the picture."""
_SHEET_PX = 1920
"""The width of a contact sheet."""
_SHEET_COLUMNS = 4


class Painter:
    """Draws one camera's frames in their order. ``class_names`` by class id."""

    def __init__(
        self, zones: Mapping[str, ZoneOptions], lines: Mapping[str, LineOptions], class_names: Sequence[str]
    ) -> None:
        self._zones = zones
        self._lines = lines
        self._names = class_names
        self._told: deque[tuple[float, str]] = deque(maxlen=6)

    def paint(
        self,
        frame: Frame,
        tracks: Tracks,
        zones_of: Sequence[Sequence[str]],
        loose: Detections,
        events: Sequence[Event],
    ) -> U8:
        """The frame as a BGR picture (H,W,3) with zones and lines, the tracks (``zones_of`` names the zones of each
        row), detections that stand for no track, and the alerts of the last seconds."""
        picture = self._scenery(to_bgr(frame), {zone for zones in zones_of for zone in zones})
        found = zip(loose.class_id.tolist(), loose.score.tolist(), strict=True)
        picture = draw(picture, loose.xyxy, [self._caption(*one) for one in found], _LOOSE)
        for seen, color in ((True, BOX_BGR), (False, _COASTING)):
            rows = np.flatnonzero(tracks.seen == seen)
            captions = [
                f"#{tracks.track_id[row]} {self._caption(int(tracks.class_id[row]), float(tracks.score[row]))}"
                for row in rows
            ]
            picture = draw(picture, tracks.xyxy[rows], captions, color)
        alerted = [thing.xyxy for event in events for thing in event.objects]
        picture = draw(picture, np.array(alerted, np.float32).reshape(-1, 4), [""] * len(alerted), _ALERT)
        self._tell(picture, frame.stamp, events)
        return picture

    def _scenery(self, picture: U8, occupied: set[str]) -> U8:
        height, width = picture.shape[:2]
        size = np.array([width, height])
        thick = stroke(picture)
        veil = picture.copy()
        for name, zone in self._zones.items():
            corners = np.rint(np.array(zone.polygon) * size).astype(np.int32)
            color = _OCCUPIED if name in occupied else _ZONE
            cv2.fillPoly(veil, [corners], color)
            cv2.polylines(veil, [corners], True, color, thick + 1, cv2.LINE_AA)
        picture = np.asarray(cv2.addWeighted(veil, 0.3, picture, 0.7, 0), np.uint8)
        for name, zone in self._zones.items():
            left, top = (min(point[axis] for point in zone.polygon) * size[axis] for axis in (0, 1))
            write(picture, name, round(left), round(top), _OCCUPIED if name in occupied else _ZONE)
        for name, line in self._lines.items():
            start, end = (np.rint(np.array(point) * size).astype(int).tolist() for point in (line.from_, line.to))
            cv2.arrowedLine(picture, start, end, _OCCUPIED, thick + 1, cv2.LINE_AA, tipLength=0.04)
            write(picture, name, start[0], start[1], _OCCUPIED)
        return picture

    def _caption(self, class_id: int, score: float) -> str:
        return f"{label(self._names, class_id)} {score:.2f}"

    def _tell(self, picture: U8, stamp: Stamp, events: Sequence[Event]) -> None:
        """The time, and the alerts of the last seconds, in the upper left corner."""
        self._told.extend((stamp.captured, in_words(event)) for event in events)
        while self._told and stamp.captured - self._told[0][0] > _TOLD_S:
            self._told.popleft()
        below = write(picture, f"{stamp.captured:.2f} s", 0, 0, _CLOCK)
        line_px = below + 2
        for _, words in self._told:
            below = write(picture, words, 0, below + line_px, _ALERT)


def draw_details(picture: U8, details: Details | None) -> None:
    """Draw outlines and key points, where there are any, into a BGR picture; key points that their model doubts are
    left out."""
    thick = stroke(picture)
    for detail in () if details is None else details.tolist():
        if detail.polygon is not None:
            cv2.polylines(picture, [np.rint(detail.polygon).astype(np.int32)], True, _DETAIL, thick, cv2.LINE_AA)
        if detail.keypoints is not None:
            for x, y, *score in detail.keypoints.tolist():
                if not score or score[0] >= 0.5:
                    cv2.circle(picture, (round(x), round(y)), thick, _DETAIL, cv2.FILLED, cv2.LINE_AA)


def in_words(event: Event) -> str:
    """An event as a person reads it: ``visitor start: enter path, person #3``."""
    where = event.zone or " ".join(filter(None, [event.line, event.direction]))
    who = ", ".join(f"{thing.label} #{thing.track_id}" for thing in event.objects)
    words = " ".join(filter(None, [event.rule, event.phase])) + ": " + " ".join(filter(None, [event.kind, where]))
    return f"{words}, {who}" if who else words


def contact_sheet(pictures: Sequence[U8]) -> U8:
    """Pictures of one size (H,W,3) side by side, made small. Raises ValueError without any."""
    if not pictures:
        raise ValueError("there is no picture to show")
    columns = min(_SHEET_COLUMNS, len(pictures))
    height, width = pictures[0].shape[:2]
    small = (min(_SHEET_PX // columns, width), round(height * min(_SHEET_PX // columns, width) / width))
    rows = -(-len(pictures) // columns)
    sheet = np.zeros((rows * small[1], columns * small[0], 3), np.uint8)
    for number, picture in enumerate(pictures):
        top, left = number // columns * small[1], number % columns * small[0]
        resized = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
        sheet[top : top + small[1], left : left + small[0]] = resized
    return sheet
