"""Each head finds what its project's published decoding finds, on tensors that hold a few clear objects in noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from edgerun.heads import HEADS
from edgerun.heads.yolov5 import Yolov5, Yolov5Options
from edgerun.quant import dequantize, quantize
from edgerun.stages import Head
from edgerun.types import F32, Array, Detections, Fit, ModelIO, TensorSpec
from tests.heads import published
from tests.heads.published import Row

W, H = 192, 128
"""Not square, so that a swap of the two shows."""
LEAST = 0.3
CLASSES = 5
SEEDS = range(3)


def head(name: str) -> Head:
    plugin = HEADS[name]
    return plugin.build(plugin.options())


def model(outputs: dict[str, F32], size: tuple[int, int] = (W, H), **metadata: str) -> ModelIO:
    picture = TensorSpec("images", (1, 3, size[1], size[0]), "float32")
    return ModelIO((picture,), tuple(TensorSpec(n, o.shape, o.dtype.name) for n, o in outputs.items()), metadata)


def seen(name: str, outputs: dict[str, F32], io: ModelIO) -> Detections:
    width, height = io.size
    return head(name).decode(list(outputs.values()), io, Fit(1, 1, 0, 0, (0, 0, width, height)), LEAST)


def agree(found: Detections, expected: Sequence[Row], size: tuple[int, int] = (W, H)) -> None:
    """Every box has its counterpart of the same class: IoU above 0.99, score within 0.001."""
    clipped = [
        (max(x1, 0.0), max(y1, 0.0), min(x2, size[0]), min(y2, size[1]), score, class_id)
        for x1, y1, x2, y2, score, class_id in expected
    ]
    left = [row for row in clipped if row[2] > row[0] and row[3] > row[1]]
    assert left, "the tensors of this test hold no object"
    assert len(found) == len(left)
    for box, score, class_id in zip(found.xyxy, found.score, found.class_id, strict=True):
        row: Row = (*map(float, box), float(score), int(class_id))  # type: ignore[assignment]  # four numbers in a box
        twins = [r for r in left if r[5] == row[5] and abs(r[4] - row[4]) < 1e-3 and published.overlap(r, row) > 0.99]
        assert twins, f"nobody expected {row}"
        left.remove(twins[0])


def rare(rng: np.random.Generator, *shape: int) -> F32:
    """Probabilities, of which few are high."""
    return (rng.random(shape) ** 6).astype(np.float32)


def cells(*strides: int, size: tuple[int, int] = (W, H)) -> int:
    return len(published.grid(*size, strides))


def yolox_raw(rng: np.random.Generator) -> F32:
    count = cells(8, 16, 32)
    return np.concatenate(
        [rng.normal(0, 1, (1, count, 2)), rng.normal(1, 0.7, (1, count, 2)), rare(rng, 1, count, 1 + CLASSES) ** 0.5],
        axis=2,
        dtype=np.float32,
    )


def whole(further: int) -> F32:
    """Width and height for a box's four columns, 1 for the further ones."""
    return np.array([W, H, W, H] + [1] * further, np.float32)


def decoded_boxes(rng: np.random.Generator, count: int) -> F32:
    """Centres and sides in pixels, f32 (1, count, 4)."""
    centre = rng.random((1, count, 2)) * (W, H)
    return np.concatenate([centre, rng.uniform(10, 60, (1, count, 2))], axis=2, dtype=np.float32)


@pytest.mark.parametrize("seed", SEEDS)
def test_yolox_leaves_the_grid_to_the_head(seed: int) -> None:
    out = yolox_raw(np.random.default_rng(seed))
    expected = published.suppress(published.yolox(out, W, H, LEAST), 0.45)
    outputs = {"output": out}
    agree(seen("yolox", outputs, model(outputs)), expected)


def test_yolox_decoded_in_the_model() -> None:
    """An export with --decode_in_inference gives the same boxes."""
    raw = yolox_raw(np.random.default_rng(1))
    place = np.array(published.grid(W, H, (8, 16, 32)), np.float32)
    out = raw.copy()
    out[0, :, :2] = (raw[0, :, :2] + place[:, :2]) * place[:, 2:]
    out[0, :, 2:4] = np.exp(raw[0, :, 2:4]) * place[:, 2:]
    outputs = {"output": out}
    agree(seen("yolox", outputs, model(outputs)), published.suppress(published.yolox(raw, W, H, LEAST), 0.45))


