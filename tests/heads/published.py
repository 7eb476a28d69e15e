"""The decoding formulas as each project publishes them, cell by cell and in plain Python: slow, and easy to hold
against the source. Nothing here is shared with the package.

Every function takes one picture's outputs and gives rows ``(x1, y1, x2, y2, score, class)`` in input pixels with
``score >= least``, before suppression unless it says otherwise.
"""

from __future__ import annotations

from math import ceil, exp, sqrt, tanh
from typing import Any

Row = tuple[float, float, float, float, float, int]
Tensor = Any
"""An array, only ever indexed down to numbers."""
Anchors = dict[int, list[tuple[int, int]]]


def sigma(x: float) -> float:
    return 1 / (1 + exp(-x)) if x >= 0 else exp(x) / (1 + exp(x))


def overlap(a: Row, b: Row) -> float:
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    return w * h / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h)


def suppress(rows: list[Row], limit: float) -> list[Row]:
    """Greedy suppression within each class."""
    kept: list[Row] = []
    for row in sorted(rows, key=lambda r: -r[4]):
        if all(k[5] != row[5] or overlap(k, row) <= limit for k in kept):
            kept.append(row)
    return kept


def average(rows: list[Row], limit: float) -> list[Row]:
    """MediaPipe's weighted suppression."""
    left = sorted(rows, key=lambda r: -r[4])
    kept: list[Row] = []
    while left:
        best = left[0]
        group = [r for r in left if r is best or overlap(best, r) > limit]
        left = [r for r in left if not any(r is g for g in group)]
        weight = sum(r[4] for r in group)
        box = [sum(r[i] * r[4] for r in group) / weight for i in range(4)]
        kept.append((box[0], box[1], box[2], box[3], best[4], best[5]))
    return kept


