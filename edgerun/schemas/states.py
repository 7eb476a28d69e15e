"""What the device says of itself and its cameras."""

from __future__ import annotations

from edgerun.messages import CAMERA_STATES
from edgerun.schemas.parts import (
    CAMERA,
    DEVICE,
    UNIT,
    VERSION,
    array,
    mapping,
    moment,
    number,
    record,
    text,
    truth,
    whole,
)

_ENGINE_CHOICE = array(
    "The engines that can run the model, best first.",
    record(
        "One engine with one of the model's files.",
        {
            "engine": text("Its name."),
            "says": text("Why it stands where it does."),
            "file": text("The model's file."),
            "agrees": truth("Whether it finds what the reference finds."),
            "ms": {
                "type": ["number", "null"],
                "description": "Its quickest inference; null: it was not run, or failed.",
            },
            "is_reference": truth("Whether the others are compared with it."),
            "passing": truth("Whether it failed for a reason that need not last: the next start tries it again."),
        },
        optional=("file", "agrees", "ms", "is_reference", "passing"),
    ),
)

_WORKERS = array(
    "The processes that engines run in.",
    record(
        "One process.",
        {
            "engine": text("What runs in it, or is being started."),
            "engine_since": moment("Since when that is so."),
            "serving": truth("Whether it serves now."),
            "reason": text("Why it does not; empty: it does."),
            "fallback": truth("Whether it is not the preferred engine."),
            "fallback_reason": text("Why it is not; empty: it is."),
            "restarts": whole("How often it was started again."),
            "last_reason": text("Why, the last time; empty: it was not."),
        },
    ),
)

CAMERA_STATE = record(
    "How a camera is.",
    {
        "schema": VERSION,
        "device": DEVICE,
        "camera": CAMERA,
        "state": {"enum": [*CAMERA_STATES], "description": "Its state."},
        "since": moment("Since when."),
        "fps": number("Frames looked at per second.", minimum=0),
        "dropped": whole("Frames that were not looked at, since the start."),
        "score": {**UNIT, "description": "Lowest score that starts a track, or is published without one."},
        "paused": truth("Whether a command paused it, whatever its state: one that is not there may be paused, too."),
        "dropped_by": mapping("The same by cause.", whole("Frames.")),
    },
    optional=("score", "paused"),
    open_=True,
)

STATE = record(
    "How the device is.",
    {
        "schema": VERSION,
        "device": DEVICE,
        "version": text("edgerun's version."),
        "since": moment("When it was started."),
        "model": record("The detector.", {"name": text("Name."), "sha256": text("Checksum.")}, open_=True),
        "engine": text("What runs the model."),
        "engine_choice": _ENGINE_CHOICE,
        "workers": _WORKERS,
        "cameras": mapping(
            "By name.",
            record(
                "How a camera is.",
                {
                    "state": {"enum": [*CAMERA_STATES], "description": "Its state."},
                    "reason": text("Why it is not ok, or why its frames are not looked at; empty: all is well."),
                    "fps": number("Frames looked at per second.", minimum=0),
                    "asked_fps": number("Frames to be looked at per second.", minimum=0),
                    "overloaded": text("In words, when the engine serves fewer than asked; else empty."),
                    "reconnects": whole("How often its source was opened again."),
                    "replaced": whole("How often its capture hung and was left behind for a new one."),
                },
                optional=("reason", "asked_fps", "overloaded", "reconnects", "replaced"),
                open_=True,
            ),
        ),
        "outbox": record(
            "The queue of alerts.",
            {
                "depth": whole("Alerts that are not delivered."),
                "unclaimed": whole("Those of them that the broker took with nobody listening."),
                "evicted": whole("Alerts given up for want of room."),
                "degraded": truth("Whether the disk fails, so that new alerts are only in memory."),
            },
            optional=("degraded",),
            open_=True,
        ),
        "mqtt": record(
            "The connection to the broker.",
            {"connected": truth("Whether it is up."), "error": text("Why it is not, or never for long; empty: it is.")},
        ),
        "stuck": array("What hangs and cannot be replaced: internal loops, and cameras.", text("Its name.")),
        "reload_error": text("Why the changed configuration was not taken over; empty: it was."),
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
                "reason": text("Why it was refused or taken back, or should have been."),
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
                "half_fps": truth("Whether half of the frames are left out for heat."),
                "memory_mb": mapping("Resident memory by process.", number("In 10^6 bytes.", minimum=0)),
            },
        ),
    },
    optional=(
        "engine_choice",
        "workers",
        "mqtt",
        "stuck",
        "reload_error",
        "fallback",
        "previous_end",
        "latency_ms",
        "rollout",
        "metrics_error",
        "device_health",
    ),
    open_=True,
)
