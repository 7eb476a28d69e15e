"""Two engines with the same model must see the same things in the same picture."""

from __future__ import annotations

import numpy as np

from edgerun.boxes import iou
from edgerun.engines.onnx import Onnx, OnnxOptions
from edgerun.heads import HEADS
from edgerun.images import TensorWriter
from edgerun.stages import Engine
from edgerun.types import Detections
from tests.heads.test_real_models import frame
from tests.shared_media import SHARED


def detections(engine: Engine, head: str) -> Detections:
    """What a model finds in one frame of vtest.avi."""
    io, plugin = engine.io, HEADS[head]
    decoder = plugin.build(plugin.options())
    tensor = np.zeros(io.inputs[0].shape, io.inputs[0].dtype)
    fit = TensorWriter(io, decoder.layout(io)).write(frame("vtest.avi", 100), tensor)
    return decoder.decode(engine.infer([tensor]), io, fit, 0.4)


def assert_agrees(engine: Engine, head: str, model: str) -> None:
    """With ONNX Runtime on the same model: as many boxes, IoU above 0.9, score within 0.03."""
    reference = detections(Onnx(OnnxOptions(), SHARED / "models" / model), head)
    found = detections(engine, head)
    assert len(found) == len(reference) > 3
    overlap = iou(reference.xyxy, found.xyxy)
    overlap[reference.class_id[:, None] != found.class_id[None]] = 0
    assert overlap.max(axis=1).min() > 0.9
    assert np.abs(reference.score - found.score[overlap.argmax(axis=1)]).max() < 0.03