@pytest.mark.parametrize("seed", SEEDS)
def test_fastestdet(seed: int) -> None:
    rng = np.random.default_rng(seed)
    out = np.concatenate(
        [rare(rng, 1, 1, H // 16, W // 16), rng.normal(0, 1, (1, 4, H // 16, W // 16)), rare(rng, 1, CLASSES, 8, 12)],
        axis=1,
        dtype=np.float32,
    )
    outputs = {"758": out}
    agree(seen("fastestdet", outputs, model(outputs)), published.suppress(published.fastestdet(out, W, H, LEAST), 0.45))


@pytest.mark.parametrize("seed", SEEDS)
def test_yunet(seed: int) -> None:
    rng = np.random.default_rng(seed)
    outputs: dict[str, F32] = {}
    for kind, columns in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
        for stride in (8, 16, 32):
            shape = (1, cells(stride), columns)
            outputs[f"{kind}_{stride}"] = rare(rng, *shape) if columns == 1 else rng.normal(0.5, 1, shape).astype("f4")
    agree(seen("yunet", outputs, model(outputs)), published.suppress(published.yunet(outputs, W, H, LEAST), 0.3))


@pytest.mark.parametrize("seed", SEEDS)
def test_yolov5(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = 3 * cells(8, 16, 32)
    scores = rare(rng, 1, count, 1 + CLASSES) ** 0.5
    outputs = {"output0": np.concatenate([decoded_boxes(rng, count), scores], axis=2, dtype=np.float32)}
    expected = published.suppress(published.yolov5(outputs["output0"], LEAST), 0.45)
    agree(seen("yolov5", outputs, model(outputs)), expected)
    relative: dict[str, F32] = {"output0": outputs["output0"] / whole(1 + CLASSES)}
    agree(seen("yolov5", relative, model(relative)), expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_yolov5_raw_maps(seed: int) -> None:
    """Both as five dimensions and as accelerator compilers leave them, channels by rows by columns."""
    rng = np.random.default_rng(seed)
    maps = [rng.normal(-1, 2, (1, 3, H // s, W // s, 5 + CLASSES)).astype(np.float32) for s in (8, 16, 32)]
    for raw in maps:
        raw[..., 2:4] = rng.uniform(-1, 1, (*raw.shape[:4], 2))
    expected = published.suppress(published.yolov5_maps(maps, W, LEAST), 0.45)
    outputs = {f"out{i}": m for i, m in enumerate(maps)}
    agree(seen("yolov5", outputs, model(outputs)), expected)
    flat = {n: m.transpose(0, 1, 4, 2, 3).reshape(1, -1, *m.shape[2:4]) for n, m in outputs.items()}
    agree(seen("yolov5", flat, model(flat)), expected)
    sides = [[side for anchor in anchors for side in anchor] for anchors in published.YOLOV7.values()]
    told = Yolov5Options(anchors=tuple(map(tuple, sides)))  # type: ignore[arg-type]  # of six each
    found = Yolov5(told).decode(maps, model(outputs), Fit(1, 1, 0, 0, (0, 0, W, H)), LEAST)
    agree(found, published.suppress(published.yolov5_maps(maps, W, LEAST, published.YOLOV7), 0.45))


def yolov8_output(seed: int, extra: int = 0, classes: int = CLASSES) -> F32:
    rng = np.random.default_rng(seed)
    count = cells(8, 16, 32)
    parts: list[Array] = [decoded_boxes(rng, count), rare(rng, 1, count, classes), rng.normal(0, 9, (1, count, extra))]
    rows: F32 = np.concatenate(parts, axis=2).astype(np.float32)
    planes: F32 = np.ascontiguousarray(rows.transpose(0, 2, 1))
    return planes


@pytest.mark.parametrize(("seed", "classes"), [*((seed, CLASSES) for seed in SEEDS), (0, 600)])
def test_yolov8_in_every_form(seed: int, classes: int) -> None:
    """Channels first or last, in pixels or in 0-1 of the input; also with more channels than there are cells."""
    out = yolov8_output(seed, classes=classes)
    expected = published.suppress(published.yolov8(out, classes, LEAST), 0.7)
    scaled: F32 = out / whole(classes)[:, None]
    for form in (out, out.transpose(0, 2, 1), scaled, scaled.transpose(0, 2, 1)):
        outputs = {"output0": form}
        agree(seen("yolov8", outputs, model(outputs)), expected)


def test_yolov8_boxes_of_segmentation_and_pose_models() -> None:
    segment = {"output0": yolov8_output(0, extra=32), "output1": np.zeros((1, 32, H // 4, W // 4), np.float32)}
    expected = published.suppress(published.yolov8(segment["output0"], CLASSES, LEAST), 0.7)
    agree(seen("yolov8", segment, model(segment)), expected)
    pose = {"output0": yolov8_output(0, extra=51)}
    expected = published.suppress(published.yolov8(pose["output0"], CLASSES, LEAST), 0.7)
    agree(seen("yolov8", pose, model(pose, kpt_shape="[17, 3]")), expected)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_quantized_outputs_are_read_by_their_scale(dtype: str) -> None:
    """An INT8 export keeps coordinates in 0-1, so that one scale serves boxes and scores."""
    size = whole(CLASSES)[:, None]
    spec = TensorSpec("Identity", (1, 4 + CLASSES, cells(8, 16, 32)), dtype, 1 / 250, -128 if dtype == "int8" else 0)
    stored = quantize(yolov8_output(2) / size, spec)
    io = ModelIO((TensorSpec("in", (1, H, W, 3), dtype, 1 / 255, spec.zero_point),), (spec,))
    found = head("yolov8").decode([stored], io, Fit(1, 1, 0, 0, (0, 0, W, H)), LEAST)
    agree(found, published.suppress(published.yolov8(dequantize(stored, spec) * size, CLASSES, LEAST), 0.7))


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("extra", [0, 32])
def test_yolo_end2end(relative: bool, extra: int) -> None:
    """Rows are boxes already; what is more than six columns wide belongs to other tasks."""
    rng = np.random.default_rng(7)
    low = rng.random((300, 2)) * (W - 70, H - 70)
    rows = np.zeros((1, 300, 6 + extra), np.float32)
    rows[0, :, :4] = np.concatenate([low, low + rng.uniform(5, 60, (300, 2))], axis=1)
    rows[0, :, 4] = np.sort(rare(rng, 300))[::-1]
    rows[0, :, 5] = rng.integers(0, 80, 300)
    expected = [(*map(float, r[:4]), float(r[4]), int(r[5])) for r in rows[0] if r[4] >= LEAST]
    outputs = {"output0": rows / whole(2 + extra) if relative else rows}
    agree(seen("yolo_end2end", outputs, model(outputs)), expected)  # type: ignore[arg-type]  # four numbers in a box


@pytest.mark.parametrize("seed", SEEDS)
def test_nanodet(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = cells(8, 16, 32, 64)
    out = np.concatenate([rare(rng, 1, count, CLASSES), rng.normal(0, 2, (1, count, 32))], axis=2, dtype=np.float32)
    outputs = {"output": out}
    expected = published.suppress(published.nanodet(out, CLASSES, W, H, LEAST), 0.5)
    agree(seen("nanodet", outputs, model(outputs)), expected)


def picodet_levels(rng: np.random.Generator) -> dict[str, F32]:
    scores = {f"scores_{s}": rare(rng, 1, cells(s), CLASSES) for s in (8, 16, 32, 64)}
    return scores | {f"sides_{s}": rng.normal(0, 2, (1, cells(s), 32)).astype(np.float32) for s in (8, 16, 32, 64)}


@pytest.mark.parametrize("seed", SEEDS)
def test_picodet_levels(seed: int) -> None:
    outputs = picodet_levels(np.random.default_rng(seed))
    expected = published.suppress(published.picodet(list(outputs.values()), W, H, LEAST), 0.5)
    agree(seen("picodet", outputs, model(outputs)), expected)


def test_picodet_levels_at_which_there_is_nothing() -> None:
    """As in most pictures at one level or the other, and in some at all of them."""
    outputs = picodet_levels(np.random.default_rng(4))
    outputs["scores_64"][:] = 0
    expected = published.suppress(published.picodet(list(outputs.values()), W, H, LEAST), 0.5)
    agree(seen("picodet", outputs, model(outputs)), expected)
    for stride in (8, 16, 32):
        outputs[f"scores_{stride}"][:] = 0
    assert not len(seen("picodet", outputs, model(outputs)))


def test_picodet_with_its_decoding_or_all_of_it_in_the_model() -> None:
    """The three forms of one model give the same detections."""
    levels = list(picodet_levels(np.random.default_rng(3)).values())
    everything = published.picodet(levels, W, H, 0)
    expected = published.suppress([r for r in everything if r[4] >= LEAST], 0.5)
    boxes = np.array([r[:4] for r in everything], np.float32)[None]
    scores = np.concatenate([s[0] for s in levels[:4]]).T[None]
    outputs = {"boxes": boxes, "scores": scores}
    agree(seen("picodet", outputs, model(outputs)), expected)
    rows = np.array([(r[5], r[4], *r[:4]) for r in expected] + [(-1, 0, 0, 0, 0, 0)], np.float32)
    chosen = {"multiclass_nms3_0": rows, "count": np.array([len(rows)], np.float32)}
    agree(seen("picodet", chosen, model(chosen)), expected)


def test_rtdetr_reads_outputs_by_name_in_any_order() -> None:
    rng = np.random.default_rng(5)
    low = rng.random((1, 300, 2)) * (W - 70, H - 70)
    boxes = np.concatenate([low, low + rng.uniform(5, 60, low.shape)], axis=2, dtype=np.float32)
    scores, labels = rare(rng, 1, 300), rng.integers(0, 80, (1, 300))
    rows = zip(boxes[0], scores[0], labels[0], strict=True)
    expected = [(*map(float, box), float(s), int(c)) for box, s, c in rows if s >= LEAST]
    for names in (("labels", "boxes", "scores"), ("scores", "labels", "boxes")):
        outputs = {name: {"labels": labels, "boxes": boxes, "scores": scores}[name] for name in names}
        agree(seen("rtdetr", outputs, model(outputs)), expected)  # type: ignore[arg-type]  # four numbers in a box


@pytest.mark.parametrize("seed", SEEDS)
def test_rfdetr(seed: int) -> None:
    rng = np.random.default_rng(seed)
    dets = np.concatenate([rng.random((1, 300, 2)), rng.uniform(0.05, 0.4, (1, 300, 2))], axis=2, dtype=np.float32)
    outputs = {"dets": dets, "labels": rng.normal(-3, 2, (1, 300, 91)).astype(np.float32)}
    expected = published.rfdetr(dets, outputs["labels"], W, H, LEAST)
    found = seen("rfdetr", outputs, model(outputs))
    assert len(found) == 300
    agree(found, expected)


def blazeface_outputs(size: int, anchors: int) -> dict[str, F32]:
    rng = np.random.default_rng(size)
    regressors = rng.normal(0, 3, (1, anchors, 16)).astype(np.float32)
    regressors[..., 2:4] = rng.uniform(size / 8, size / 4, (1, anchors, 2))
    return {"regressors": regressors, "classificators": rng.normal(-4, 2, (1, anchors, 1)).astype(np.float32)}


@pytest.mark.parametrize(("size", "anchors"), [(128, 896), (256, 896), (192, 2304)])
def test_blazeface(size: int, anchors: int) -> None:
    outputs = blazeface_outputs(size, anchors)
    io = model(outputs, (size, size))
    raw = published.blazeface(outputs["regressors"], outputs["classificators"], size, LEAST)
    assert len(raw) > 10
    agree(seen("blazeface", outputs, io), published.average(raw, 0.3), (size, size))


BROKEN: dict[str, Callable[[], dict[str, F32]]] = {
    "yolox": lambda: {"output": np.full((1, cells(8, 16, 32), 8), np.nan, np.float32)},
    "fastestdet": lambda: {"758": np.full((1, 8, H // 16, W // 16), np.inf, np.float32)},
    "yolov8": lambda: {"output0": np.full((1, 8, cells(8, 16, 32)), np.inf, np.float32)},
    "yolov5": lambda: {"output0": np.full((1, 3 * cells(8, 16, 32), 8), np.inf, np.float32)},
    "yolo_end2end": lambda: {"output0": np.full((1, 300, 6), np.inf, np.float32)},
    "nanodet": lambda: {"output": np.full((1, cells(8, 16, 32, 64), 35), np.inf, np.float32)},
    "rfdetr": lambda: {"dets": np.full((1, 9, 4), np.inf, "f4"), "labels": np.full((1, 9, 3), np.inf, "f4")},
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", BROKEN)
def test_a_damaged_models_numbers_never_become_boxes(name: str) -> None:
    outputs = BROKEN[name]()
    found = seen(name, outputs, model(outputs))
    assert np.isfinite(found.xyxy).all()
    assert (found.score <= 1).all()


def test_a_score_that_is_no_number_is_never_published() -> None:
    """A score beyond all bounds counts as 1; JSON knows no infinity."""
    planes = np.zeros((1, 5, cells(8, 16, 32)), np.float32)
    planes[0, :, 3] = 50, 50, 20, 20, np.inf
    planes[0, :, 9] = 90, 50, 20, 20, np.nan
    outputs = {"output0": planes}
    assert seen("yolov8", outputs, model(outputs)).score.tolist() == [1]


@pytest.mark.parametrize("name", sorted(set(HEADS) - {"ssd", "ssd_raw", "classify"}))
def test_a_head_says_what_it_expected(name: str) -> None:
    outputs: dict[str, Array] = {"logits": np.zeros((1, 10), np.float32)}
    with pytest.raises(ValueError, match=f"{name} expects|expected an output"):
        seen(name, outputs, model(outputs))
