"""Boxes, polygons and lines: the properties that everything above relies on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgerun.boxes import containment, iou, is_simple, nms, segments_touch, sound
from edgerun.types import F32

edge = st.floats(-100, 900, width=32)


@st.composite
def boxes(draw: st.DrawFn, most: int = 12) -> F32:
    n = draw(st.integers(0, most))
    raw = draw(hnp.arrays(np.float32, (n, 4), elements=edge))
    made: F32 = np.concatenate([np.minimum(raw[:, :2], raw[:, 2:]), np.maximum(raw[:, :2], raw[:, 2:])], axis=1)
    return made


@given(boxes(), boxes())
def test_iou_is_symmetric_and_between_0_and_1(a: F32, b: F32) -> None:
    found = iou(a, b)
    assert found.shape == (len(a), len(b))
    assert np.all((found >= 0) & (found <= 1))
    assert np.array_equal(found, iou(b, a).T)


@given(boxes())
def test_a_box_with_an_area_matches_itself(a: F32) -> None:
    big = a[np.all(a[:, 2:] - a[:, :2] > 0.01, axis=1)]
    assert np.allclose(np.diag(iou(big, big)), 1, atol=1e-3)
    assert np.allclose(np.diag(containment(big, big)), 1, atol=1e-3)


def test_iou_and_containment_by_hand() -> None:
    a = np.array([[0, 0, 10, 10]], np.float32)
    b = np.array([[5, 0, 15, 10], [2, 2, 4, 4], [10, 10, 20, 20]], np.float32)
    assert np.allclose(iou(a, b), [[50 / 150, 4 / 100, 0]])
    assert np.allclose(containment(b, a)[:, 0], [0.5, 1, 0])


@given(boxes(), st.data())
def test_nms_keeps_the_best_and_is_idempotent(xyxy: F32, data: st.DataObject) -> None:
    n = len(xyxy)
    score = data.draw(hnp.arrays(np.float32, n, elements=st.floats(0, 1, width=32)))
    class_id = data.draw(hnp.arrays(np.int32, n, elements=st.integers(0, 2)))
    kept = nms(xyxy, score, class_id, 0.5)
    assert np.all(np.diff(score[kept]) <= 0)
    again = nms(xyxy[kept], score[kept], class_id[kept], 0.5)
    assert np.array_equal(again, np.arange(len(kept)))
    for kind in np.unique(class_id):
        of_kind = kept[class_id[kept] == kind]
        mutual = iou(xyxy[of_kind], xyxy[of_kind]) - np.eye(len(of_kind), dtype=np.float32)
        assert np.all(mutual <= 0.5)
        lost = np.setdiff1d(np.flatnonzero(class_id == kind), of_kind)
        assert np.all(np.any(iou(xyxy[lost], xyxy[of_kind]) > 0.5, axis=1))


def test_nms_leaves_other_classes_alone_and_looks_at_the_best_only() -> None:
    xyxy = np.repeat(np.array([[0, 0, 10, 10]], np.float32), 4, axis=0)
    score = np.array([0.3, 0.9, 0.8, 0.9], np.float32)
    assert nms(xyxy, score, np.array([0, 0, 1, 0], np.int32), 0.5).tolist() == [1, 2]
    assert nms(xyxy, score, np.arange(4, dtype=np.int32), 0.5, most=2).tolist() == [1, 3]


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_broken_boxes_do_not_keep_nms_from_the_others(broken: float) -> None:
    xyxy = np.array([[0, 0, 10, 10]] * 2 + [[-broken, -broken, broken, broken]] * 2, np.float32)
    kept = nms(xyxy, np.array([0.9, 0.8, 0.7, 0.6], np.float32), np.zeros(4, np.int32), 0.5)
    assert kept.tolist() == [0, 2, 3]


SQUARE = np.array([[0, 0], [10, 0], [10, 10], [0, 10]], np.float32)
HOOK = np.array([[0, 0], [10, 0], [10, 10], [5, 5], [0, 10]], np.float32)


def test_polygons_that_touch_or_cross_themselves() -> None:
    assert is_simple(SQUARE)
    assert is_simple(HOOK)
    assert is_simple([[0, 0], [5, 0], [10, 0], [10, 10]])
    bowtie = [[0, 0], [10, 10], [10, 0], [0, 10]]
    doubled = [[0, 0], [0, 0], [10, 0], [10, 10]]
    flat = [[0, 0], [5, 0], [10, 0]]
    spike = [[0, 0], [10, 0], [5, 0], [5, 5]]
    pinched = [[0, 0], [10, 0], [5, 5], [10, 10], [0, 10], [5, 5]]
    shapes: list[npt.ArrayLike] = [
        bowtie,
        doubled,
        flat,
        spike,
        pinched,
        [[0, 0], [1, 1]],
        np.array([[0, 0], [1, np.nan], [1, 0]]),
    ]
    for bad in shapes:
        assert not is_simple(bad), bad


def test_segments() -> None:
    a, b = np.array([0, 0]), np.array([10, 0])
    others = np.array([[[5, -5], [5, 5]], [[5, 1], [5, 5]], [[10, 0], [12, 3]], [[3, 0], [4, 0]], [[11, 0], [12, 0]]])
    assert segments_touch(a, b, others[:, 0], others[:, 1]).tolist() == [True, False, True, True, False]


def test_boxes_that_no_one_could_stand_in_are_not_sound() -> None:
    broken = [[0, 0, 0, 1], [2, 0, 1, 1], [0, np.nan, 1, 1], [0, 0, np.inf, 1], [0, -np.inf, 1, 1]]
    assert sound(np.array([[0, 0, 1, 1], *broken], np.float32)).tolist() == [True] + [False] * 5
