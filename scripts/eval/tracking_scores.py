"""How good tracks are: CLEAR MOT, identity scores and HOTA, from boxes with ids.

CLEAR MOT after Bernardin and Stiefelhagen 2008, identity scores after Ristani et al. 2016, HOTA after Luiten et al.
2021. Counts of several sequences add up, so that a whole benchmark is scored as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edgerun.boxes import iou
from edgerun.tracking.assignment import heaviest_pairs
from edgerun.types import F32, I64

F64 = npt.NDArray[np.float64]
ALPHAS = np.arange(0.05, 0.99, 0.05)
"""The IoU limits that HOTA averages over."""


@dataclass(frozen=True, eq=False)
class Boxes:
    """What is in one frame: ids i64 (N,), each at most once, and ``xyxy`` f32 (N, 4)."""

    ids: I64
    xyxy: F32


def none() -> F64:
    return np.zeros(len(ALPHAS))


@dataclass
class Counts:
    """Sums over frames; ``hota_*`` one for each of ALPHAS."""

    truth: int = 0
    found: int = 0
    missed: int = 0
    false: int = 0
    switches: int = 0
    identified: int = 0
    hota_pairs: F64 = field(default_factory=none)
    hota_association: F64 = field(default_factory=none)

    def __add__(self, other: Counts) -> Counts:
        names = self.__dataclass_fields__
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in names})

    @property
    def recall(self) -> float:
        return 1 - self.missed / max(self.truth, 1)

    @property
    def precision(self) -> float:
        return 1 - self.false / max(self.found, 1)

    @property
    def mota(self) -> float:
        return 1 - (self.missed + self.false + self.switches) / max(self.truth, 1)

    @property
    def idf1(self) -> float:
        return 2 * self.identified / max(self.truth + self.found, 1)

    @property
    def hota(self) -> float:
        detection = self.hota_pairs / np.maximum(self.truth + self.found - self.hota_pairs, 1)
        association = self.hota_association / np.maximum(self.hota_pairs, 1)
        return float(np.sqrt(detection * association).mean())


def score(truth: Sequence[Boxes], found: Sequence[Boxes], least_iou: float = 0.5) -> Counts:
    """Score the tracks of one sequence, frame by frame, against its ground truth.

    Raises ValueError when the two have not the same number of frames.
    """
    likeness = [iou(a.xyxy, b.xyxy).astype(np.float64) for a, b in zip(truth, found, strict=True)]
    counts = _clear(truth, found, likeness, least_iou)
    counts.identified = _identified(truth, found, likeness, least_iou)
    counts.hota_pairs, counts.hota_association = _hota(truth, found, likeness)
    return counts


def _clear(truth: Sequence[Boxes], found: Sequence[Boxes], likeness: Sequence[F64], least_iou: float) -> Counts:
    """A pair of the frame before stays one while it is good enough; the others are paired for the greatest overlap."""
    counts = Counts()
    partner: dict[int, int] = {}
    for real, ours, like in zip(truth, found, likeness, strict=True):
        near = like >= least_iou
        column_of = {number: column for column, number in enumerate(ours.ids.tolist())}
        kept = [(row, column_of.get(partner.get(number, -1), -1)) for row, number in enumerate(real.ids.tolist())]
        pairs: list[tuple[int, int]] = []
        for row, column in kept:
            if column >= 0 and near[row, column] and column not in {c for _, c in pairs}:
                pairs.append((row, column))
        rows = np.setdiff1d(np.arange(len(real.ids)), [row for row, _ in pairs])
        columns = np.setdiff1d(np.arange(len(ours.ids)), [column for _, column in pairs])
        # as many pairs as possible first, hence the 1000
        weight = np.where(near, 1000 + like, 0)[np.ix_(rows, columns)]
        pairs += [(int(rows[r]), int(columns[c])) for r, c in zip(*heaviest_pairs(weight), strict=True)]
        for row, column in pairs:
            number, ours_now = int(real.ids[row]), int(ours.ids[column])
            counts.switches += partner.get(number, ours_now) != ours_now
            partner[number] = ours_now
        counts.truth += len(real.ids)
        counts.found += len(ours.ids)
        counts.missed += len(real.ids) - len(pairs)
        counts.false += len(ours.ids) - len(pairs)
    return counts


def _numbered(frames: Sequence[Boxes]) -> tuple[list[I64], int]:
    """Each frame's ids as rows of a table, and how many rows that table has."""
    everyone = np.unique(np.concatenate([boxes.ids for boxes in frames])) if frames else np.zeros(0, np.int64)
    return [np.searchsorted(everyone, boxes.ids).astype(np.int64) for boxes in frames], len(everyone)


def _identified(truth: Sequence[Boxes], found: Sequence[Boxes], likeness: Sequence[F64], least_iou: float) -> int:
    """Boxes that are right when each true id may have one of our ids for good, chosen for the most of them."""
    (rows, n), (columns, m) = _numbered(truth), _numbered(found)
    together = np.zeros((n, m))
    for row, column, like in zip(rows, columns, likeness, strict=True):
        together[np.ix_(row, column)] += like >= least_iou
    pairs = heaviest_pairs(together)
    return int(together[pairs].sum())


def _hota(truth: Sequence[Boxes], found: Sequence[Boxes], likeness: Sequence[F64]) -> tuple[F64, F64]:
    """Matched pairs, and the sum of their association scores, at each of ALPHAS."""
    (rows, n), (columns, m) = _numbered(truth), _numbered(found)
    shared, true_count, our_count = np.zeros((n, m)), np.zeros(n), np.zeros(m)
    for row, column, like in zip(rows, columns, likeness, strict=True):
        either = like.sum(axis=1, keepdims=True) + like.sum(axis=0, keepdims=True) - like
        shared[np.ix_(row, column)] += np.divide(like, either, out=np.zeros_like(like), where=either > 0)
        true_count[row] += 1
        our_count[column] += 1
    whole = true_count[:, None] + our_count - shared
    aligned = np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)
    together = np.zeros((len(ALPHAS), n, m))
    for row, column, like in zip(rows, columns, likeness, strict=True):
        r, c = heaviest_pairs(aligned[np.ix_(row, column)] * like)
        hit = like[r, c] >= ALPHAS[:, None] - 1e-9
        together[:, row[r], column[c]] += hit
    union = np.maximum(true_count[:, None] + our_count - together, 1)
    return together.sum(axis=(1, 2)), (together * together / union).sum(axis=(1, 2))
