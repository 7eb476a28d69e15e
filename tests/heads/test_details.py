"""Outlines and key points: what models tell beyond boxes is what their projects' decoding tells, in the frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgerun.heads import HEADS
from edgerun.heads.recognise import recognise
from edgerun.outlines import MOST_CORNERS
from edgerun.quant import dequantize, quantize
from edgerun.types import F32, Array, Detail, Detections, Fit, ModelIO, TensorSpec
from tests.geometry import inside
from tests.heads import published
from tests.heads.test_parity import CLASSES, LEAST, H, W, blazeface_outputs, cells, model, rare, seen, yolov8_output

MASKS = 8
FIT = Fit(1, 1, 0, 0, (0, 0, W, H))


def smooth_prototypes(rng: np.random.Generator) -> F32:
    """Hills of random places and heights, as trained prototypes are smooth."""
    y, x = np.mgrid[: H // 4, : W // 4]
    hills = [np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 200) for cx, cy in rng.random((30, 2)) * (W / 4, H / 4)]
    mixed: F32 = np.tensordot(rng.normal(0, 1, (MASKS, 30)), np.array(hills), 1).astype(np.float32)
    return mixed[None]


def segmenting(seed: int) -> dict[str, F32]:
    rng = np.random.default_rng(seed)
    planes = yolov8_output(seed, extra=MASKS)
    planes[0, 4 + CLASSES :] = rng.normal(0, 1, (MASKS, planes.shape[2]))
    return {"output0": planes, "output1": smooth_prototypes(rng)}


def details_of(found: Detections) -> list[Detail]:
    assert found.details is not None
    details: list[Detail] = found.details.tolist()
    return details


def filled(polygon: F32 | None) -> Array:
    """The cells of the prototypes' grid with their centres within."""
    y, x = np.mgrid[: H // 4, : W // 4]
    centres = np.stack([x, y], axis=-1).reshape(-1, 2) * 4 + 2
    return np.zeros(x.shape, np.bool_) if polygon is None else inside(centres, polygon).reshape(x.shape)


def largest(mask: Array) -> Array:
    """The largest connected area of a mask, sides and corners counted as touching."""
    left, best = set(map(tuple, np.argwhere(mask).tolist())), set[Any]()
    while left:
        area, edge = set[Any](), [left.pop()]
        while edge:
            y, x = edge.pop()
            area.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            edge += near
        best = max(best, area, key=len)
    only = np.zeros_like(mask)
    only[tuple(zip(*best, strict=True))] = bool(best)
    return only


@pytest.mark.parametrize("form", ["channels first", "channels last", "relative", "end to end"])
def test_outlines_of_masks(form: str) -> None:
    outputs = segmenting(0)
    planes, prototypes = outputs["output0"], outputs["output1"]
    expected = published.suppress(published.yolov8(planes, CLASSES, LEAST), 0.7)
    if form == "channels last":
        outputs = {"a": planes.transpose(0, 2, 1), "b": prototypes.transpose(0, 2, 3, 1)}
    elif form == "relative":
        outputs = {"a": planes / np.array([W, H, W, H] + [1] * (CLASSES + MASKS), "f4")[:, None], "b": prototypes}
    elif form == "end to end":
        chosen = np.zeros((1, 60, 6 + MASKS), np.float32)
        for place, one in zip(chosen[0], expected, strict=False):
            place[:6], place[6:] = one, coefficients_of(planes, one[4])
        outputs = {"a": chosen, "b": prototypes}
    io = model(outputs)
    name = "yolo_end2end" if form == "end to end" else "yolov8"
    assert recognise(io, CLASSES) == name
    found = seen(name, outputs, io)
    shared = either = 0
    for box, score, detail in zip(found.xyxy, found.score, details_of(found), strict=True):
        row: published.Row = (*box.tolist(), 0, 0)
        mask = np.array(published.mask(coefficients_of(planes, float(score)), prototypes[0], row, W, H))
        if (mask != largest(mask)).any():
            continue  # which of several areas is the largest is not for so coarse a mask to tell
        within = filled(detail.polygon) & np.array(published.mask([1], np.ones_like(prototypes[0, :1]), row, W, H))
        shared, either = shared + int((within & mask).sum()), either + int((within | mask).sum())
        if detail.polygon is not None:
            assert 3 <= len(detail.polygon) <= MOST_CORNERS
            assert (detail.polygon.min(axis=0) >= box[:2] - 0.01).all()
            assert (detail.polygon.max(axis=0) <= box[2:] + 0.01).all()
    assert either > 1000
    assert shared / either > 0.95


def coefficients_of(planes: F32, score: float) -> F32:
    """The mask coefficients of the cell with this score."""
    column = np.abs(planes[0, 4 : 4 + CLASSES].max(axis=0) - score).argmin()
    coefficients: F32 = planes[0, 4 + CLASSES :, column]
    return coefficients


def test_quantized_masks_are_read_by_their_own_scale() -> None:
    outputs = segmenting(1)
    outputs["output0"][0, :4] /= np.array([W, H, W, H], "f4")[:, None]
    specs = (
        TensorSpec("output0", outputs["output0"].shape, "int16", 1 / 4000),
        TensorSpec("output1", outputs["output1"].shape, "int8", 1 / 8, 3),
    )
    stored = {spec.name: quantize(outputs[spec.name], spec) for spec in specs}
    real = {spec.name: dequantize(stored[spec.name], spec) for spec in specs}
    io = ModelIO((TensorSpec("in", (1, H, W, 3), "int8", 1 / 255, -128),), specs)
    plugin = HEADS["yolov8"]
    found = plugin.build(plugin.options()).decode(list(stored.values()), io, FIT, LEAST)
    wanted = seen("yolov8", real, model(real))
    assert len(found) == len(wanted) > 10
    for one, other in zip(details_of(found), details_of(wanted), strict=True):
        assert (filled(one.polygon) == filled(other.polygon)).all()


def test_the_way_back_to_the_frame() -> None:
    """A crop that was letterboxed: outlines and key points lie in the frame where the boxes lie."""
    fit = Fit(0.5, 0.5, -50, -20, (100, 40, 100 + 2 * W, 40 + 2 * H))
    for name, outputs in (("yolov8", segmenting(2)), ("blazeface", blazeface_outputs(128, 896))):
        io = model(outputs, (128, 128)) if name == "blazeface" else model(outputs)
        plugin = HEADS[name]
        plain, placed = (
            plugin.build(plugin.options()).decode(list(outputs.values()), io, f, 0.6)
            for f in (Fit(1, 1, 0, 0, (0, 0, *io.size)), fit)
        )
        for here, there in zip(details_of(plain), details_of(placed), strict=True):
            for a, b in ((here.polygon, there.polygon), (here.keypoints, there.keypoints)):
                if a is not None and b is not None and (a[:, :2] > 0).all() and (a[:, :2] < io.size).all():
                    assert np.allclose(a[:, :2] * 2 + (100, 40), b[:, :2], atol=0.05)


@pytest.mark.parametrize("values", [2, 3])
@pytest.mark.parametrize("relative", [False, True])
def test_key_points_of_pose_models(values: int, relative: bool) -> None:
    planes = yolov8_output(4, extra=5 * values)
    points = np.random.default_rng(4).random((5, values, planes.shape[2])) * np.array([W, H, 1][:values])[:, None]
    planes[0, 4 + CLASSES :] = points.reshape(5 * values, -1)
    size = np.array([W, H, W, H] + [1] * CLASSES + [W, H, 1][:values] * 5, np.float32)[:, None]
    outputs: dict[str, F32] = {"output0": planes / size if relative else planes}
    shape = f"[5, {values}]"
    io = model(outputs, task="pose", names=str({i: str(i) for i in range(CLASSES)}), kpt_shape=shape)
    assert recognise(io) == "yolov8"
    found = seen("yolov8", outputs, io)
    assert len(found) == len(published.suppress(published.yolov8(planes, CLASSES, LEAST), 0.7))
    for score, detail in zip(found.score, details_of(found), strict=True):
        column = int(np.abs(planes[0, 4 : 4 + CLASSES].max(axis=0) - score).argmin())
        assert detail.polygon is None
        assert detail.keypoints is not None
        assert np.allclose(detail.keypoints, points[:, :, column], atol=0.02)


def test_a_pose_model_that_lost_its_metadata() -> None:
    """It is not taken for a detector of 52 classes; told its key points, the head finds them."""
    planes = np.zeros((1, 56, cells(8, 16, 32)), np.float32)
    planes[0, :5, 7] = 60, 50, 20, 40, 0.9
    planes[0, 5:, 7] = np.tile([58, 44, 0.8], 17)
    io = model({"output0": planes})
    with pytest.raises(ValueError, match=r"\{type: yolov8, keypoints: \[17, 3\]\}"):
        recognise(io)
    plugin = HEADS["yolov8"]
    found = plugin.build(plugin.options(keypoints=(17, 3))).decode([planes], io, FIT, LEAST)
    (detail,) = details_of(found)
    assert detail.keypoints is not None
    assert np.allclose(detail.keypoints, [58, 44, 0.8])


def test_key_points_of_faces() -> None:
    rng = np.random.default_rng(0)
    outputs: dict[str, F32] = {}
    for kind, columns in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
        for stride in (8, 16, 32):
            shape = (1, cells(stride), columns)
            outputs[f"{kind}_{stride}"] = (
                rare(rng, *shape) if columns == 1 else rng.normal(0.5, 0.3, shape).astype("f4")
            )
    found = seen("yunet", outputs, model(outputs))
    faces = published.yunet_points(outputs, W, H, LEAST)
    for score, detail in zip(found.score, details_of(found), strict=True):
        assert detail.keypoints is not None
        expected = min(faces, key=lambda face, s=float(score): abs(face[0] - s))[1]  # type: ignore[misc]  # bound now
        assert np.allclose(detail.keypoints, np.clip(expected, 0, (W, H)), atol=0.01)


def test_plain_detectors_have_no_details() -> None:
    outputs = {"output0": yolov8_output(0)}
    assert seen("yolov8", outputs, model(outputs)).details is None
