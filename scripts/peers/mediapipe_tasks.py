"""MediaPipe Tasks' ObjectDetector in VIDEO mode. No tracking, no zone, nothing published.

It takes models with metadata only; the wheel's own writer of metadata lacks a compiled module of which it needs one
function, the parser version that it writes down. That function is stood in for here.
"""

from __future__ import annotations

import sys
import tempfile
import types
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import mediapipe as mp  # type: ignore[import-not-found]  # only in its own environment
from timing import arguments, measure


def with_metadata(model: Path, labels: Path) -> bytes:
    for name in ("cc", "cc.metadata", "cc.metadata.python"):
        sys.modules[f"mediapipe.tasks.{name}"] = types.ModuleType(name)
    stand_in = types.ModuleType("_pywrap_metadata_version")
    stand_in.GetMinimumMetadataParserVersion = lambda _: "1.0.0"  # type: ignore[attr-defined]  # made just above
    sys.modules["mediapipe.tasks.cc.metadata.python"]._pywrap_metadata_version = stand_in  # type: ignore[attr-defined]
    sys.modules["mediapipe.tasks.cc.metadata.python._pywrap_metadata_version"] = stand_in
    from mediapipe.tasks.python.metadata.metadata_writers import (  # type: ignore[import-not-found]  # as above
        metadata_writer,
        object_detector,
    )

    written = metadata_writer.Labels().add_from_file(str(labels))
    writer = object_detector.MetadataWriter.create_for_models_with_nms(bytearray(model.read_bytes()), [0], [1], written)
    made, _ = writer.populate()
    return bytes(made)


if __name__ == "__main__":
    clip, model, labels, frames = arguments()
    with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
        file.write(with_metadata(model, labels))
        file.flush()
        vision = mp.tasks.vision
        options = vision.ObjectDetectorOptions(
            base_options=mp.tasks.BaseOptions(model_asset_path=file.name),
            running_mode=vision.RunningMode.VIDEO,
            score_threshold=0.1,
        )
        numbers = count(1)
        with vision.ObjectDetector.create_from_options(options) as detector:

            def step(picture: Any) -> object:
                rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
                return detector.detect_for_video(mp.Image(mp.ImageFormat.SRGB, rgb), 100 * next(numbers))

            measure(step, clip, frames)
