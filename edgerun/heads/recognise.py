"""Which head reads a model's outputs: told from what the file says of itself, then from names, then from shapes.

Only what is certain is answered. Two layouts that share a shape are told apart by the number of labels, or refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from edgerun.heads import blazeface, nanodet, picodet, yolox
from edgerun.heads.candidates import cell_count, yolo_cell_counts
from edgerun.heads.classify import is_one_row
from edgerun.literals import read_literal
from edgerun.types import ModelIO

_MOST_CHOSEN: Final = 1000
"""Models that choose their boxes give 100 to 300."""
_SSD_ANCHORS: Final = 1917
_COCO_NUMBERS: Final = 91
"""Of COCO's 80 classes the last is called 90."""
_POSE_CHANNELS: Final = 4 + 1 + 17 * 3
"""A box, the score of a person, and COCO's 17 key points."""


def recognise(io: ModelIO, label_count: int | None = None) -> str:
    """The name of the head for a model; ``label_count`` is the number of its classes, where known.

    Raises ValueError where none fits, or more than one, saying what to write.
    """
    metadata = io.metadata
    if "task" in metadata or ("names" in metadata and "stride" in metadata):
        return _by_ultralytics(io)
    found = _by_name(io, label_count) or _by_shape(io, label_count)
    if found is None and label_count is not None and (other := _by_shape(io, None)):
        raise ValueError(
            f"The outputs look like those of '{other}', but not with {label_count} classes: {_described(io)}. "
            "Give the labels that belong to the model, or write model.head."
        )
    if found is None:
        raise ValueError(f"No head is known for a model with {_described(io)}. Write model.head, if one fits.")
    return found


def assumed(head: str, io: ModelIO) -> str:
    """What a recognised head takes for granted, in words, where nothing in the file tells; empty where all is told."""
    if head == "yolov5" and len(io.outputs) == 3:
        return "YOLOv5's own anchors, as raw maps bear none; YOLOv7's, or those of its training: head option anchors"
    if head == "picodet" and "pixels" not in io.metadata:
        return "pixels by ImageNet's mean and deviation; for PP-YOLOE+: head {type: picodet, pixels: unit}"
    if head in ("ssd", "ssd_raw") and io.inputs[0].dtype.startswith("float"):
        return f"pixels in -1 to 1; if the model was trained with others: head {{type: {head}, pixels: unit}}, or bytes"
    return ""


def _by_ultralytics(io: ModelIO) -> str:
    """Ultralytics writes task, class names and more into each export."""
    task = io.metadata.get("task", "detect")
    if task == "classify":
        return "classify"
    if task not in ("detect", "segment", "pose"):
        raise ValueError(f"The model is made for the task {task!r} and finds no boxes. Use one for detect.")
    shape: tuple[int, ...] = next((s for s in _shapes(io) if len(s) == 3), ())
    classes = class_count(io.metadata)
    is_detr = "rtdetr" in io.metadata.get("description", "").lower()  # its rows are as YOLOv8's, also of two classes
    arguments = read_literal(io.metadata.get("args", ""))
    chosen = io.metadata.get("end2end", "").lower() == "true" or (
        isinstance(arguments, dict) and str(arguments.get("nms")).lower() == "true"  # a text out of metadata.yaml
    )
    if _is_chosen(shape, io) and (chosen or (shape[2] == 6 and not is_detr)):
        return "yolo_end2end"
    if len(shape) == 3 and _is_yolov5(shape, io):
        if classes in (None, shape[2] - 5):
            return "yolov5"
        raise ValueError(
            f"A YOLOv5 model of {classes} classes with {_described(io)} is not read; export a YOLOv8 or later."
        )
    if len(shape) == 3:
        return "yolov8"
    raise ValueError(f"An Ultralytics model with {_described(io)} is not known. Write model.head, if one fits.")


