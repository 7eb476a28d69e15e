"""What every message looks like, in and out."""

from __future__ import annotations

from edgerun.schemas.parts import (
    CAMERA,
    DEVICE,
    NAMED,
    UNIT,
    VERSION,
    Schema,
    array,
    moment,
    number,
    record,
    text,
    truth,
    whole,
)
from edgerun.schemas.states import CAMERA_STATE, STATE

_UUID = {"pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"}
_BOX = {
    "type": "array",
    "description": "x1, y1, x2, y2 in 0-1 of the frame, from its top left corner.",
    "prefixItems": [UNIT] * 4,
    "items": False,
    "minItems": 4,
}
_POLYGON = array(
    "Corners of its outline, x and y in 0-1 of the frame; with models that find masks.",
    {"type": "array", "prefixItems": [UNIT] * 2, "items": False, "minItems": 2},
)
_KEYPOINTS = array(
    "Its key points in the model's order, x and y in 0-1 of the frame and, with most models, a score; with models that "
    "find them.",
    {"type": "array", "prefixItems": [UNIT] * 3, "items": False, "minItems": 2},
)

_FRAME = whole("Number of the frame since its source was opened, from 0; every new connection begins anew.")
_ZONES = array("The zones that it is in.", {"type": "string"})
_THING = {
    "label": text("What it is."),
    "score": {**UNIT, "description": "How sure the detector is."},
    "box": _BOX,
    "zones": _ZONES,
}

_DETECTIONS = record(
    "One frame that was looked at.",
    {
        "schema": VERSION,
        "device": DEVICE,
        "camera": CAMERA,
        "frame": _FRAME,
        "captured": moment("When the frame was taken."),
        "published": moment("When this was sent."),
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
                        "description": "Stays with the thing; null while it is not confirmed. Unique per camera "
                        "until a start of the daemon, or a reload with another source or other labels, begins at 1.",
                    },
                    **_THING,
                    "seen": truth("False while it is hidden and its place is a guess."),
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
        "schema": VERSION,
        "id": text("This message's own id, the same however often it is sent (UUID version 7).", **_UUID),
        "alert": text("Ties a start to its end.", **_UUID),
        "seq": whole(
            "Rises by one with every alert of the camera, also over restarts. Where the outbox cannot be read or was "
            "damaged, so that nobody can tell the last one, it leaps to the seconds since 1970, or where it is ahead "
            "of those by 10,000, and goes on from there.",
            1,
        ),
        "type": {
            "enum": ["start", "end", "instant"],
            "description": "Of something that lasts, or neither.",
        },
        "rule": text("The rule's name."),
        "kind": text("The rule's kind: enter, exit, dwell, cross, ..."),
        "device": DEVICE,
        "camera": CAMERA,
        "frame": _FRAME,
        "captured": moment("When the frame was taken."),
        "published": moment("When this was sent."),
        "zone": text("The zone it is about; empty if there is none."),
        "line": text("The line it is about; empty if there is none."),
        "direction": text("Which way the line was crossed; empty if there is none."),
        "objects": array(
            "What it is about.",
            record("One thing.", {"track_id": whole("As in the detections."), **_THING}),
        ),
        "count": whole("How many there are, where the rule counts."),
        "replayed": truth("True when it may have been published before, or nobody listened when it was to be."),
    },
)

_GAPS = record(
    "Ranges of `seq` that will never be delivered, because the outbox was full or damaged.",
    {
        "schema": VERSION,
        "device": DEVICE,
        "camera": CAMERA,
        "gaps": array(
            "Oldest first.",
            record(
                "One range, both ends included.",
                {
                    "first": whole("First seq.", 1),
                    "last": whole("Last seq.", 1),
                    "count": whole("How many of the range are gone for this reason.", 1),
                    "reason": {"enum": ["evicted", "damaged"], "description": "Why."},
                    "at": moment("When."),
                },
            ),
        ),
    },
)

_ACK = record(
    "The answer to a command.",
    {
        "schema": VERSION,
        "verb": text("The command."),
        "ok": truth("Whether it was done."),
        "error": text("Why not; empty when it was done."),
    },
    open_=True,
)

PAYLOADS: dict[str, Schema] = {
    "status": {"enum": ["online", "offline"], "description": "Bare text, not JSON. `offline` is also the last will."},
    "state": STATE,
    "camera_state": CAMERA_STATE,
    "detections": _DETECTIONS,
    "alert": _ALERT,
    "last_alert": {**_ALERT, "description": "The newest alert, for those who come late."},
    "gaps": _GAPS,
    "occupancy": whole(
        "How many confirmed things of a label are in a zone now; while the camera is not `ok`, when it last was."
    ),
    "snapshot": {
        "description": "A JPEG picture of the newest alert's frame, or of one that a command asked for.",
        "contentMediaType": "image/jpeg",
    },
    "ack": _ACK,
}
"""What is published, by kind."""

_COMMAND_CAMERA = text("A camera; all of them when it is missing.", **NAMED)
COMMANDS: dict[str, Schema] = {
    "ping": record("Answers.", {}),
    "reload": record("Reads the configuration again.", {}),
    "pause": record(
        "Stops looking until it is resumed or the daemon is started again; no reload ends it.",
        {"camera": _COMMAND_CAMERA, "paused": truth("False: looks again.")},
        optional=("camera", "paused"),
    ),
    "resume": record("Looks again.", {"camera": _COMMAND_CAMERA}, optional=("camera",)),
    "snapshot": record("Publishes the next frame as the snapshot.", {"camera": _COMMAND_CAMERA}, optional=("camera",)),
    "set": record(
        "Changes a setting until a reload changes it, or the camera is started again: with the daemon, or by a reload "
        "that brings another source, fps or model, after which all settings are those of the configuration.",
        {
            "camera": _COMMAND_CAMERA,
            "score": {**UNIT, "description": "Lowest score that starts a track, or is published without one."},
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
