"""A camera's pure step, made from its configuration."""

from __future__ import annotations

from edgerun.config import CameraOptions
from edgerun.pipeline import Pipeline, PipelineOptions


def pipeline_for(
    camera: CameraOptions, class_names: tuple[str, ...], model_size: tuple[int, int], fps: float | None = None
) -> Pipeline:
    """``fps`` stands in for the camera's own, in replays."""
    options = PipelineOptions(
        fps=fps or camera.fps,
        labels=camera.labels,
        motion=camera.motion,
        regions=camera.regions,
        tracker=camera.tracker,
        zones=camera.zones,
        lines=camera.lines,
        rules=camera.rules,
    )
    return Pipeline(options, class_names, model_size)
