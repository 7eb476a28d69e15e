"""Both SSD heads: on real models and pictures, and against the formulas worked out one anchor at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerun.engines.tflite import Tflite, TfliteOptions
from edgerun.heads.classify import Classify, ClassifyOptions
from edgerun.heads.picodet import PicoDet, PicoDetOptions
from edgerun.heads.ssd import Order, Ssd, SsdOptions, tell_apart
from edgerun.heads.ssd_raw import SsdRaw, SsdRawOptions
from edgerun.images import TensorWriter
from edgerun.models import resolve
from edgerun.models.labels import read_labels
from edgerun.quant import dequantize
from edgerun.stages import Engine, Head
from edgerun.types import Array, Detections, Fit, Frame, ModelIO, TensorSpec
from tests.shared_media import SHARED, needs_shared

COCO = SHARED / "models" / "coco_ssd_mobilenet_v1_quant.tflite"
WHOLE = Fit(1.0, 1.0, 0.0, 0.0, (0.0, 0.0, 300.0, 300.0))
PICTURE = TensorSpec("picture", (1, 300, 300, 3), "uint8", 1 / 128, 128)


def shown(clip: Path, numbers: Sequence[int]) -> Iterator[Frame]:
    with av.open(str(clip)) as container:
        for number, decoded in enumerate(container.decode(video=0)):
            if number in numbers:
                yield Frame.of_bgr(np.asarray(decoded.to_ndarray(format="bgr24"), np.uint8), "clip", number)
            if number >= max(numbers):
                return


def look(
    engine: Engine, head: Head, frame: Frame, min_score: float, region: tuple[int, int, int, int] | None = None
) -> Detections:
    tensor = np.empty(engine.io.inputs[0].shape, engine.io.inputs[0].dtype)
    fit = TensorWriter(engine.io, head.layout(engine.io)).write(frame, tensor, region)
    return head.decode(engine.infer([tensor]), engine.io, fit, min_score)


@needs_shared
def test_the_coco_model_finds_persons() -> None:
    labels = read_labels(SHARED / "models" / "coco90_labels.txt")
    engine, head = Tflite(TfliteOptions(), COCO), Ssd(SsdOptions())
    found = [look(engine, head, frame, 0.4) for frame in shown(SHARED / "media" / "vtest.avi", (20, 180, 260))]
    names = [labels[i] for detections in found for i in detections.class_id]
    assert names.count("person") >= 3
    assert names.count("person") > len(names) / 2


@needs_shared
def test_the_coco_model_finds_cars_in_square_crops() -> None:
    """Seen from above and squeezed to a square, whole frames of these cars look like telephones to this model."""
    labels = read_labels(SHARED / "models" / "coco90_labels.txt")
    engine, head = Tflite(TfliteOptions(), COCO), Ssd(SsdOptions())
    for frame in shown(SHARED / "media" / "car-detection.mp4", (69, 99, 216)):
        crops = [(x, y, x + 300, y + 300) for x in range(84, 421, 84) for y in (0, 132)]
        cars = [look(engine, head, frame, 0.5, crop) for crop in crops]
        best = max((d for d in cars if "car" in [labels[i] for i in d.class_id]), key=lambda d: float(d.score.max()))
        x1, y1, x2, y2 = best.xyxy[best.class_id == labels.index("car")][0]
        assert 60 < x2 - x1 < 301
        assert 60 < y2 - y1 < 301


@needs_shared
def test_the_bundled_model_finds_each_person_once_and_in_the_frame() -> None:
    engine, head = Tflite(TfliteOptions(), resolve("person-ssdlite-int8").path), SsdRaw(SsdRawOptions())
    (frame,) = shown(SHARED / "media" / "vtest.avi", (180,))
    found = look(engine, head, frame, 0.4)
    assert 5 <= len(found) <= 9
    assert np.all(found.xyxy >= 0)
    assert np.all(found.xyxy <= [768, 576, 768, 576])
    tall = (found.xyxy[:, 3] - found.xyxy[:, 1]) / (found.xyxy[:, 2] - found.xyxy[:, 0])
    assert np.median(tall) > 1.5


def post_processed(names: Sequence[str], tensors: Sequence[Array]) -> ModelIO:
    outputs = tuple(TensorSpec(n, t.shape, t.dtype.name) for n, t in zip(names, tensors, strict=True))
    return ModelIO((PICTURE,), outputs)


BOXES = np.array([[[0.1, 0.2, 0.5, 0.4], [0.3, 0.3, 0.6, 0.9], [0, 0, 1, 1]]], np.float32)
CLASSES = np.array([[2, 0, 7]], np.float32)
SCORES = np.array([[0.9, 0.6, 0.99]], np.float32)
COUNT = np.array([2], np.float32)
MEANT = {"boxes": BOXES, "classes": CLASSES, "scores": SCORES, "count": COUNT}


@pytest.mark.parametrize(
    "order",
    [
        ("boxes", "classes", "scores", "count"),
        ("scores", "boxes", "count", "classes"),
        ("count", "scores", "classes", "boxes"),
    ],
)
def test_the_outputs_are_told_apart_in_any_order(order: tuple[str, ...]) -> None:
    tensors = [MEANT[name] for name in order]
    io = post_processed(["a", "b", "c", "d"], tensors)
    found = Ssd(SsdOptions()).decode(tensors, io, WHOLE, 0.5)
    assert found.class_id.tolist() == [2, 0]  # the third row is beyond the count
    assert np.allclose(found.xyxy[0], [60, 30, 120, 150])
    assert np.allclose(found.score, [0.9, 0.6])


@pytest.mark.parametrize("most", [1, 4])
@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 0, 1]])
def test_a_model_of_few_boxes_is_told_apart_too(most: int, order: list[int]) -> None:
    """Four scores in a row are no box."""
    boxes = np.resize(BOXES, (1, most, 4))
    row = [np.resize(given, (1, most)) for given in (CLASSES, SCORES)]
    outputs = [boxes, *row, np.array([1], np.float32)]
    tensors = [outputs[k] for k in order]
    found = Ssd(SsdOptions()).decode(tensors, post_processed(["a", "b", "c", "d"], tensors), WHOLE, 0.5)
    assert found.class_id.tolist() == [2]
    assert np.allclose(found.score, [0.9])


def test_names_decide_where_values_cannot() -> None:
    """Scores of exactly 0 and 1 look like classes."""
    ones = np.ones((1, 3), np.float32)
    signature = [TensorSpec(f"output_{k}", (1, 3), "float32") for k in (1, 3, 0, 2)]
    order, certain = tell_apart([ones, BOXES, COUNT, ones], signature)
    assert (order, certain) == (Order(boxes=1, classes=3, scores=0, amount=2), True)
    saved = [TensorSpec(f"StatefulPartitionedCall:{k}", (1, 3), "float32") for k in (3, 2, 1, 0)]
    assert tell_apart([BOXES, ones, ones, COUNT], saved) == (Order(0, 1, 2, 3), True)
    first = [TensorSpec(f"TFLite_Detection_PostProcess{s}", (1, 3), "float32") for s in ("", ":1", ":2", ":3")]
    assert tell_apart([BOXES, ones, ones, COUNT], first) == (Order(0, 1, 2, 3), True)


def test_tensorflow_counts_classes_from_one_where_it_names_them() -> None:
    """As its models come out of tf2onnx: 1 is the first class, 0 the background."""
    names = ["num_detections:0", "detection_scores:0", "detection_classes:0", "detection_boxes:0"]
    tensors = [COUNT, SCORES, CLASSES + 1, BOXES]
    found = Ssd(SsdOptions()).decode(tensors, post_processed(names, tensors), WHOLE, 0.5)
    assert found.class_id.tolist() == [2, 0]
    assert np.allclose(found.xyxy[0], [60, 30, 120, 150])


@pytest.mark.parametrize("head", [Ssd(SsdOptions()), SsdRaw(SsdRawOptions())])
@pytest.mark.parametrize(
    ("dtype", "scale", "zero_point", "low", "high"),
    [
        ("uint8", 1 / 128, 128, -1, 1),
        ("int8", 0.0077, -3, -1, 1),
        ("uint8", 1 / 255, 0, 0, 1),
        ("int8", 1 / 255, -128, 0, 1),
        ("uint8", 0.0041, 1, 0, 1),
        ("uint8", 1.0, 0, 0, 255),
        ("float32", 0.0, 0, -1, 1),
    ],
)
def test_a_quantized_input_tells_what_the_model_was_trained_with(
    head: Head, dtype: str, scale: float, zero_point: int, low: float, high: float
) -> None:
    """Models trained in 0-1 saw nothing of the darker half of a picture."""
    spec = TensorSpec("in", (1, 4, 4, 3), dtype, scale, zero_point)
    io = ModelIO((spec,), (TensorSpec("out", (1, 3), "float32"),))
    seen = np.zeros(spec.shape, dtype)
    for pixel in (10, 100, 240):
        TensorWriter(io, head.layout(io)).write(Frame.of_bgr(np.full((4, 4, 3), pixel, np.uint8), "c"), seen)
        wanted = low + (high - low) * pixel / 255
        assert float(dequantize(seen, spec).flat[0]) == pytest.approx(wanted, abs=2 * scale + 1e-5)


@pytest.mark.parametrize(
    "head",
    [
        Ssd(SsdOptions(pixels="unit")),
        SsdRaw(SsdRawOptions(pixels="unit")),
        Classify(ClassifyOptions(pixels="unit")),
        PicoDet(PicoDetOptions(pixels="unit")),
    ],
)
def test_how_pixels_are_wanted_can_be_told_where_the_file_does_not(head: Head) -> None:
    """A float input does not, and of PP-YOLOE there are both."""
    spec = TensorSpec("in", (1, 4, 4, 3), "float32")
    io = ModelIO((spec,), (TensorSpec("out", (1, 3), "float32"),))
    seen = np.zeros(spec.shape, np.float32)
    TensorWriter(io, head.layout(io)).write(Frame.of_bgr(np.full((4, 4, 3), 51, np.uint8), "c"), seen)
    assert seen == pytest.approx(np.full(spec.shape, 0.2))


def test_a_doubtful_first_frame_does_not_decide_for_the_next() -> None:
    nothing = [BOXES, np.zeros((1, 3), np.float32), np.zeros((1, 3), np.float32), COUNT]
    io = post_processed("abcd", nothing)
    head = Ssd(SsdOptions())
    assert len(head.decode(nothing, io, WHOLE, 0.5)) == 0
    assert head.decode([BOXES, SCORES, CLASSES, COUNT], io, WHOLE, 0.5).class_id.tolist() == [2, 0]


def test_other_shapes_are_refused_in_words() -> None:
    tensors = [BOXES, BOXES]
    with pytest.raises(ValueError, match="expects boxes, classes, scores and a count; the model gives"):
        Ssd(SsdOptions()).decode(tensors, post_processed("ab", tensors), WHOLE, 0.5)
    with pytest.raises(ValueError, match="expects boxes"):
        SsdRaw(SsdRawOptions()).decode(tensors, post_processed("ab", tensors), WHOLE, 0.5)


def one_anchor(row: int, coded: Sequence[float]) -> tuple[float, float, float, float]:
    """Box of one anchor of a 300x300 SSD, in pixels, counted out: 19x19 cells of 3 shapes, then 6 shapes a cell."""
    scales = [0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0]
    for layer, cells in enumerate((19, 10, 5, 3, 2, 1)):
        shapes = [(scales[layer], r) for r in (1, 2, 1 / 2, 3, 1 / 3)] + [
            (math.sqrt(scales[layer] * scales[layer + 1]), 1)
        ]
        if layer == 0:
            shapes = [(0.1, 1), (0.2, 2), (0.2, 1 / 2)]
        if row >= cells * cells * len(shapes):
            row -= cells * cells * len(shapes)
            continue
        cell, shape = divmod(row, len(shapes))
        scale, ratio = shapes[shape]
        h, w = scale / math.sqrt(ratio), scale * math.sqrt(ratio)
        cy, cx = (cell // cells + 0.5) / cells, (cell % cells + 0.5) / cells
        ty, tx, th, tw = coded
        cy, cx, h, w = cy + ty / 10 * h, cx + tx / 10 * w, h * math.exp(th / 5), w * math.exp(tw / 5)
        return 300 * (cx - w / 2), 300 * (cy - h / 2), 300 * (cx + w / 2), 300 * (cy + h / 2)
    raise IndexError(row)


@given(
    st.integers(0, 1916),
    st.lists(st.integers(0, 255), min_size=4, max_size=4),
    st.integers(130, 255),
    st.integers(0, 2),
)
def test_an_anchor_is_decoded_as_the_formula_says(row: int, stored: list[int], score: int, label: int) -> None:
    boxes, scores = np.full((1, 1917, 4), 120, np.uint8), np.zeros((1, 1917, 4), np.uint8)
    boxes[0, row] = stored
    scores[0, :, 0] = 255  # the background's column is nobody's
    scores[0, row, 1 + label] = score
    specs = (
        TensorSpec("boxes", (1, 1917, 4), "uint8", 0.07, 120),
        TensorSpec("scores", (1, 1917, 4), "uint8", 1 / 256),
    )
    wide = Fit(1.0, 1.0, 0.0, 0.0, (-1e4, -1e4, 1e4, 1e4))
    found = SsdRaw(SsdRawOptions()).decode([boxes, scores], ModelIO((PICTURE,), specs), wide, 0.5)
    assert found.class_id.tolist() == [label]
    assert found.score[0] == score / 256
    expected = one_anchor(row, [(q - 120) * 0.07 for q in stored])
    assert np.allclose(found.xyxy[0], expected, atol=0.05)


@given(st.integers(0, 2**32 - 1))
def test_quantized_and_dequantized_outputs_decode_alike(seed: int) -> None:
    rng = np.random.default_rng(seed)
    boxes = rng.integers(100, 140, (1, 1917, 4)).astype(np.uint8)
    scores = rng.choice(
        np.array([0, 1, 2, 127, 128, 129, 255], np.uint8), (1, 1917, 2), p=[0.49, 0.25, 0.25, *[0.0025] * 4]
    )
    stored = (
        TensorSpec("boxes", boxes.shape, "uint8", 0.07, 120),
        TensorSpec("scores", scores.shape, "uint8", 1 / 256),
    )
    plain = tuple(TensorSpec(s.name, s.shape, "float32") for s in stored)
    real = [(boxes.astype(np.float32) - 120) * np.float32(0.07), scores.astype(np.float32) / 256]
    head = SsdRaw(SsdRawOptions())
    a = head.decode([boxes, scores], ModelIO((PICTURE,), stored), WHOLE, 0.5)
    b = head.decode(real, ModelIO((PICTURE,), plain), WHOLE, 0.5)
    assert np.all(a.score >= 0.5)
    assert np.array_equal(a.score, b.score)
    assert np.allclose(a.xyxy, b.xyxy, atol=1e-3)


def test_another_number_of_anchors_is_refused() -> None:
    specs = (TensorSpec("boxes", (1, 100, 4), "float32"), TensorSpec("scores", (1, 100, 2), "float32"))
    outputs = [np.zeros(spec.shape, np.float32) for spec in specs]
    with pytest.raises(ValueError, match="makes 1917 anchors"):
        SsdRaw(SsdRawOptions()).decode(outputs, ModelIO((PICTURE,), specs), WHOLE, 0.5)


def test_a_number_of_anchors_that_only_the_run_tells_is_taken_from_it() -> None:
    outputs = [np.zeros((1, 1917, 4), np.float32), np.zeros((1, 1917, 2), np.float32)]
    outputs[1][0, 5, 1] = 0.9
    specs = (TensorSpec("boxes", (1, -1, 4), "float32"), TensorSpec("scores", (1, -1, 2), "float32"))
    head, io = SsdRaw(SsdRawOptions()), ModelIO((PICTURE,), specs)
    assert len(head.decode(outputs, io, WHOLE, 0.5)) == 1
    with pytest.raises(ValueError, match="other ones"):
        head.decode([output[:, :20] for output in outputs], io, WHOLE, 0.5)
