"""The assignment solver against brute force and against SciPy's."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from edgerun.tracking.assignment import heaviest_pairs

F64 = npt.NDArray[np.float64]

sparse = st.sampled_from([0.0, -1.0, 0.25, 0.5, 0.5, 1.0]) | st.floats(-1, 1)


def worth(weight: F64) -> float:
    """Check that it is an assignment, and say what it weighs."""
    rows, columns = heaviest_pairs(weight)
    assert len(set(columns.tolist())) == len(columns)
    assert (np.diff(rows) > 0).all()
    assert (weight[rows, columns] > 0).all()
    return float(weight[rows, columns].sum())


@given(npst.arrays(np.float64, st.tuples(st.integers(0, 5), st.integers(0, 5)), elements=sparse))
def test_no_choice_weighs_more(weight: F64) -> None:
    n, m = weight.shape
    gain = np.pad(np.maximum(weight, 0), ((0, 0), (0, n)))  # n columns more: stay alone
    best = max(sum(gain[row, column] for row, column in enumerate(p)) for p in itertools.permutations(range(n + m), n))
    assert abs(worth(weight) - best) < 1e-9


def test_it_agrees_with_scipy_on_crowds() -> None:
    from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]  # an oracle, without hints

    random = np.random.default_rng(0)
    for _ in range(300):
        weight = random.random(random.integers(1, 40, 2))
        weight[random.random(weight.shape) < random.random()] = 0
        rows, columns = linear_sum_assignment(weight, maximize=True)
        assert abs(worth(weight) - weight[rows, columns].sum()) < 1e-9


def test_it_chooses_alike_every_time() -> None:
    weight = np.round(np.random.default_rng(1).random((12, 12)) * 4) / 4
    first = heaviest_pairs(weight)
    assert all(np.array_equal(a, b) for a, b in zip(first, heaviest_pairs(weight.copy()), strict=True))
