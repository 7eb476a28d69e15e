"""Classifiers: what they say is one object as large as what they were shown, and rules work on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgerun.heads.classify import Classify, ClassifyOptions
from edgerun.images import TensorWriter
from edgerun.motion import MotionOptions
from edgerun.pipeline import Pipeline, PipelineOptions
from edgerun.regions import RegionOptions
from edgerun.rules import RuleOptions
from edgerun.tracking import TrackerOptions
from edgerun.types import Array, Event, Fit, Frame, InputLayout, ModelIO, Stamp, TensorSpec
from edgerun.zones import ZoneOptions

PICTURE = TensorSpec("in", (1, 3, 8, 8), "float32")
FIT = Fit(1, 1, 0, 0, (10, 20, 110, 220))


def decode(values: Array, spec: TensorSpec | None = None, least: float = 0.3) -> list[tuple[int, Any]]:
    spec = spec or TensorSpec("out", values.shape, values.dtype.name)
    found = Classify(ClassifyOptions()).decode([values], ModelIO((PICTURE,), (spec,)), FIT, least)
    assert found.xyxy.tolist() == [[10, 20, 110, 220]] * len(found)
    return list(zip(found.class_id.tolist(), found.score.tolist(), strict=True))


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1, 1), (1, 1, 1, 3)])
def test_logits_become_the_probability_of_the_best_class(shape: tuple[int, ...]) -> None:
    values = np.array([1.0, 3.0, -2.0], np.float32).reshape(shape)
    assert decode(values) == [(1, pytest.approx(np.exp(3) / np.exp([1, 3, -2]).sum(), abs=1e-4))]


def test_logits_of_any_size_become_probabilities() -> None:
    assert decode(np.array([[900.0, 880.0, 0.0]], np.float32)) == [(0, pytest.approx(1.0))]
    assert decode(np.array([[0.9, 0.6]], np.float32)) == [(0, pytest.approx(1 / (1 + np.exp(-0.3)), abs=1e-4))]


def test_probabilities_stay_as_they_are() -> None:
    assert decode(np.array([[0.1, 0.2, 0.7]], np.float32)) == [(2, pytest.approx(0.7))]
    stored = np.array([[26, 51, 179]], np.uint8)
    assert decode(stored, TensorSpec("out", (1, 3), "uint8", 1 / 256)) == [(2, pytest.approx(179 / 256))]


def test_probabilities_of_many_classes_stay_though_most_are_rounded_to_nothing() -> None:
    """Half of what a softmax gave is spread over 1,000 classes, each below half a step of 8 bits."""
    stored = np.zeros((1, 1001), np.uint8)
    stored[0, 7] = 128
    assert decode(stored, TensorSpec("out", (1, 1001), "uint8", 1 / 256)) == [(7, pytest.approx(0.5))]


def test_a_single_number_is_the_probability_of_the_one_class() -> None:
    assert decode(np.array([[0.9]], np.float32)) == [(0, pytest.approx(0.9))]
    assert decode(np.array([[-4.0]], np.float32)) == []
    assert decode(np.array([[4.0]], np.float32)) == [(0, pytest.approx(0.982, abs=1e-3))]


def test_what_is_not_certain_or_no_number_is_nothing() -> None:
    assert decode(np.zeros((1, 10), np.float32)) == []
    assert decode(np.full((1, 3), np.nan, np.float32)) == []
    with pytest.raises(ValueError, match=r"classify expects one output"):
        decode(np.zeros((1, 3, 4), np.float32))


@pytest.mark.parametrize(
    ("spec", "pixel", "stored"),
    [
        (TensorSpec("in", (1, 8, 8, 3), "uint8", 1 / 128, 128), 200, 200),
        (TensorSpec("in", (1, 8, 8, 3), "uint8", 1 / 255, 0), 200, 200),
        (TensorSpec("in", (1, 8, 8, 3), "int8", 1 / 255, -128), 200, 72),
        (TensorSpec("in", (1, 8, 8, 3), "float32"), 255, 1.0),
        (TensorSpec("in", (1, 3, 8, 8), "float32"), 124, (124 - 123.675) / 58.395),
    ],
)
def test_the_picture_is_laid_out_as_such_models_are_trained(spec: TensorSpec, pixel: int, stored: float) -> None:
    io = ModelIO((spec,), (TensorSpec("out", (1, 3), "float32"),))
    frame = Frame(Stamp("c", 0, 0, 0, 8, 8), "rgb24", (np.full((8, 8, 3), pixel, np.uint8),))
    out = np.zeros(spec.shape, spec.dtype)
    TensorWriter(io, Classify(ClassifyOptions()).layout(io)).write(frame, out)
    assert float(out.flat[0]) == pytest.approx(stored, abs=1e-4)
    assert Classify(ClassifyOptions(pixels="bytes")).layout(io) == InputLayout()


def test_ultralytics_classifiers_take_pixels_from_0_to_1() -> None:
    io = ModelIO((PICTURE,), (TensorSpec("out", (1, 3), "float32"),), {"task": "classify"})
    layout = Classify(ClassifyOptions()).layout(io)
    assert (layout.mean, layout.std) == ((0.0,) * 3, (255.0,) * 3)


def events_of(scores: list[float]) -> list[Event]:
    """What a rule for defects says of frames at 10 fps with these probabilities of a defect."""
    zone = {"belt": ZoneOptions(polygon=((0, 0), (1, 0), (1, 1), (0, 1)), anchor="center")}
    rule = RuleOptions(name="defect", when="enter", zone="belt", labels=("defect",))
    options = PipelineOptions(
        fps=10, labels=(), motion=MotionOptions(enabled=False), regions=RegionOptions(mode="off"),
        tracker=TrackerOptions(), zones=zone, lines={}, rules=[rule], ground=None, place=None,
    )  # fmt: skip
    pipeline, head = Pipeline(options, ("good", "defect"), (8, 8)), Classify(ClassifyOptions())
    io = ModelIO((PICTURE,), (TensorSpec("out", (1, 2), "float32"),))
    events = []
    for seq, score in enumerate(scores):
        stamp = Stamp("c", seq, seq / 10, seq / 10, 80, 60)
        look = pipeline.look(Frame(stamp, "rgb24", (np.zeros((60, 80, 3), np.uint8),)))
        (region,) = look.regions
        output = np.array([[1 - score, score]], np.float32)
        found = head.decode([output], io, Fit(0.1, 0.1, 0, 0, region.xyxy), 0.1)
        events += pipeline.finish(look, [(found, region)]).events
    return events


def test_a_rule_tells_of_a_defect_once_and_of_none_where_there_is_none() -> None:
    assert [event.rule for event in events_of([0.03] * 20 + [0.95] * 30)] == ["defect"]
    assert events_of([0.03] * 50) == []
    assert events_of([0.03] * 20 + [0.6] + [0.03] * 20) == [], "one doubtful frame is no defect"
