"""One camera's pure step: where to look in a frame, and what its detections mean. No clock, no thread, no I/O.

``look`` runs where the frames are captured, ``finish`` where results arrive; each is called in the frames' order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgerun.boxes import likeness, nms
from edgerun.images import luma
from edgerun.labels import not_known
from edgerun.motion import MotionGate, MotionOptions
from edgerun.records import dataclass
from edgerun.regions import Region, RegionOptions, RegionPlanner
from edgerun.rules import Place, RuleBook, RuleOptions
from edgerun.tracking import ClassGroups, Tracker, TrackerOptions
from edgerun.types import F32, Detail, Details, Detections, Event, Frame, Stamp, Tracks
from edgerun.zones import GroundOptions, LineOptions, ZoneOptions

FLOOR_SCORE = 0.1
"""Detections below are noise for every detector met so far; the tracker's second stage uses those above."""
_SAME_IOU = 0.45


@dataclass(frozen=True, slots=True)
class Look:
    """A frame and the regions worth an inference; none: nothing changed, the tracks are held."""

    frame: Frame
    regions: tuple[Region, ...]

    @classmethod
    def whole(cls, frame: Frame) -> Look:
        """At all of the frame, once."""
        return cls(frame, (Region((0, 0, frame.stamp.width, frame.stamp.height), "frame"),))


@dataclass(frozen=True, slots=True)
class Result:
    """What one frame came to. ``zones_of`` goes with the rows of ``tracks``."""

    look: Look
    detections: Detections
    tracks: Tracks
    zones_of: list[tuple[str, ...]]
    events: list[Event]
    occupancy: dict[tuple[str, str], int]
    groups: ClassGroups

    @property
    def stamp(self) -> Stamp:
        return self.look.frame.stamp

    @property
    def details(self) -> Details | None:
        """What is known of each track beyond its box: of the detection that it was seen by, nothing while it coasts.
        None where the model finds boxes alone."""
        found, tracks = self.detections, self.tracks
        if found.details is None:
            return None
        details = np.full(len(tracks), Detail())
        if len(found) and len(tracks):
            alike = self._likeness()
            best = alike.argmax(axis=1)
            same = tracks.seen & (alike[np.arange(len(tracks)), best] > _SAME_IOU)
            details[same] = found.details[best[same]]
        return details

    def loose(self, min_score: float) -> Detections:
        """The detections that stand for none of the tracks."""
        found, tracks = self.detections, self.tracks
        good = found.score >= min_score
        if len(tracks):
            good &= ~(self._likeness() > _SAME_IOU).any(axis=0)
        return found.take(good)

    def _likeness(self) -> F32:
        """IoU of each track with each detection of its group."""
        found, tracks, group = self.detections, self.tracks, self.groups.of
        return likeness(tracks.xyxy, group(tracks.class_id), found.xyxy, group(found.class_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineOptions:
    """The part of a camera's options that the pure step needs."""

    fps: float
    labels: tuple[str, ...]
    score: float = 0.5
    """Begins tracks where the tracker's own options do not say."""
    motion: MotionOptions
    regions: RegionOptions
    tracker: TrackerOptions
    zones: Mapping[str, ZoneOptions]
    lines: Mapping[str, LineOptions]
    rules: Sequence[RuleOptions]
    ground: GroundOptions | None
    place: Place | None


class Pipeline:
    """``class_names`` are the model's, by class id; ``options.labels`` are those to keep (none given: all).

    Raises ValueError for rules that cannot work with this model.
    """

    def __init__(self, options: PipelineOptions, class_names: Sequence[str], model_size: tuple[int, int]) -> None:
        self._class_names = tuple(class_names)
        self._gate = MotionGate(options.motion, options.fps) if options.motion.enabled else None
        self.model_size = model_size
        """Of the model's input; may be set anew when another file of the model takes over."""
        self._options = options
        self._planned_size = model_size
        self._planner = RegionPlanner(options.regions, model_size)
        self._groups = ClassGroups(options.tracker.alike, class_names)
        self._tracker = Tracker(options.fps, options.tracker, start_score=options.score, groups=self._groups)
        self._told_score = self.score
        self._rules = RuleBook(
            options.rules, options.zones, options.lines, class_names, options.place, options.ground, self._groups
        )
        if unknown := set(options.labels) - set(class_names):
            raise ValueError(f"labels: {not_known(min(unknown), class_names)}")
        wanted = [i for i, name in enumerate(class_names) if name in options.labels]
        self._wanted = np.array(wanted, np.int32) if options.labels else None
        self._tracks = Tracks.empty()
        self._stamp: Stamp | None = None

    def take_over(self, before: Pipeline) -> None:
        """Go on from where another one stopped, with all of it that is told as here. What it began and is not the same
        here is left to its ``end``; so is all where the model knows other classes."""
        if self._class_names != before._class_names:
            return
        now, then = self._options, before._options
        if now.motion == then.motion:
            self._gate = before._gate
        if now.regions == then.regions:
            self._planner, self._planned_size = before._planner, before._planned_size
        self.model_size = before.model_size
        score = before.score if self._told_score == before._told_score else self._told_score
        self._tracker = before._tracker
        self._tracker.tune(now.tracker, score, self._groups)
        self.score = score
        self._tracks, self._stamp = before._tracks, before._stamp
        self._rules.take_over(before._rules, now.labels)

    @property
    def score(self) -> float:
        """The lowest that begins a track; may be set anew at any time."""
        return self._tracker.start_score

    @score.setter
    def score(self, score: float) -> None:
        self._tracker.start_score = score

    @property
    def fps(self) -> float:
        """How often the camera is looked at; may be set anew at any time."""
        return self._tracker.fps

    @fps.setter
    def fps(self, fps: float) -> None:
        self._tracker.fps = fps

    def look(self, frame: Frame) -> Look:
        """Decide what of this frame is worth an inference."""
        motion = self._gate.update(luma(frame), frame.stamp) if self._gate else None
        planner = self._planner
        if self.model_size != self._planned_size:
            self._planned_size = self.model_size
            planner = RegionPlanner(self._options.regions, self._planned_size)
        regions = planner.plan(motion, self._tracks, frame.stamp)
        self._planner = planner  # only now: frames under way are merged by one that knows the frame
        return Look(frame, tuple(regions))

    def finish(self, look: Look, parts: Sequence[tuple[Detections, Region]]) -> Result:
        """Join what the engine saw in each region, and follow it. No regions: the tracks are held."""
        stamp = look.frame.stamp
        if look.regions:
            detections = self._planner.merge(parts, stamp)
            if self._wanted is not None:
                detections = detections.take(np.isin(detections.class_id, self._wanted))
            group = self._groups.of(detections.class_id)
            if group is not detections.class_id:
                overlap = self._options.regions.overlap
                detections = detections.take(nms(detections.xyxy, detections.score, group, overlap))
            tracks = self._tracker.update(detections, stamp)
            held = self._planner.held
            looked = ~np.isin(tracks.track_id, held) if len(held) else None
            self._planner.learn(tracks, stamp)
        else:
            detections = Detections.empty()
            tracks = self._tracker.hold(stamp)
            looked = np.zeros(len(tracks), np.bool_)
        self._tracks, self._stamp = tracks, stamp
        events = self._rules.update(tracks, stamp, looked)
        zones_of, occupancy = self._rules.zones_of(), self._rules.occupancy()
        return Result(look, detections, tracks, zones_of, events, occupancy, self._groups)

    def end(self) -> list[Event]:
        """What has begun ends with the last frame, as the camera is taken out of service."""
        return self._rules.finish(self._stamp) if self._stamp else []
