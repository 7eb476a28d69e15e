"""LiteRT, supervision and roboflow's trackers: detection, ByteTrack and a polygon zone, as their guides put it."""

from __future__ import annotations

from typing import Any

import numpy as np
import supervision as sv  # type: ignore[import-not-found]  # only in its own environment
from litert import clip, detect, frames
from timing import measure
from trackers import ByteTrackTracker  # type: ignore[import-not-found]  # as above

tracker = ByteTrackTracker()
zone: Any = None


def step(picture: Any) -> object:
    global zone
    height, width = picture.shape[:2]
    if zone is None:
        corners = np.array([[0.0, 0.45], [1.0, 0.35], [1.0, 0.75], [0.0, 0.85]]) * (width, height)
        zone = sv.PolygonZone(corners.astype(int))
    boxes, classes, scores, _ = detect(picture)
    found = sv.Detections(
        xyxy=boxes[0][:, [1, 0, 3, 2]] * (width, height, width, height),
        confidence=scores[0],
        class_id=classes[0].astype(int),
    )
    tracked = tracker.update(found[found.confidence >= 0.1])
    return zone.trigger(tracked)


if __name__ == "__main__":
    measure(step, clip, frames)
