"""Everything that edgerun publishes, as CONTRACT and ``schemas`` describe it.

Payloads are JSON in UTF-8. Times are UTC ISO 8601 with microseconds and ``Z``; boxes are ``[x1, y1, x2, y2]`` in
0-1 of the frame with 5 digits, scores 0-1 with 4.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from edgerun.boxes import extents
from edgerun.labels import label
from edgerun.topics import Topics
from edgerun.types import F32, Details, Detections, Event, Gap, Message, Stamp, Tracks

SCHEMA = 1
"""The version of all payloads; it rises when a field changes its meaning or goes away, never for an addition."""

CameraState: TypeAlias = Literal["ok", "stalled", "frozen", "offline", "paused"]
CAMERA_STATES = get_args(CameraState)

DETECTIONS_EXPIRY_S = 10
_TRACK = '{"track_id":%d,"label":%s,"score":%.4f,"box":[%.5f,%.5f,%.5f,%.5f],"zones":%s,"seen":%s}'
_LOOSE = '{"track_id":null,"label":%s,"score":%.4f,"box":[%.5f,%.5f,%.5f,%.5f],"zones":[],"seen":true}'


def iso(wall: float) -> str:
    """Seconds since the epoch as ``2026-11-22T06:18:00.123456Z``."""
    second, microsecond = divmod(round(wall * 1_000_000), 1_000_000)
    return f"{_second(second)}.{microsecond:06}Z"


@lru_cache(maxsize=8)
def _second(whole: int) -> str:
    """Many times of the same second are written."""
    return datetime.fromtimestamp(whole, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")


def to_json(payload: Mapping[str, Any]) -> bytes:
    """Compact JSON in UTF-8. Raises ValueError for NaN and infinities, which JSON has not."""
    return json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")


class DetectionsFormat:
    """Writes the detections of one camera with one model; what does not change from frame to frame is made once.

    Strings come out of the JSON encoder, only numbers are formatted here: 9 us for five objects, against 34 us
    through ``json.dumps``.
    """

    def __init__(
        self, topics: Topics, camera: str, labels: Sequence[str], *, model: str, sha256: str, engine: str
    ) -> None:
        self._topic = topics.detections(camera)
        self._labels = [_quoted(label(labels, class_id)) for class_id in range(len(labels))]
        self._zones: dict[tuple[str, ...], str] = {}
        self._head = f'{{"schema":{SCHEMA},"device":{_quoted(topics.device)},"camera":{_quoted(camera)},'
        self._model = (
            f'"model":{{"name":{_quoted(model)},"sha256":{_quoted(sha256)}}},"engine":{_quoted(engine)},"inference_ms":'
        )

    def message(
        self,
        stamp: Stamp,
        tracks: Tracks,
        zones: Sequence[tuple[str, ...]],
        loose: Detections,
        *,
        inference_ms: float | None,
        published: float,
        details: Details | None = None,
    ) -> Message:
        """One frame looked at.

        ``zones`` names the zones that each row of ``tracks`` is in, ``details`` what is known of it beyond its box;
        ``loose`` are detections that belong to no confirmed track, they go out without an id. ``inference_ms`` is None
        for a frame in which nothing moved and nothing was inferred. ``published`` is in seconds since the epoch.
        """
        tracked, others = self._tracks(stamp, tracks, zones), self._loose(stamp, loose)
        rows = _detailed(tracked, details, stamp) + _detailed(others, loose.details, stamp)
        spent = "null" if inference_ms is None else f"{inference_ms:.3f}"
        payload = (
            f'{self._head}"frame":{stamp.seq},"captured":"{iso(stamp.wall)}","published":"{iso(published)}",'
            f'"size":[{stamp.width},{stamp.height}],{self._model}{spent},"objects":[{",".join(rows)}]}}'
        )
        return Message(self._topic, payload.encode("utf-8", "replace"), expiry_s=DETECTIONS_EXPIRY_S)

    def _tracks(self, stamp: Stamp, tracks: Tracks, zones: Sequence[tuple[str, ...]]) -> list[str]:
        if not len(tracks):
            return []
        columns = zip(
            tracks.track_id.tolist(),
            tracks.class_id.tolist(),
            tracks.score.tolist(),
            relative(tracks.xyxy, stamp).tolist(),
            zones,
            tracks.seen.tolist(),
            strict=True,
        )
        return [
            _TRACK % (track_id, self._label(class_id), score, *box, self._names(inside), "true" if seen else "false")
            for track_id, class_id, score, box, inside, seen in columns
        ]

    def _loose(self, stamp: Stamp, loose: Detections) -> list[str]:
        if not len(loose):
            return []
        columns = zip(loose.class_id.tolist(), loose.score.tolist(), relative(loose.xyxy, stamp).tolist(), strict=True)
        return [_LOOSE % (self._label(class_id), score, *box) for class_id, score, box in columns]

    def _label(self, class_id: int) -> str:
        return self._labels[class_id] if 0 <= class_id < len(self._labels) else _quoted(label((), class_id))

    def _names(self, zones: tuple[str, ...]) -> str:
        if zones not in self._zones:
            self._zones[zones] = json.dumps(zones, separators=(",", ":"))
        return self._zones[zones]


def _detailed(rows: list[str], details: Details | None, stamp: Stamp) -> list[str]:
    """The objects with what is known of them beyond their boxes."""
    if details is None:
        return rows
    written = []
    for row, detail in zip(rows, details.tolist(), strict=True):
        for name, points in (("polygon", detail.polygon), ("keypoints", detail.keypoints)):
            if points is not None:
                whole = np.array([stamp.width, stamp.height, 1])[: points.shape[1]]
                places = np.fmin(np.fmax(points / whole, 0), 1).round(5).tolist()
                row = f'{row[:-1]},"{name}":{json.dumps(places, separators=(",", ":"))}}}'
        written.append(row)
    return written


def relative(xyxy: F32, stamp: Stamp) -> F32:
    """Boxes ``(N,4)`` in pixels to 0-1 of the frame, clipped; what is not a number becomes 0, as JSON has no NaN."""
    boxes: F32 = xyxy / extents(stamp.width, stamp.height)
    np.fmax(boxes, 0, out=boxes)
    return np.fmin(boxes, 1, out=boxes)


@lru_cache(maxsize=1024)
def _quoted(text: str) -> str:
    """Names and labels come again and again."""
    return json.dumps(text, ensure_ascii=False)


def event_record(event: Event) -> dict[str, Any]:
    """What an alert and a replay both tell of an event; nothing in it depends on when or where it runs."""
    stamp = event.stamp
    zones = [event.zone] if event.zone else []
    boxes = relative(np.array([thing.xyxy for thing in event.objects], np.float32).reshape(-1, 4), stamp).tolist()
    return {
        "rule": event.rule,
        "kind": event.kind,
        "phase": event.phase,
        "episode": event.episode,
        "camera": stamp.camera,
        "frame": stamp.seq,
        "zone": event.zone,
        "line": event.line,
        "direction": event.direction,
        "objects": [
            {
                "track_id": thing.track_id,
                "label": thing.label,
                "score": round(thing.score, 4),
                "box": [round(side, 5) for side in box],
                "zones": zones,
            }
            for thing, box in zip(event.objects, boxes, strict=True)
        ],
        "count": event.count,
    }


def alert_body(device: str, event: Event, *, uid: str, alert: str, seq: int) -> bytes:
    """The part of an alert that never changes, as it is stored: JSON without its closing brace.

    ``uid`` is the message's own id, ``alert`` the one that ties a start to its end.
    """
    record = event_record(event)
    phase = record.pop("phase")
    del record["episode"]
    body = {"schema": SCHEMA, "id": uid, "alert": alert, "seq": seq, "camera": record.pop("camera"), "type": phase}
    return to_json(body | {"device": device, "captured": iso(event.stamp.wall)} | record)[:-1]


def alert(topics: Topics, camera: str, body: bytes, *, published: float, replayed: bool) -> Message:
    """A stored alert on its way out. ``replayed`` says that it was not, or not only, sent when it was new."""
    return Message(topics.alerts(camera), _sent(body, published, replayed), qos=1)


def last_alert(topics: Topics, camera: str, body: bytes, *, published: float) -> Message:
    """The newest alert, for those who come late."""
    return Message(topics.last_alert(camera), _sent(body, published, False), qos=1, retain=True)


def _sent(body: bytes, published: float, replayed: bool) -> bytes:
    return b'%s,"published":"%s","replayed":%s}' % (body, iso(published).encode(), b"true" if replayed else b"false")


def gaps(topics: Topics, camera: str, found: Sequence[Gap]) -> Message:
    """The gap record of one camera: every range that had to be given up, oldest first."""
    ranges = [
        {"first": gap.first, "last": gap.last, "count": gap.count, "reason": gap.reason, "at": iso(gap.wall)}
        for gap in found
    ]
    payload = {"schema": SCHEMA, "device": topics.device, "camera": camera, "gaps": ranges}
    return Message(topics.gaps(camera), to_json(payload), qos=1, retain=True)


def status(topics: Topics, *, online: bool) -> Message:
    """``online``, or ``offline``, which is also the last will."""
    return Message(topics.status, b"online" if online else b"offline", qos=1, retain=True)


def state(topics: Topics, report: Mapping[str, Any]) -> Message:
    """The device's state; ``report`` holds what ``schemas`` lists for it, times already as ISO strings."""
    payload = {"schema": SCHEMA, "device": topics.device, **report}
    return Message(topics.state, to_json(payload), qos=1, retain=True)


