"""A camera's pure step, made from its configuration."""

from __future__ import annotations

from dataclasses import replace

from edgerun.config import Config
from edgerun.errors import ConfigError
from edgerun.pipeline import Pipeline, PipelineOptions
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