def _by_name(io: ModelIO, label_count: int | None) -> str | None:
    inputs = {spec.name for spec in io.inputs}
    outputs = {spec.name for spec in io.outputs}
    ranks = {spec.name: len(spec.shape) for spec in io.outputs}  # other projects use the same names for other things
    if "orig_target_sizes" in inputs or ranks == {"labels": 2, "boxes": 3, "scores": 2}:
        return "rtdetr"
    if ranks.get("dets") == ranks.get("labels") == 3:
        classes = next(spec.shape[2] for spec in io.outputs if spec.name == "labels")
        if classes == _COCO_NUMBERS and label_count in (80, 90):
            raise ValueError(
                f"This RF-DETR tells COCO's {classes} numbers, of which 0 is none, and there are {label_count} labels: "
                "each thing would bear another's name. Number the lines of the labels file: 1 person, 2 bicycle, "
                "..., 90 toothbrush."
            )
        return "rfdetr"
    if "cls_8" in outputs:
        return "yunet"
    if "regressors" in outputs:
        return "blazeface"
    if "scale_factor" in inputs:
        return "picodet"
    if {"logits", "pred_boxes"} <= outputs:
        raise ValueError(
            "The outputs logits and pred_boxes fit several models of the DETR family, which differ in their input. "
            "Export it with its own project's tool: that gives labels, boxes and scores (RT-DETR, D-FINE) or dets and "
            "labels (RF-DETR)."
        )
    if any(name in outputs for name in ("det_boxes", "num_dets")):
        raise ValueError("The model ends in TensorRT's own NMS, which no head reads. Export it without NMS.")
    return None


def _by_shape(io: ModelIO, label_count: int | None) -> str | None:
    shapes = _shapes(io)
    ranks = sorted(len(shape) for shape in shapes)
    if len(shapes) == 4 and any(len(s) == 3 and s[2] == 4 for s in shapes) and max(ranks) == 3:
        return _by_measures(io, label_count)
    if len(shapes) == 2 and ranks == [3, 3]:
        return _by_pair(shapes, label_count)
    if _is_raw_yolov5(shapes, label_count):
        return "yolov5"
    if len(shapes) == 2 * len(picodet.STRIDES) and set(ranks) == {3}:
        counts = [cell_count(io.size, [stride]) for stride in picodet.STRIDES]
        return "picodet" if [s[1] for s in shapes] == counts * 2 else None
    if len(shapes) == 2 and ranks == [3, 4]:
        rows, masks = sorted(shapes, key=len)
        return _by_masks(rows, min(masks[1:]), io, label_count)
    if len(shapes) != 1:
        return None
    (shape,) = shapes
    if is_one_row(shape):
        return _by_row(shape, label_count)
    if len(shape) == 4:
        return _by_grid(shape, io, label_count)
    return _by_rows(shape, io, label_count) if len(shape) == 3 else None


def _by_measures(io: ModelIO, label_count: int | None) -> str | None:
    """SSD's operation tells even classes and their count as floats; with whole numbers the boxes are YOLO-NAS's or of
    another kind, in another form."""
    if not all(spec.dtype.startswith("float") or spec.scale for spec in io.outputs):
        return None
    _refuse_others_labels(int(io.metadata.get("ssd_classes", 0)), label_count, "ssd")
    return "ssd"


def _refuse_others_labels(classes: int, label_count: int | None, head: str) -> None:
    """``classes`` of an SSD, with the background where there is one, which may have a label or not; 0: not known."""
    if classes and label_count not in (None, classes, classes - 1):
        raise ValueError(
            f"The model tells {classes - 1} or {classes} classes apart, and there are {label_count} labels: things "
            f"would bear others' names. Give the labels that belong to the model, or write model.head: {head}."
        )


def _by_pair(shapes: list[tuple[int, ...]], label_count: int | None) -> str | None:
    if {s[1] for s in shapes} == {_SSD_ANCHORS} and any(s[2] == 4 for s in shapes):
        _refuse_others_labels(shapes[0][2] + shapes[1][2] - 4, label_count, "ssd_raw")
        return "ssd_raw"
    if shapes[0][1] == shapes[1][1] and shapes[0][1] in blazeface.GRIDS and {s[2] for s in shapes} == {1, 16}:
        return "blazeface"
    boxes = [s for s in shapes if s[2] == 4]
    if len(boxes) == 1 and any(s[2] == boxes[0][1] for s in shapes):
        return "picodet"
    return None


def _by_masks(rows: tuple[int, ...], masks: int, io: ModelIO, label_count: int | None) -> str | None:
    """A segmentation model's boxes, each with as many coefficients as there are mask prototypes beside them."""
    if _is_chosen(rows, io) and rows[2] == 6 + masks:
        return "yolo_end2end"
    classes = min(rows[1:]) - 4 - masks
    fits = max(rows[1:]) in yolo_cell_counts(io.size) and classes > 0
    return "yolov8" if fits and label_count in (None, classes) else None