def camera_state(
    topics: Topics,
    camera: str,
    state: CameraState,
    *,
    since: float,
    fps: float,
    dropped: Mapping[str, int],
    score: float,
    paused: bool,
) -> Message:
    """One camera's state; ``since`` in seconds since the epoch, ``dropped`` frames by cause, ``score`` the lowest that
    starts a track, ``paused`` what was commanded of it."""
    payload = {
        "schema": SCHEMA,
        "device": topics.device,
        "camera": camera,
        "state": state,
        "since": iso(since),
        "fps": round(fps, 2),
        "dropped": sum(dropped.values()),
        "dropped_by": dict(dropped),
        "score": score,
        "paused": paused,
    }
    return Message(topics.camera_state(camera), to_json(payload), qos=1, retain=True)


def occupancy(topics: Topics, camera: str, zone: str, label: str, count: int) -> Message:
    """How many confirmed tracks of a label are in a zone now: a bare integer."""
    return Message(topics.occupancy(camera, zone, label), b"%d" % count, qos=1, retain=True)


def snapshot(topics: Topics, camera: str, jpeg: bytes) -> Message:
    """The newest alert's picture."""
    return Message(topics.snapshot(camera), jpeg, retain=True)


def ack(topic: str, verb: str, *, error: str = "", correlation: bytes = b"") -> Message:
    """The answer to a command, to the request's response topic or to ``Topics.ack``. ``error`` is empty when it
    went well."""
    payload = {"schema": SCHEMA, "verb": verb, "ok": not error, "error": error}
    return Message(topic, to_json(payload), qos=1, correlation=correlation)
