"""`head: auto` names the head where it is certain, and says what to write where it is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgerun.heads import HEADS
from edgerun.heads.recognise import assumed, recognise
from edgerun.types import ModelIO, TensorSpec

YUNET: dict[str, tuple[int, ...]] = {
    f"{kind}_{s}": (1, (640 // s) ** 2, n) for kind, n in (("cls", 1), ("obj", 1), ("bbox", 4)) for s in (8, 16, 32)
}
POST = ((1, 10, 4), (1, 10), (1, 10), (1,))
PICODET = tuple((1, (320 // s) ** 2, n) for n in (80, 32) for s in (8, 16, 32, 64))
YOLO_NAS = {"num_predictions": (1, 1), "pred_boxes": (1, 100, 4), "pred_scores": (1, 100), "pred_classes": (1, 100)}
ULTRALYTICS = {"task": "detect", "stride": "32", "names": str(dict(enumerate("abc")))}


def model(
    size: int, *shapes: tuple[int, ...], inputs: tuple[str, ...] = ("in",), metadata: dict[str, str] | None = None
) -> ModelIO:
    ins = [TensorSpec(name, (1, 3, size, size) if i == 0 else (1, 2), "float32") for i, name in enumerate(inputs)]
    outs = [TensorSpec(f"out{i}", shape, "float32") for i, shape in enumerate(shapes)]
    return ModelIO(tuple(ins), tuple(outs), metadata or {})


def named(size: int, outputs: dict[str, tuple[int, ...]], *inputs: str) -> ModelIO:
    shaped = model(size, *outputs.values(), inputs=inputs or ("in",))
    outs = (TensorSpec(n, s, "float32") for n, s in outputs.items())
    return ModelIO(shaped.inputs, tuple(outs))


def whole_numbers(io: ModelIO) -> ModelIO:
    """With the first and the last output as models tell numbers that they counted."""
    first, *others, last = io.outputs
    return replace(io, outputs=(replace(first, dtype="int64"), *others, replace(last, dtype="int64")))


@pytest.mark.parametrize(
    ("io", "labels", "head"),
    [
        (model(300, *POST), None, "ssd"),
        (model(300, *POST[::-1]), 90, "ssd"),
        (replace(model(300, *POST), metadata={"ssd_classes": "91"}), 90, "ssd"),
        (replace(model(300, *POST), metadata={"ssd_classes": "90"}), 90, "ssd"),
        (replace(model(300, *POST), metadata={"ssd_classes": "91"}), None, "ssd"),
        (model(300, (1, 1917, 4), (1, 1917, 91)), None, "ssd_raw"),
        (model(300, (1, 1917, 4), (1, 1917, 2)), 1, "ssd_raw"),
        (model(300, (1, 1917, 4), (1, 1917, 4)), 3, "ssd_raw"),
        (model(640, (1, 300, 6)), None, "yolo_end2end"),
        (model(640, (1, 84, 8400)), None, "yolov8"),
        (model(416, (1, 84, 3549)), 80, "yolov8"),
        (model(320, (1, 2100, 84)), 80, "yolov8"),
        (model(640, (1, 8400, 85)), 80, "yolox"),
        (model(416, (1, 3549, 85)), 80, "yolox"),
        (model(640, (1, 25200, 85)), None, "yolov5"),
        (model(320, (1, 6300, 6)), 1, "yolov5"),
        (model(640, (1, 3, 80, 80, 85), (1, 3, 40, 40, 85), (1, 3, 20, 20, 85)), None, "yolov5"),
        (model(640, (1, 255, 80, 80), (1, 255, 40, 40), (1, 255, 20, 20)), None, "yolov5"),
        (model(320, (1, 2125, 112)), 80, "nanodet"),
        (model(416, (1, 3598, 112)), None, "nanodet"),
        (model(320, *PICODET), None, "picodet"),
        (model(416, (1, 3598, 4), (1, 80, 3598)), None, "picodet"),
        (model(320, (-1, 6), (1,), inputs=("image", "scale_factor")), None, "picodet"),
        (model(352, (1, 85, 22, 22)), 80, "fastestdet"),
        (model(352, (1, 85, 22, 22)), None, "fastestdet"),
        (named(640, YUNET), None, "yunet"),
        (model(128, (1, 896, 16), (1, 896, 1)), None, "blazeface"),
        (named(128, {"regressors": (1, 896, 16), "classificators": (1, 896, 1)}), 1, "blazeface"),
        (named(560, {"dets": (1, 300, 4), "labels": (1, 300, 91)}), 91, "rfdetr"),
        (named(560, {"dets": (1, 300, 4), "labels": (1, 300, 3)}), 2, "rfdetr"),
        (
            named(640, {"labels": (1, 300), "boxes": (1, 300, 4), "scores": (1, 300)}, "images", "orig_target_sizes"),
            80,
            "rtdetr",
        ),
        (model(640, (1, 116, 8400), (1, 32, 160, 160)), None, "yolov8"),
        (model(224, (1, 1000)), 1000, "classify"),
        (model(224, (1, 3, 1, 1)), 3, "classify"),
        (model(224, (1, 3), metadata=ULTRALYTICS | {"task": "classify"}), None, "classify"),
        (model(640, (1, 7, 8400), metadata=ULTRALYTICS), None, "yolov8"),
        (model(640, (1, 8400, 7), metadata=ULTRALYTICS), None, "yolov8"),
        (model(640, (1, 300, 6), metadata=ULTRALYTICS | {"end2end": "True"}), None, "yolo_end2end"),
        (model(640, (1, 300, 38), (1, 32, 160, 160), metadata=ULTRALYTICS | {"end2end": "true"}), 3, "yolo_end2end"),
        (model(640, (1, 7, 8400), metadata=ULTRALYTICS | {"end2end": "True"}), None, "yolov8"),
        (model(160, (1, 525, 7), metadata=ULTRALYTICS | {"args": "{'batch': 1, 'nms': False}"}), None, "yolov8"),
        (
            model(640, (1, 300, 12), metadata=ULTRALYTICS | {"args": "{'nms': True}", "task": "pose"}),
            None,
            "yolo_end2end",
        ),
        (model(640, (1, 116, 8400), (1, 32, 160, 160)), 80, "yolov8"),
        (model(640, (1, 8400, 116), (1, 160, 160, 32)), 80, "yolov8"),
        (model(640, (1, 300, 38), (1, 32, 160, 160)), 80, "yolo_end2end"),
        (model(640, (1, 25200, 8), metadata={"stride": "32", "names": "['a', 'b', 'c']"}), None, "yolov5"),
        (model(640, (1, 56, 8400), metadata=ULTRALYTICS | {"task": "pose", "kpt_shape": "[17, 3]"}), None, "yolov8"),
        (model(640, (1, 5, 6), metadata=ULTRALYTICS | {"args": "{'nms': True}"}), None, "yolo_end2end"),
        (
            model(640, (1, 300, 38), (1, 32, 160, 160), metadata=ULTRALYTICS | {"args": "{'nms': 'true'}"}),
            None,
            "yolo_end2end",
        ),
        (
            model(640, (1, 300, 6), metadata=ULTRALYTICS | {"description": "Ultralytics rtdetr-l model"}),
            None,
            "yolov8",
        ),
        (model(640, (1, 300, 6), metadata=ULTRALYTICS), None, "yolo_end2end"),
        (model(640, (1, 32, 160, 160), (1, 39, 8400), metadata=ULTRALYTICS | {"task": "segment"}), None, "yolov8"),
        (model(640, (1, 8400, 7), metadata={"stride": "32", "names": "['a', 'b', 'c']"}), None, "yolov8"),
        (model(320, *PICODET, metadata={"names": "['a', 'b', 'c']"}), None, "picodet"),
        (model(160, (1, 525, 6)), 1, "yolox"),
        (model(160, (1, 525, 6)), 2, "yolov8"),
        (model(640, (1, 8400, 5)), None, "yolov8"),
        (model(640, (1, 21, 80, 80), (1, 21, 40, 40), (1, 21, 20, 20)), 2, "yolov5"),
    ],
)
def test_what_is_certain_is_named(io: ModelIO, labels: int | None, head: str) -> None:
    assert recognise(io, labels) == head
    assert head in HEADS


@pytest.mark.parametrize(
    ("io", "labels", "words"),
    [
        (model(416, (1, 3549, 85)), None, "'yolox'.*80 classes.*'yolov8'.*81 classes"),
        (model(416, (1, 3549, 85)), 7, "Several heads fit"),
        (model(224, (1, 1000)), None, "may be a classifier's.*'classify'"),
        (model(224, (1, 1000)), 7, "No head is known|may be a classifier's"),
        (model(640, (1, 8400, 7), metadata=ULTRALYTICS | {"task": "obb"}), None, "finds no boxes"),
        (named(640, {"logits": (1, 100, 92), "pred_boxes": (1, 100, 4)}), None, "Export it"),
        (named(640, {"num_dets": (1, 1), "det_boxes": (1, 9, 4), "a": (1, 9), "b": (1, 9)}), None, "without NMS"),
        (
            replace(model(300, *POST), metadata={"ssd_classes": "91"}),
            80,
            "90 or 91 classes.*80 labels.*model.head: ssd",
        ),
        (model(300, (1, 1917, 4), (1, 1917, 91)), 80, "90 or 91 classes.*80 labels.*model.head: ssd_raw"),
        (model(352, (1, 85, 22, 22)), 7, "like those of 'fastestdet', but not with 7 classes"),
        (model(640), None, "No head is known"),
        (model(128, (1, 896, 4), (1, 896, 81)), 80, "No head is known"),
        (model(640, (1, 100, 4), (1, 100, 80)), 80, "No head is known"),
        (model(320, (1, 2125, 20)), None, "No head is known"),
        (model(640, (1, 25200, 5)), None, "No head is known"),
        (named(560, {"dets": (1, 300, 4), "labels": (1, 300, 91)}), 90, "Number the lines"),
        (
            model(640, (1, 144, 80, 80), (1, 144, 40, 40), (1, 144, 20, 20)),
            80,
            "like those of 'yolov5', but not with 80 classes",
        ),
        (whole_numbers(named(640, YOLO_NAS)), 80, "No head is known"),
        (named(640, {"dets": (1, 100, 5), "labels": (1, 100)}), 80, "No head is known"),
        (named(640, {"boxes": (-1, 4), "labels": (-1,), "scores": (-1,)}), 91, "No head is known"),
        (model(640, (1, 116, 8400), (1, 32, 160, 160)), 7, "like those of 'yolov8', but not with 7 classes"),
        (model(640, (1, 56, 8400)), 1, "may be a pose model's"),
        (model(640, (1, 25200, 40), (1, 32, 160, 160), metadata=ULTRALYTICS), None, "A YOLOv5 model of 3 classes"),
    ],
)
def test_what_is_not_certain_is_refused_with_advice(io: ModelIO, labels: int | None, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        recognise(io, labels)


@pytest.mark.parametrize("names", ["(" * 100_000, "{[]: 1}", "{'a': 1}['a']"])
def test_labels_that_mean_harm_are_not_evaluated_for_long(names: str) -> None:
    """Class names are the model's author's text."""
    io = model(640, (1, 7, 8400), metadata={"stride": "32", "names": names})
    assert recognise(io) == "yolov8"


def test_what_no_file_tells_is_said() -> None:
    """PP-YOLOE+ looks as PicoDet does, and a float SSD may be trained with any pixels."""
    assert "PP-YOLOE+: head {type: picodet, pixels: unit}" in assumed("picodet", model(320, *PICODET))
    assert assumed("picodet", model(320, *PICODET, metadata={"pixels": "unit"})) == ""
    floats = model(300, *POST)
    assert "{type: ssd, pixels: unit}" in assumed("ssd", floats)
    picture = replace(floats.inputs[0], dtype="uint8", scale=1 / 128, zero_point=128)
    assert assumed("ssd", replace(floats, inputs=(picture,))) == ""
    assert assumed("yolov5", model(320, (1, 6300, 85))) == ""
    assert "head option anchors" in assumed("yolov5", model(320, *((1, 255, 320 // s, 320 // s) for s in (8, 16, 32))))
