"""Outlines and key points on their way from the head to the subscriber: through crops, tracks and messages."""

from __future__ import annotations

import json

import numpy as np
from jsonschema import Draft202012Validator

from edgerun.messages import DetectionsFormat
from edgerun.motion import MotionOptions
from edgerun.pipeline import Pipeline, PipelineOptions, Result
from edgerun.regions import Region, RegionOptions
from edgerun.regions.joining import join
from edgerun.schemas import PAYLOADS
from edgerun.topics import Topics
from edgerun.tracking import TrackerOptions
from edgerun.types import F32, Detail, Detections, Frame, Stamp

SIZE = 640, 480


def found(*rows: tuple[float, float], score: float = 0.9, detailed: bool = True) -> Detections:
    """Boxes 40 wide and 80 high at these corners, each outlined by a diamond, with a key point at its centre."""
    xy = np.array(rows, np.float32).reshape(-1, 2)
    details = np.empty(len(xy), np.object_)
    for row, (x, y) in enumerate(xy.tolist()):
        diamond = np.array([[x + 20, y], [x + 40, y + 40], [x + 20, y + 80], [x, y + 40]], np.float32)
        details[row] = Detail(diamond, np.array([[x + 20, y + 40, 0.75]], np.float32))
    boxes: F32 = np.concatenate([xy, xy + np.array([40, 80], np.float32)], axis=1)
    class_id = np.zeros(len(xy), np.int32)
    return Detections(boxes, np.full(len(xy), score, np.float32), class_id, details if detailed else None)


def watched(frames: list[Detections]) -> list[Result]:
    options = PipelineOptions(
        fps=10, labels=(), motion=MotionOptions(enabled=False), regions=RegionOptions(mode="off"),
        tracker=TrackerOptions(), zones={}, lines={}, rules=[], ground=None, place=None,
    )  # fmt: skip
    pipeline = Pipeline(options, ("person",), (320, 320))
    results = []
    for seq, detections in enumerate(frames):
        stamp = Stamp("porch", seq, seq / 10, 1.8e9 + seq / 10, *SIZE)
        look = pipeline.look(Frame(stamp, "rgb24", (np.zeros((*SIZE[::-1], 3), np.uint8),)))
        results.append(pipeline.finish(look, [(detections, look.regions[0])]))
    return results


def test_a_track_carries_what_was_seen_of_it_in_this_frame() -> None:
    walk = [found((100 + 3 * n, 100), (400, 200 + 2 * n)) for n in range(12)]
    *_, seen, coasting = watched([*walk, found((100 + 36, 100))])
    assert seen.details is not None
    assert len(seen.tracks) == 2
    for box, detail in zip(seen.tracks.xyxy, seen.details, strict=True):
        assert np.abs(detail.polygon.mean(axis=0) - box.reshape(2, 2).mean(axis=0)).max() < 5
    assert coasting.details is not None
    told = {bool(s): d for s, d in zip(coasting.tracks.seen, coasting.details, strict=True)}
    assert told[True].polygon is not None
    assert told[False].polygon is None, "nobody knows the outline of what is not seen"


def test_models_of_boxes_alone_tell_no_details() -> None:
    results = watched([found((100, 100), detailed=False)] * 5)
    assert results[-1].details is None
    assert len(results[-1].tracks) == 1


def test_subscribers_get_outlines_and_key_points() -> None:
    result = watched([found((100, 100)), *[found((100, 100), (600, 440), score=0.95)] * 4])[-1]
    loose = found((float("nan"), 0), (300, 300), score=0.5)
    form = DetectionsFormat(Topics("edgerun", "pi"), "porch", ["person"], model="m", sha256="0" * 64, engine="onnx")
    message = form.message(
        result.stamp, result.tracks, result.zones_of, loose, inference_ms=1.0, published=0.0, details=result.details
    )
    payload = json.loads(message.payload)
    Draft202012Validator(PAYLOADS["detections"]).validate(payload)
    first, second, _, last = payload["objects"]
    assert first["polygon"] == [[0.1875, 0.20833], [0.21875, 0.29167], [0.1875, 0.375], [0.15625, 0.29167]]
    assert first["keypoints"] == [[0.1875, 0.29167, 0.75]]
    assert max(x for x, _ in second["polygon"]) == 1, "clipped to the frame"
    assert last["track_id"] is None
    assert len(last["polygon"]) == 4


def test_what_crops_saw_is_joined_with_its_details() -> None:
    left, right = Region((0, 0, 320, 480), "motion"), Region((280, 0, 640, 480), "motion")
    parts = [(found((290, 100), (50, 50)), left), (found((290, 101), (500, 50), score=0.8), right)]
    joined = join(parts, found((400, 300), detailed=False), SIZE, RegionOptions())
    assert joined.details is not None
    assert len(joined) == 4
    for box, detail in zip(joined.xyxy, joined.details, strict=True):
        outlined = detail.polygon is not None
        assert outlined == (box[0] != 400)
        assert not outlined or detail.polygon[:, 0].min() == box[0]
