"""Models that take more than a picture: what they are given, from the head to the engine's child process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgerun.config import ModelChoice
from edgerun.heads.picodet import PicoDet, PicoDetOptions
from edgerun.pipeline import Look
from edgerun.regions import Region
from edgerun.runtime.inference.session import Session
from edgerun.types import Frame, ModelIO, TensorSpec
from tests.engines import onnx_models as make

FLOAT, INT64 = make.FLOAT, make.INT64


def detr(width: int, height: int) -> bytes:
    """Sees one object in the middle half of ``orig_target_sizes``, whatever the picture; its score is the brightest
    value of the red channel."""
    quarters = np.array([0.25, 0.25, 0.75, 0.75], np.float32).tobytes()
    nodes = [
        make.node("Cast", ["orig_target_sizes"], ["size"], make.attribute("to", FLOAT)),
        make.node("Concat", ["size", "size"], ["whole"], make.attribute("axis", 1)),
        make.node("Mul", ["whole", "quarters"], ["box"]),
        make.node("Flatten", ["box"], ["flat"], make.attribute("axis", 0)),
        make.node("Reshape", ["flat", "three"], ["boxes"]),
        make.node("GlobalMaxPool", ["images"], ["top"]),
        make.node("Slice", ["top", "zero", "one", "one"], ["red"]),
        make.node("Flatten", ["red"], ["scores"], make.attribute("axis", 1)),
        make.node("Cast", ["scores"], ["labels"], make.attribute("to", INT64)),
    ]
    weights = [
        make.tensor("quarters", [4], quarters),
        make.integers("three", [1, 1, 4]),
        make.integers("zero", [0]),
        make.integers("one", [1]),
    ]
    ins = [make.value("images", [1, 3, height, width]), make.value("orig_target_sizes", [1, 2], INT64)]
    outs = [
        make.value("labels", [1, 1], INT64),
        make.value("boxes", [1, 1, 4]),
        make.value("scores", [1, 1]),
    ]
    return make.model(nodes, ins, outs, weights)


def test_a_model_that_asks_for_sizes_is_given_them(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
    path = tmp_path / "detr.onnx"
    path.write_bytes(detr(64, 32))
    picture = np.zeros((200, 400, 3), np.uint8)
    picture[..., 2] = 204
    frame = Frame.of_bgr(picture, "camera")
    with Session(ModelChoice(path=str(path))) as session:
        for _ in range(5):  # each slot once, and more
            found = session.infer(Look(frame, (Region((0, 0, 400, 200), "frame"),))).parts[0][0]
            assert found.xyxy.tolist() == [[100, 50, 300, 150]]
            assert found.score.tolist() == pytest.approx([0.8])


def test_what_picodet_does_not_know_is_refused() -> None:
    ins = (TensorSpec("image", (1, 3, 8, 8), "float32"), TensorSpec("im_shape", (1, 2), "float32"))
    head = PicoDet(PicoDetOptions())
    assert [value.tolist() for value in head.extra_inputs(ModelIO(ins, ()))] == [[[8, 8]]]
    with pytest.raises(ValueError, match="what to give the inputs mood"):
        head.extra_inputs(ModelIO((*ins, TensorSpec("mood", (1,), "float32")), ()))
