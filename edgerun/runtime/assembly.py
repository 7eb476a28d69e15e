"""A camera's pure step and its terms, made from its configuration."""

from __future__ import annotations

from dataclasses import fields, replace

from edgerun.config import CameraOptions, Config
from edgerun.errors import ConfigError
from edgerun.pipeline import Pipeline, PipelineOptions
from edgerun.runtime.camera import CameraTerms
from edgerun.tracking import TrackerOptions


def pipeline_for(
    config: Config, name: str, class_names: tuple[str, ...], model_size: tuple[int, int], fps: float | None = None
) -> Pipeline:
    """``fps`` stands in for the camera's own, in replays. Raises ConfigError for what does not fit the model."""
    camera = config.cameras[name]
    options = PipelineOptions(
        fps=fps or camera.fps,
        labels=camera.labels,
        motion=camera.motion,
        regions=camera.regions,
        tracker=_tracker(camera.tracker, config.model.score),
        zones=camera.zones,
        lines=camera.lines,
        rules=camera.rules,
        ground=camera.ground,
        place=config.place,
    )
    try:
        return Pipeline(options, class_names, model_size)
    except ValueError as error:
        raise ConfigError(f"camera {name}: {error}") from error


def _tracker(options: TrackerOptions, score: float) -> TrackerOptions:
    """The model's score starts tracks, unless the tracker was told otherwise."""
    if options.start_score != TrackerOptions().start_score:
        return options
    return replace(options, start_score=max(score, options.low_score))


def terms_for(options: CameraOptions) -> CameraTerms:
    """A camera that is asked for a frame a minute is not late after four seconds."""
    source = options.source.options
    timeouts_s = sum(getattr(source, part.name) for part in fields(source) if part.name.endswith("timeout_s"))
    slowest_s = 3 / options.fps
    return CameraTerms(
        stalled_s=max(options.stalled_s, slowest_s),
        frozen_s=options.frozen_s,
        stuck_s=max(options.stuck_s, timeouts_s + 10, slowest_s),
    )
