"""What every message looks like, in and out."""

from __future__ import annotations

from edgerun.messages import SCHEMA
from edgerun.schemas.parts import Schema, array, mapping, number, record, text, whole

_CAMERA_STATES = ["ok", "stalled", "frozen", "offline", "paused"]
_NAME = {"pattern": "^[a-z0-9_-]{1,32}$"}
_TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$"}
_UUID = {"pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"}
_UNIT = {"type": "number", "minimum": 0, "maximum": 1}
_BOX = {
    "type": "array",
    "description": "x1, y1, x2, y2 in 0-1 of the frame, from its top left corner.",
    "prefixItems": [_UNIT] * 4,
    "items": False,
    "minItems": 4,
}
_POLYGON = array(
    "Corners of its outline, x and y in 0-1 of the frame; with models that find masks.",
    {"type": "array", "prefixItems": [_UNIT] * 2, "items": False, "minItems": 2},
)
_KEYPOINTS = array(
    "Its key points in the model's order, x and y in 0-1 of the frame and, with most models, a score; with models that "
    "find them.",
    {"type": "array", "prefixItems": [_UNIT] * 3, "items": False, "minItems": 2},
)


def _time(description: str) -> Schema:
    return {**_TIME, "description": f"{description} UTC."}


_VERSION = {"const": SCHEMA, "description": "The version of all payloads. It rises when a field changes its meaning."}
_DEVICE = text("The device's name.", **_NAME)
_CAMERA = text("The camera's name.", **_NAME)
_ZONES = array("The zones that it is in.", {"type": "string"})
_THING = {
    "label": text("What it is."),
    "score": {**_UNIT, "description": "How sure the detector is."},
    "box": _BOX,
    "zones": _ZONES,
}

_DETECTIONS = record(
    "One frame that was looked at.",
    {
        "schema": _VERSION,
        "device": _DEVICE,
        "camera": _CAMERA,
        "frame": whole("Number of the frame since the camera was started."),
        "captured": _time("When the frame was taken."),
        "published": _time("When this was sent."),
        "size": array("Width and height of the frame in pixels.", whole("Pixels.", 1)),
        "model": record("The detector.", {"name": text("Its name."), "sha256": text("Its file's checksum.")}),
        "engine": text("What ran the model."),
        "inference_ms": {
            "type": ["number", "null"],
            "description": "How long the model took; null when nothing had moved and it was not asked.",
        },
        "objects": array(
            "What was seen.",
            record(
                "One thing.",
                {
                    "track_id": {
                        "type": ["integer", "null"],
                        "description": "Stays with the thing; null while it is not confirmed. Unique per camera and "
                        "start of the daemon.",
                    },
                    **_THING,
                    "seen": {"type": "boolean", "description": "False while it is hidden and its place is a guess."},
                    "polygon": _POLYGON,
                    "keypoints": _KEYPOINTS,
                },
                optional=("polygon", "keypoints"),
            ),
        ),
    },
)

_ALERT = record(
    "Something that a rule waited for. Subscribers drop what repeats an `id`.",
    {
        "schema": _VERSION,
        "id": text("This message's own id, the same however often it is sent (UUID version 7).", **_UUID),
        "alert": text("Ties a start to its end.", **_UUID),
        "seq": whole(
            "Rises by one with every alert of the camera, also over restarts. Where the outbox cannot be read or was "
            "damaged, so that nobody can tell the last one, it leaps to the seconds since 1970 and goes on from there.",
            1,
        ),
        "type": {
            "enum": ["start", "end", "instant"],
            "description": "Of something that lasts, or neither.",
        },
        "rule": text("The rule's name."),
        "kind": text("The rule's kind: enter, exit, dwell, cross, ..."),
        "device": _DEVICE,
        "camera": _CAMERA,
        "frame": whole("Number of the frame since the camera was started."),
        "captured": _time("When the frame was taken."),
        "published": _time("When this was sent."),
        "zone": text("The zone it is about; empty if there is none."),
        "line": text("The line it is about; empty if there is none."),
        "direction": text("Which way the line was crossed; empty if there is none."),
        "objects": array(
            "What it is about.",
            record("One thing.", {"track_id": whole("As in the detections."), **_THING}),
        ),
        "count": whole("How many there are, where the rule counts."),
        "replayed": {"type": "boolean", "description": "True when it may have been published before."},
    },
)

_GAPS = record(
    "Ranges of `seq` that will never be delivered, because the outbox was full or damaged.",
    {
        "schema": _VERSION,
        "device": _DEVICE,
        "camera": _CAMERA,
        "gaps": array(
            "Oldest first.",
            record(
                "One range, both ends included.",
                {
                    "first": whole("First seq.", 1),
                    "last": whole("Last seq.", 1),
                    "count": whole("How many of the range are gone for this reason.", 1),
                    "reason": {"enum": ["evicted", "damaged"], "description": "Why."},
                    "at": _time("When."),
                },
            ),
        ),
    },
)

_CAMERA_STATE = record(
    "How a camera is.",
    {
        "schema": _VERSION,
        "device": _DEVICE,
        "camera": _CAMERA,
        "state": {"enum": _CAMERA_STATES, "description": "Its state."},
        "since": _time("Since when."),
        "fps": number("Frames looked at per second.", minimum=0),
        "dropped": whole("Frames that were not looked at, since the start."),
        "score": {**_UNIT, "description": "Lowest score that starts a track."},
        "dropped_by": mapping("The same by cause.", whole("Frames.")),
    },
    optional=("score",),
    open_=True,
)

