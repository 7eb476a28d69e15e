"""A camera's parts, made from the daemon's configuration."""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from typing import Literal

from edgerun.config import CameraOptions, Config
from edgerun.pipeline import PipelineOptions
from edgerun.runtime.cameras.camera import Camera
from edgerun.runtime.cameras.camera_report import CameraTerms
from edgerun.runtime.cameras.outlet import Outlet
from edgerun.runtime.cameras.pipelines import pipeline_for
from edgerun.runtime.delivery.delivery import Delivery
from edgerun.runtime.inference.detector import Detector
from edgerun.stages import Feed
from edgerun.topics import Topics, sharing

_PIPELINE = {field.name for field in fields(PipelineOptions)} - {"fps"}
"""Options of a camera that its source knows nothing of."""
_TERMS = {"priority", "stalled_s", "frozen_s", "stuck_s"}
"""Options that a camera may be told at any moment, see ``terms_for``."""


def camera_for(config: Config, name: str, detector: Detector, topics: Topics, delivery: Delivery) -> Camera:
    """Raises ConfigError for what does not fit the model."""
    options = config.cameras[name]
    return Camera(
        name,
        lambda fps: options.source.build(Feed(name, fps)),
        pipeline_for(config, name, detector.labels, detector.size),
        Outlet(name, detector, topics, delivery),
        detector.dispatcher,
        partial(terms_for, options),
        fps=options.fps,
        lossless=options.lossless,
    )


def difference(name: str, before: Config, now: Config) -> Literal["nothing", "pipeline", "camera"]:
    """What of a camera must be made anew where only this differs: all of it, or just how its frames are looked at."""
    was, wanted = before.enabled_cameras.get(name), now.enabled_cameras.get(name)
    if was is None or wanted is None:
        return "camera"
    by_name = {field.name for field in fields(CameraOptions) if getattr(was, field.name) != getattr(wanted, field.name)}
    if before.model.score != now.model.score:
        by_name.add("score")
    if before.place != now.place and any(rule.schedule for rule in wanted.rules):
        by_name.add("place")
    by_name -= _TERMS
    if by_name <= _PIPELINE and not (by_name and wanted.lossless):
        return "pipeline" if by_name else "nothing"
    return "camera"


def sees_on(name: str, before: Config, now: Config) -> bool:
    """Whether a camera that is opened anew is as one that was away for a moment. A lossless one has a time of its own,
    which may begin again."""
    was, wanted = before.enabled_cameras.get(name), now.enabled_cameras.get(name)
    if was is None or wanted is None:
        return False
    return was.source == wanted.source and not (was.lossless or wanted.lossless)


def shared_topics(config: Config, name: str, detector: Detector) -> tuple[str, ...]:
    """What to say of a camera's labels of which one goes over another's counts."""
    options = config.cameras[name]
    return tuple(
        f"camera {name}: the labels {', '.join(map(repr, sorted(labels)))} share a topic, and it tells the count that "
        "changed last; change one of them"
        for labels in (sharing(options.labels or detector.labels) if options.zones else ())
    )


def terms_for(options: CameraOptions, fps: float) -> CameraTerms:
    """A camera that is asked for a frame a minute, or gives no more, is not late after four seconds."""
    source = options.source.options
    timeouts_s = sum(getattr(source, part.name) for part in fields(source) if part.name.endswith("timeout_s"))
    slowest_s = 3 / min(fps, getattr(source, "rate_fps", 0) or fps)
    return CameraTerms(
        weight=fps * (options.priority + 1),
        stalled_s=max(options.stalled_s, slowest_s),
        frozen_s=options.frozen_s,
        stuck_s=max(options.stuck_s, timeouts_s + 10, slowest_s),
    )
