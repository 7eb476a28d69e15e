"""What becomes of a camera's results: detections, alerts, counts, pictures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

import numpy as np

from edgerun.images import jpeg, to_bgr
from edgerun.labels import label
from edgerun.marks import draw
from edgerun.messages import DetectionsFormat, occupancy, snapshot
from edgerun.pipeline import Result
from edgerun.runtime.delivery.delivery import Delivery
from edgerun.runtime.inference.detector import Detector
from edgerun.runtime.inference.jobs import Job
from edgerun.topics import Topics
from edgerun.types import Event, Frame


class Outlet:
    """Turns one camera's results into messages."""

    def __init__(self, camera: str, detector: Detector, topics: Topics, delivery: Delivery) -> None:
        self._camera = camera
        self._topics = topics
        self._delivery = delivery
        model = detector.model
        self._format_for = partial(
            DetectionsFormat, topics, camera, detector.labels, model=model.name, sha256=model.sha256
        )
        self._formats: dict[str, DetectionsFormat] = {}
        self.labels = [label(detector.labels, class_id) for class_id in range(len(detector.labels))]
        """All that the model can tell."""
        self.counts: dict[tuple[str, str], int] = {}

    def __call__(self, result: Result, job: Job, score: float) -> None:
        """Publish what a frame came to: detections at once (those in no track from ``score`` on), alerts by way of the
        outbox, counts when they change."""
        written = self._formats.get(job.engine)
        if written is None:
            written = self._formats[job.engine] = self._format_for(engine=job.engine)
        self._delivery.publish(
            written.message(
                result.stamp,
                result.tracks,
                result.zones_of,
                result.loose(score),
                inference_ms=job.inference_s * 1000 if job.look.regions else None,
                published=time.time(),
                details=result.details,
            )
        )
        self.tell(result.events, result.look.frame)
        self.count(result.occupancy)

    def count(self, counts: dict[tuple[str, str], int]) -> None:
        """Tell how many there are by (zone, label), where that has changed."""
        if counts != self.counts:
            for (zone, label), count in counts.items():
                if self.counts.get((zone, label)) != count:
                    self._delivery.retain(occupancy(self._topics, self._camera, zone, label, count))
            self.counts = counts

    def tell(self, events: Sequence[Event], frame: Frame | None = None) -> None:
        """Hand events on as alerts, with a picture if there is a frame."""
        for event in events:
            self._delivery.accept(event, partial(self._picture, frame, event) if frame else None)

    def picture(self, frame: Frame) -> None:
        """Publish a frame as it is as the snapshot."""
        self._delivery.retain(snapshot(self._topics, self._camera, self._picture(frame)))

    @staticmethod
    def _picture(frame: Frame, event: Event | None = None) -> bytes:
        objects = event.objects if event else ()
        boxes = np.array([thing.xyxy for thing in objects], np.float32).reshape(-1, 4)
        captions = [f"{thing.label} {thing.score:.2f}" for thing in objects]
        return jpeg(draw(to_bgr(frame), boxes, captions))