_STATE = record(
    "How the device is.",
    {
        "schema": _VERSION,
        "device": _DEVICE,
        "version": text("edgerun's version."),
        "since": _time("When it was started."),
        "model": record("The detector.", {"name": text("Name."), "sha256": text("Checksum.")}, open_=True),
        "engine": text("What runs the model."),
        "cameras": mapping(
            "By name.",
            record(
                "How a camera is.",
                {
                    "state": {"enum": _CAMERA_STATES, "description": "Its state."},
                    "fps": number("Frames looked at per second.", minimum=0),
                },
                open_=True,
            ),
        ),
        "outbox": record(
            "The queue of alerts.",
            {
                "depth": whole("Alerts that are not delivered."),
                "unclaimed": whole("Those of them that the broker took with nobody listening."),
                "evicted": whole("Alerts given up for want of room."),
            },
            open_=True,
        ),
        "stuck": array("What hangs and cannot be replaced: internal loops, and cameras.", text("Its name.")),
        "fallback": text("Why the last good configuration is served; empty: the file's is."),
        "previous_end": text("Why the run before ended itself; empty: it did not."),
        "latency_ms": mapping(
            "From a frame's capture, by the stage reached; `inference` is the engine's own part. Empty while metrics "
            "are off.",
            record("Milliseconds, over the last minutes.", {q: number("", minimum=0) for q in ("p50", "p95", "p99")}),
        ),
        "rollout": record(
            "The newest model that came by a reload.",
            {
                "state": {
                    "enum": ["", "watched", "done", "refused", "rolled back"],
                    "description": "`watched` in its first minute; empty: there was none.",
                },
                "model": text("Its name."),
                "reason": text("Why it was refused or taken back."),
                "frames": whole("Frames that it had to prove itself on."),
                "agreement": {
                    "type": ["number", "null"],
                    "description": "The share of what either model found that both did; null: too little to tell.",
                },
            },
        ),
        "metrics_error": text("Why metrics are not served; empty: they are, or are off."),
        "device_health": record(
            "How the hardware is.",
            {
                "clock_synced": {
                    "type": ["boolean", "null"],
                    "description": "Whether the wall clock is set by the network; null: nobody knows.",
                },
                "temperatures": mapping(
                    "By sensor.",
                    record(
                        "One sensor.",
                        {
                            "celsius": number("Degrees."),
                            "trip_celsius": {
                                "type": ["number", "null"],
                                "description": "From here on the hardware slows itself down; null: nobody knows.",
                            },
                        },
                    ),
                ),
                "throttled": mapping("Events of throttling since the device was started, by source.", whole("Events.")),
                "half_fps": {"type": "boolean", "description": "Whether half of the frames are left out for heat."},
                "memory_mb": mapping("Resident memory by process.", number("In 10^6 bytes.", minimum=0)),
            },
        ),
    },
    optional=("stuck", "fallback", "previous_end", "latency_ms", "rollout", "metrics_error", "device_health"),
    open_=True,
)

_ACK = record(
    "The answer to a command.",
    {
        "schema": _VERSION,
        "verb": text("The command."),
        "ok": {"type": "boolean", "description": "Whether it was done."},
        "error": text("Why not; empty when it was done."),
    },
    open_=True,
)

PAYLOADS: dict[str, Schema] = {
    "status": {"enum": ["online", "offline"], "description": "Bare text, not JSON. `offline` is also the last will."},
    "state": _STATE,
    "camera_state": _CAMERA_STATE,
    "detections": _DETECTIONS,
    "alert": _ALERT,
    "last_alert": {**_ALERT, "description": "The newest alert, for those who come late."},
    "gaps": _GAPS,
    "occupancy": whole("How many confirmed things of a label are in a zone now."),
    "snapshot": {"description": "A JPEG picture of the newest alert's frame.", "contentMediaType": "image/jpeg"},
    "ack": _ACK,
}
"""What is published, by kind."""

_COMMAND_CAMERA = text("A camera; all of them when it is missing.", **_NAME)
COMMANDS: dict[str, Schema] = {
    "ping": record("Answers.", {}),
    "reload": record("Reads the configuration again.", {}),
    "pause": record(
        "Stops looking.",
        {"camera": _COMMAND_CAMERA, "paused": {"type": "boolean", "description": "False: looks again."}},
        optional=("camera", "paused"),
    ),
    "resume": record("Looks again.", {"camera": _COMMAND_CAMERA}, optional=("camera",)),
    "snapshot": record("Publishes a picture.", {"camera": _COMMAND_CAMERA}, optional=("camera",)),
    "set": record(
        "Changes a setting until the next start.",
        {
            "camera": _COMMAND_CAMERA,
            "score": {**_UNIT, "description": "Lowest score that starts a track."},
            "fps": number("Frames looked at per second.", minimum=0.1, maximum=240),
        },
        optional=("camera", "score", "fps"),
    ),
    "replay": record(
        "Sends alerts again.",
        {"camera": _COMMAND_CAMERA, "since_seq": whole("From this one on.")},
        optional=("camera",),
    ),
    "test_alert": record("Raises an alert that says so.", {"camera": _COMMAND_CAMERA}, optional=("camera",)),
}
"""What each command takes, by verb."""
