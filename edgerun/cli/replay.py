"""``edgerun replay``: a camera's pipeline over a recorded clip, on the clip's own clock, the same every time."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from edgerun.cli.arguments import above_zero, spare, unix_time
from edgerun.cli.run import DEFAULT_CONFIG
from edgerun.config import Config, load_without_secrets, source
from edgerun.drawing import Painter, draw_details
from edgerun.errors import ConfigError
from edgerun.labels import label
from edgerun.messages import event_record
from edgerun.pipeline import Result
from edgerun.recording import Recording, recording
from edgerun.runtime.cameras.pipelines import pipeline_for
from edgerun.runtime.inference.session import Session
from edgerun.stages import Feed
from edgerun.types import F32, Event, Stamp


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE")
    parser.add_argument("--camera", required=True, metavar="NAME", help="whose zones and rules apply")
    parser.add_argument("--video", required=True, type=Path, metavar="CLIP")
    parser.add_argument(
        "--fps", type=above_zero, metavar="F", help="frames looked at per second (default: the camera's)"
    )
    parser.add_argument(
        "--recorded-at",
        type=unix_time,
        default=0.0,
        metavar="TIME",
        help="when the clip began, for schedules: 2026-11-22T18:30 by this machine's clock, or with +01:00",
    )
    parser.add_argument("--detections", action="store_true", help="also print every frame's objects")
    parser.add_argument(
        "--save",
        type=Path,
        metavar="FILE|DIR",
        help="also draw it all: into an .mp4; the moments with events into one .jpg or .png, or each into a folder",
    )
    parser.add_argument("--expect", type=Path, metavar="FILE", help="compare the events with these JSON lines")


def run(args: argparse.Namespace) -> int:
    config = load_without_secrets(args.config)
    if args.camera not in config.cameras:
        raise ConfigError(f"{args.config} has no camera {args.camera!r}; it has {', '.join(config.cameras)}")
    if args.save:
        spare([args.video, args.config, *([args.expect] if args.expect else [])], args.save)
    expected = _expected(args.expect) if args.expect else None  # before the clip, which may take long
    events: list[dict[str, Any]] = []
    with recording(args.save) if args.save else nullcontext() as kept:
        for record in replay(config, args.camera, args.video, args.fps, kept, args.recorded_at):
            if record["type"] == "event":
                events.append(record)
            if record["type"] == "event" or args.detections:
                print(json.dumps(record))
    return 0 if expected is None else _compare(args.expect, expected, events)


def replay(
    config: Config,
    camera: str,
    video: Path,
    fps: float | None = None,
    kept: Recording | None = None,
    recorded_at_s: float = 0.0,
) -> Iterator[dict[str, Any]]:
    """One record per frame looked at, each followed by its events; ``kept`` gets each frame with all of it drawn.
    Schedules take the clip to have begun at ``recorded_at_s``, in Unix seconds.

    Raises SourceError for a clip that cannot be read, and what loading the model raises.
    """
    options = config.cameras[camera]
    feed = Feed(camera, fps or options.fps)
    clip = source("file", path=str(video), loop=False, pace=False, recorded_at_s=recorded_at_s).build(feed)
    with Session(config.model) as session:
        pipeline = pipeline_for(config, camera, session.labels, session.io.size, fps)
        painter = Painter(options.zones, options.lines, session.labels)
        for frame in clip.frames():
            look = pipeline.look(frame)
            result = pipeline.finish(look, session.infer(look).parts if look.regions else [])
            if kept is not None:
                loose = result.loose(pipeline.score)
                picture = painter.paint(frame, result.tracks, result.zones_of, loose, result.events)
                draw_details(picture, result.details)
                draw_details(picture, loose.details)
                kept.add(picture, result.stamp.captured, bool(result.events))
            yield _frame_record(result, session.labels)
            for event in result.events:
                yield _event_record(event)
        for event in pipeline.end():
            yield _event_record(event)


def _event_record(event: Event) -> dict[str, Any]:
    stamp = event.stamp
    return {"type": "event", "t": round(stamp.captured, 6), **event_record(event), "frame": _number(stamp)}


def _number(stamp: Stamp) -> int:
    """A frame's place in the clip, from 1."""
    return stamp.seq + 1


def _frame_record(result: Result, labels: Sequence[str]) -> dict[str, Any]:
    tracks, found = result.tracks, result.detections
    objects = [
        _object(track_id, labels, class_id, score, box)
        for track_id, class_id, score, box in zip(
            tracks.track_id.tolist(), tracks.class_id.tolist(), tracks.score.tolist(), tracks.xyxy, strict=True
        )
    ]
    objects += [
        _object(None, labels, class_id, score, box)
        for class_id, score, box in zip(found.class_id.tolist(), found.score.tolist(), found.xyxy, strict=True)
    ]
    return {
        "type": "frame",
        "frame": _number(result.stamp),
        "t": round(result.stamp.captured, 6),
        "inferences": len(result.look.regions),
        "objects": objects,
    }


def _object(track_id: int | None, labels: Sequence[str], class_id: int, score: float, box: F32) -> dict[str, Any]:
    return {
        "track_id": track_id,
        "label": label(labels, class_id),
        "score": round(score, 4),
        "box_px": [round(edge, 2) for edge in box.tolist()],
    }


def _expected(path: Path) -> list[dict[str, Any]]:
    """The events of a file that a replay printed. Raises ConfigError."""
    try:
        records = [json.loads(line) for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be read as JSON lines: {error}") from error
    return [record for record in records if isinstance(record, dict) and record.get("type") == "event"]


def _compare(path: Path, expected: Sequence[Mapping[str, Any]], events: Sequence[Mapping[str, Any]]) -> int:
    """0 when the events are those expected, however that is written; else a readable difference on stderr, and 1."""
    if expected == events:
        print(f"all {len(events)} events as expected", file=sys.stderr)
        return 0
    wanted = [json.dumps(next((event for event in events if event == record), record)) for record in expected]
    found = [json.dumps(event) for event in events]
    for line in difflib.unified_diff(wanted, found, str(path), "this replay", lineterm="", n=1):
        print(line, file=sys.stderr)
    return 1
