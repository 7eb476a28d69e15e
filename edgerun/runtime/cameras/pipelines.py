"""A camera's pure step, made from its configuration."""

from __future__ import annotations

from edgerun.config import Config
from edgerun.errors import ConfigError
from edgerun.pipeline import Pipeline, PipelineOptions


def pipeline_for(
    config: Config, name: str, class_names: tuple[str, ...], model_size: tuple[int, int], fps: float | None = None
) -> Pipeline:
    """``fps`` stands in for the camera's own, in replays. Raises ConfigError for what does not fit the model."""
    camera = config.cameras[name]
    options = PipelineOptions(
        fps=fps or camera.fps,
        labels=camera.labels,
        score=config.model.score,
        motion=camera.motion,
        regions=camera.regions,
        tracker=camera.tracker,
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