def grid(width: int, height: int, strides: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """Column, row and stride of each cell."""
    return [(x, y, s) for s in strides for y in range(ceil(height / s)) for x in range(ceil(width / s))]


def centred(cx: float, cy: float, w: float, h: float, score: float, class_id: int) -> Row:
    return (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, score, class_id)


def best(scores: Tensor) -> tuple[int, float]:
    values = [float(v) for v in scores]
    return values.index(max(values)), max(values)


def yolox(out: Tensor, width: int, height: int, least: float) -> list[Row]:
    """YOLOX yolox/utils/demo_utils.py: demo_postprocess, then scores = objectness * class."""
    rows = []
    for p, (x, y, s) in zip(out[0], grid(width, height, (8, 16, 32)), strict=True):
        class_id, score = best(p[5:])
        score *= float(p[4])
        if score >= least:
            cx, cy = (float(p[0]) + x) * s, (float(p[1]) + y) * s
            rows.append(centred(cx, cy, exp(float(p[2])) * s, exp(float(p[3])) * s, score, class_id))
    return rows


def fastestdet(out: Tensor, width: int, height: int, least: float) -> list[Row]:
    """FastestDet utils/tool.py: handle_preds."""
    rows = []
    map_h, map_w = len(out[0][0]), len(out[0][0][0])
    for y in range(map_h):
        for x in range(map_w):
            p = [float(out[0][c][y][x]) for c in range(len(out[0]))]
            class_id, probability = best(p[5:])
            score = p[0] ** 0.6 * probability**0.4
            if score >= least:
                cx, cy = (x + tanh(p[1])) / map_w, (y + tanh(p[2])) / map_h
                w, h = sigma(p[3]), sigma(p[4])
                rows.append(centred(cx * width, cy * height, w * width, h * height, score, class_id))
    return rows


def yunet(outs: dict[str, Tensor], width: int, height: int, least: float) -> list[Row]:
    """OpenCV modules/objdetect/src/face_detect.cpp: postProcess."""
    rows = []
    for s in (8, 16, 32):
        columns = width // s
        for i in range(columns * (height // s)):
            cls = min(max(float(outs[f"cls_{s}"][0][i][0]), 0), 1)
            obj = min(max(float(outs[f"obj_{s}"][0][i][0]), 0), 1)
            score = sqrt(cls * obj)
            if score >= least:
                d = [float(v) for v in outs[f"bbox_{s}"][0][i]]
                cx, cy = (i % columns + d[0]) * s, (i // columns + d[1]) * s
                rows.append(centred(cx, cy, exp(d[2]) * s, exp(d[3]) * s, score, 0))
    return rows


def yunet_points(
    outs: dict[str, Tensor], width: int, height: int, least: float
) -> list[tuple[float, list[tuple[float, float]]]]:
    """The same place: score and the five landmarks of each face."""
    faces = []
    for s in (8, 16, 32):
        columns = width // s
        for i in range(columns * (height // s)):
            score = sqrt(min(max(float(outs[f"cls_{s}"][0][i][0]), 0), 1) * float(outs[f"obj_{s}"][0][i][0]))
            if score >= least:
                d = [float(v) for v in outs[f"kps_{s}"][0][i]]
                faces.append(
                    (score, [((d[2 * k] + i % columns) * s, (d[2 * k + 1] + i // columns) * s) for k in range(5)])
                )
    return faces


def yolov5(out: Tensor, least: float) -> list[Row]:
    """ultralytics/yolov5 utils/general.py: non_max_suppression up to the suppression, best class only."""
    rows = []
    for p in out[0]:
        class_id, score = best(p[5:])
        score *= float(p[4])
        if score >= least:
            cx, cy, w, h = (float(v) for v in p[:4])
            rows.append(centred(cx, cy, w, h, score, class_id))
    return rows


YOLOV7: Anchors = {
    8: [(12, 16), (19, 36), (40, 28)],
    16: [(36, 75), (76, 55), (72, 146)],
    32: [(142, 110), (192, 243), (459, 401)],
}
"""WongKinYiu/yolov7 cfg/deploy/yolov7.yaml: anchors by stride."""


def yolov5_maps(outs: list[Tensor], width: int, least: float, anchors: Anchors | None = None) -> list[Row]:
    """ultralytics/yolov5 models/yolo.py: Detect.forward in inference; anchors of models/yolov5s.yaml."""
    anchors = anchors or {
        8: [(10, 13), (16, 30), (33, 23)],
        16: [(30, 61), (62, 45), (59, 119)],
        32: [(116, 90), (156, 198), (373, 326)],
    }
    rows = []
    for out in outs:
        s = width // len(out[0][0][0])
        for a, (anchor_w, anchor_h) in enumerate(anchors[s]):
            for y, line in enumerate(out[0][a]):
                for x, raw in enumerate(line):
                    p = [sigma(float(v)) for v in raw]
                    class_id, score = best(p[5:])
                    score *= p[4]
                    if score >= least:
                        cx, cy = (p[0] * 2 - 0.5 + x) * s, (p[1] * 2 - 0.5 + y) * s
                        w, h = (p[2] * 2) ** 2 * anchor_w, (p[3] * 2) ** 2 * anchor_h
                        rows.append(centred(cx, cy, w, h, score, class_id))
    return rows


def yolov8(out: Tensor, classes: int, least: float) -> list[Row]:
    """ultralytics/utils/nms.py: non_max_suppression up to the suppression, best class only."""
    rows = []
    for i in range(len(out[0][0])):
        class_id, score = best([out[0][4 + c][i] for c in range(classes)])
        if score >= least:
            cx, cy, w, h = (float(out[0][c][i]) for c in range(4))
            rows.append(centred(cx, cy, w, h, score, class_id))
    return rows


def bins_mean(logits: Tensor) -> float:
    values = [float(v) for v in logits]
    weights = [exp(v - max(values)) for v in values]
    return sum(i * w for i, w in enumerate(weights)) / sum(weights)


def nanodet(out: Tensor, classes: int, width: int, height: int, least: float) -> list[Row]:
    """RangiLyu/nanodet demo_openvino/nanodet_openvino.cpp: decode_infer and disPred2Bbox."""
    rows = []
    for p, (x, y, s) in zip(out[0], grid(width, height, (8, 16, 32, 64)), strict=True):
        class_id, score = best(p[:classes])
        if score >= least:
            d = [bins_mean(p[classes + 8 * k : classes + 8 * k + 8]) * s for k in range(4)]
            rows.append((x * s - d[0], y * s - d[1], x * s + d[2], y * s + d[3], score, class_id))
    return rows


def picodet(outs: list[Tensor], width: int, height: int, least: float) -> list[Row]:
    """PaddleDetection deploy/third_engine/demo_openvino: PicoDetPostProcess, best class only."""
    rows = []
    for level, s in enumerate((8, 16, 32, 64)):
        cells = grid(width, height, (s,))
        for scores, sides, (x, y, _) in zip(outs[level][0], outs[level + 4][0], cells, strict=True):
            class_id, score = best(scores)
            if score >= least:
                bins = len(sides) // 4
                d = [bins_mean(sides[bins * k : bins * k + bins]) * s for k in range(4)]
                cx, cy = (x + 0.5) * s, (y + 0.5) * s
                rows.append((cx - d[0], cy - d[1], cx + d[2], cy + d[3], score, class_id))
    return rows


def rfdetr(dets: Tensor, labels: Tensor, width: int, height: int, least: float) -> list[Row]:
    """roboflow/rf-detr rfdetr/models/lwdetr.py: PostProcess, with its limit of 300."""
    rows = []
    for box, logits in zip(dets[0], labels[0], strict=True):
        cx, cy, w, h = (float(v) for v in box)
        for class_id, logit in enumerate(logits):
            score = sigma(float(logit))
            if score >= least:
                rows.append(centred(cx * width, cy * height, w * width, h * height, score, class_id))
    return sorted(rows, key=lambda r: -r[4])[:300]


def blazeface(regressors: Tensor, logits: Tensor, size: int, least: float) -> list[Row]:
    """MediaPipe ssd_anchors_calculator.cc (fixed anchor size) and tensors_to_detections_calculator.cc."""
    anchors = []
    for side, each in ((16, 2), (8, 6)) if len(logits[0]) == 896 else ((48, 1),):
        for y in range(side):
            for x in range(side):
                anchors += [((x + 0.5) / side, (y + 0.5) / side)] * each
    rows = []
    for p, logit, (ax, ay) in zip(regressors[0], logits[0], anchors, strict=True):
        score = sigma(min(max(float(logit[0]), -100), 100))
        if score >= least:
            cx, cy = float(p[0]) / size + ax, float(p[1]) / size + ay
            rows.append(centred(cx * size, cy * size, float(p[2]), float(p[3]), score, 0))
    return rows


def mask(coefficients: Tensor, prototypes: Tensor, row: Row, width: int, height: int) -> list[list[bool]]:
    """ultralytics/utils/ops.py: process_mask, at the prototypes' own resolution; only cells wholly within the box."""
    map_h, map_w = len(prototypes[0]), len(prototypes[0][0])
    x1, x2 = (row[i] * map_w / width for i in (0, 2))
    y1, y2 = (row[i] * map_h / height for i in (1, 3))
    weights = [float(w) for w in coefficients]
    return [
        [
            x1 <= x <= x2 - 1
            and y1 <= y <= y2 - 1
            and sum(w * float(plane[y][x]) for w, plane in zip(weights, prototypes, strict=True)) > 0
            for x in range(map_w)
        ]
        for y in range(map_h)
    ]