def _by_grid(shape: tuple[int, ...], io: ModelIO, label_count: int | None) -> str | None:
    """One map at stride 16."""
    classes = shape[1] - 5
    fits = (shape[2] * 16, shape[3] * 16) == (io.size[1], io.size[0]) and classes > 0
    if not fits or (label_count is not None and classes != label_count):
        return None
    return "fastestdet"


def _by_row(shape: tuple[int, ...], label_count: int | None) -> str | None:
    """A number for each class, or else something that is no answer to what is seen, as a vector to compare."""
    if label_count is None:
        raise ValueError(
            f"The output of shape {list(shape)} may be a classifier's. If it is, give the labels, or write model.head: "
            "'classify'."
        )
    return "classify" if math.prod(shape) == label_count else None


def _by_rows(shape: tuple[int, ...], io: ModelIO, label_count: int | None) -> str | None:
    """One output of boxes by values, or values by boxes."""
    if _is_chosen(shape, io) and shape[2] == 6:
        return "yolo_end2end"
    if _is_yolov5(shape, io):
        return "yolov5"
    _, rows, columns = shape
    counts = yolo_cell_counts(io.size)
    fit = []
    if _POSE_CHANNELS in (rows, columns) and max(rows, columns) in counts and label_count in (None, 1):
        raise ValueError(
            f"The output of shape {list(shape)} may be a pose model's. If it is, write model.head: "
            "{type: yolov8, keypoints: [17, 3]}; if it has 52 classes, give the labels."
        )
    if columns in counts and rows > 4:
        fit.append(("yolov8", rows - 4))
    if rows == cell_count(io.size, yolox.STRIDES) and columns > 4:
        fit += [("yolox", columns - 5)] * (columns > 5) + [("yolov8", columns - 4)]
    if rows == cell_count(io.size, nanodet.STRIDES) and columns > 4 * nanodet.BINS:
        fit.append(("nanodet", columns - 4 * nanodet.BINS))
    if label_count is not None:
        fit = [(head, classes) for head, classes in fit if classes == label_count]
    if len(fit) > 1:
        choices = " or ".join(f"'{head}' (then it has {classes} classes)" for head, classes in fit)
        raise ValueError(f"Several heads fit {_described(io)}. Give the labels, or write model.head: {choices}.")
    return fit[0][0] if fit else None


def _is_chosen(shape: tuple[int, ...], io: ModelIO) -> bool:
    """Whether an output may hold boxes that the model chose itself: few rows ``x1 y1 x2 y2 score class ...``, and not
    one for each cell."""
    if len(shape) != 3 or not yolo_cell_counts(io.size).isdisjoint(shape[1:]):
        return False
    return shape[2] >= 6 and shape[1] <= _MOST_CHOSEN


def _is_yolov5(shape: tuple[int, ...], io: ModelIO) -> bool:
    """Three anchors in each cell."""
    return shape[2] > 5 and shape[1] in {3 * count for count in yolo_cell_counts(io.size)}


def _is_raw_yolov5(shapes: list[tuple[int, ...]], label_count: int | None) -> bool:
    """Three maps of three anchors each; YOLOv8's, before their decoding, have as many values for other classes."""
    if len(shapes) != 3:
        return False
    if all(len(s) == 5 and s[1] == 3 for s in shapes):
        values = {s[4] for s in shapes}
    elif all(len(s) == 4 and s[1] % 3 == 0 for s in shapes):
        values = {s[1] // 3 for s in shapes}
    else:
        return False
    classes = min(values) - 5
    return len(values) == 1 and classes > 0 and label_count in (None, classes)


def class_count(metadata: Mapping[str, str]) -> int | None:
    """How many classes an Ultralytics model names; None where it names none."""
    names = read_literal(metadata.get("names", ""))
    return len(names) or None if isinstance(names, (dict, list, tuple)) else None


def _shapes(io: ModelIO) -> list[tuple[int, ...]]:
    return [spec.shape for spec in io.outputs]


def _described(io: ModelIO) -> str:
    outputs = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in io.outputs[:8])
    return f"an input of {io.size[0]}x{io.size[1]} and the outputs {outputs}"
