"""Real models on real pictures: the heads find what their projects' published decoding finds, and what is there."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import cv2
import numpy as np
import pytest

from edgerun.boxes import iou
from edgerun.engines.onnx import Onnx, OnnxOptions
from edgerun.heads import HEADS
from edgerun.heads.recognise import recognise
from edgerun.images import TensorWriter
from edgerun.types import Array, Detections, Fit, Frame, ModelIO
from tests.heads import published
from tests.heads.published import Row
from tests.heads.test_parity import agree
from tests.shared_media import SHARED, needs_shared

pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
pytestmark = needs_shared

MODELS = {"yolox": "yolox_nano_416", "fastestdet": "fastestdet_352", "yunet": "yunet_n_640"}


@cache
def engine(head: str) -> Onnx:
    return Onnx(OnnxOptions(), SHARED / "models" / f"{MODELS[head]}.onnx")


@cache
def frame(clip: str, number: int) -> Frame:
    video = cv2.VideoCapture(str(SHARED / "media" / clip))
    video.set(cv2.CAP_PROP_POS_FRAMES, number)
    there, picture = video.read()
    assert there
    return Frame.of_bgr(np.asarray(picture, np.uint8), "camera", number)


def look(head: str, picture: Frame) -> tuple[list[Array], ModelIO, Fit]:
    io = engine(head).io
    plugin = HEADS[head]
    tensor = np.zeros(io.inputs[0].shape, io.inputs[0].dtype)
    fit = TensorWriter(io, plugin.build(plugin.options()).layout(io)).write(picture, tensor)
    return list(engine(head).infer([tensor])), io, fit


def detect(head: str, picture: Frame, least: float) -> Detections:
    outputs, io, fit = look(head, picture)
    plugin = HEADS[head]
    return plugin.build(plugin.options()).decode(outputs, io, fit, least)


PUBLISHED: dict[str, Callable[[list[Any], ModelIO, float], list[Row]]] = {
    "yolox": lambda o, io, least: published.suppress(published.yolox(o[0], *io.size, least), 0.45),
    "fastestdet": lambda o, io, least: published.suppress(published.fastestdet(o[0], *io.size, least), 0.45),
    "yunet": lambda o, io, least: published.suppress(
        published.yunet({s.name: a for s, a in zip(io.outputs, o, strict=True)}, *io.size, least), 0.3
    ),
}


@pytest.mark.parametrize("head", MODELS)
def test_parity_on_real_tensors(head: str) -> None:
    clip, number, least = ("one-by-one-person-detection.mp4", 420, 0.4) if head == "yunet" else ("vtest.avi", 100, 0.3)
    outputs, io, _ = look(head, frame(clip, number))
    found = HEADS[head].build(HEADS[head].options()).decode(outputs, io, Fit(1, 1, 0, 0, (0, 0, *io.size)), least)
    agree(found, PUBLISHED[head](outputs, io, least), io.size)


def truth(number: int) -> Array:
    """Persons of vtest.avi in frame ``number`` (from 1), x1 y1 x2 y2."""
    rows = np.loadtxt(SHARED / "groundtruth" / "pets09-s2l1_frames_1-400.txt", delimiter=",")
    boxes = rows[rows[:, 0] == number, 2:6]
    boxes[:, 2:] += boxes[:, :2]
    return boxes.astype(np.float32)


@pytest.mark.parametrize(("head", "share"), [("yolox", 0.7), ("fastestdet", 0.4)])
def test_persons_of_a_real_scene_are_found(head: str, share: float) -> None:
    hits = people = 0
    for number in range(20, 400, 40):
        boxes = truth(number)
        found = detect(head, frame("vtest.avi", number - 1), 0.35)
        persons = found.xyxy[found.class_id == 0]
        hits += int((iou(boxes, persons).max(axis=1, initial=0) > 0.4).sum())
        people += len(boxes)
    assert hits / people > share


def test_cars_and_faces_are_found() -> None:
    parked = np.array([[732, 50, 768, 94]], np.float32)
    for head in ("yolox", "fastestdet"):
        found = detect(head, frame("vtest.avi", 100), 0.5)
        assert iou(parked, found.xyxy[found.class_id == 2]).max() > 0.6
    face = detect("yunet", frame("one-by-one-person-detection.mp4", 420), 0.4)
    person = detect("yolox", frame("one-by-one-person-detection.mp4", 420), 0.5)
    assert len(face) == len(person) == 1
    x, y = face.xyxy[0].reshape(2, 2).mean(axis=0)
    assert person.xyxy[0, 0] < x < person.xyxy[0, 2]
    assert person.xyxy[0, 1] < y < person.xyxy[0, 1] + 100


def test_a_face_and_its_key_points_are_where_opencv_finds_them() -> None:
    picture = frame("one-by-one-person-detection.mp4", 420)
    found = detect("yunet", picture, 0.4)
    height, width = picture.planes[0].shape[:2]
    scale = 640 / width
    small = cv2.resize(picture.planes[0], (640, round(height * scale)))
    square = cv2.copyMakeBorder(small, 0, 640 - small.shape[0], 0, 0, cv2.BORDER_CONSTANT)
    oracle = cv2.FaceDetectorYN.create(str(SHARED / "models" / f"{MODELS['yunet']}.onnx"), "", (640, 640), 0.4, 0.3)
    (face,) = oracle.detect(square)[1]
    assert found.details is not None
    assert np.allclose(found.xyxy[0], [*face[:2] / scale, *(face[:2] + face[2:4]) / scale], atol=0.5)
    assert np.allclose(found.details[0].keypoints, face[4:14].reshape(5, 2) / scale, atol=0.5)
    assert found.score[0] == pytest.approx(face[14], abs=1e-3)


@pytest.mark.parametrize(("head", "labels"), [("yolox", 80), ("fastestdet", 80), ("yunet", 1)])
def test_real_models_are_recognised(head: str, labels: int) -> None:
    assert recognise(engine(head).io, labels) == head
