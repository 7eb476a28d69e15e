"""Who is who from frame to frame, by place and motion alone.

Two stages as in ByteTrack (Zhang et al. 2022): boxes with high scores are joined to tracks first, then those with low
scores to the tracks that are left. Third, tracks that are still left are sought where they were last seen, as in
OC-SORT (Cao et al. 2023), for motion that was not as expected. Likeness is the IoU of boxes widened by a margin, as in
C-BIoU (Yang et al. 2023), and by what the Kalman filter is not sure of: after a gap it looks further around.

A track is confirmed by evidence that its boxes' scores add up to, in the manner of a track score (Sittler 1964).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edgerun.tracking.assignment import heaviest_pairs
from edgerun.tracking.columns import iou, shared_part, widened
from edgerun.tracking.flight import Flight
from edgerun.tracking.options import TrackerOptions
from edgerun.types import I32, I64, Detections, Mask, Stamp, Tracks

F64 = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

MARGIN = 0.1
"""By which part of its width and height a box is widened to each side before boxes are compared."""
UNSURE = 0.3
MOST_UNSURE = 0.3
"""By how many standard deviations a track's box is widened on top of that where it is not sure, and by how many of its
heights at most."""
LEAST_LIKENESS = 0.15
"""IoU of widened boxes that it takes to join a box to a track."""
LEAST_LIKENESS_TRIAL = 0.22
"""The same for a track that is not confirmed."""
LEAST_LIKENESS_LOW = 0.2
"""The same for a box with a low score."""
LOW_SCORE_S = 1.0
"""A track that was not found for longer is not joined to a box with a low score."""
LAST_MARGIN = 0.4
LAST_LIKENESS = 0.2
"""Margin and least IoU in the search where a confirmed track was last seen."""
CLAIM = 0.45
"""IoU of widened boxes that gives a track that found nothing a claim to the box of another."""
ODD_SIZE = 2.0
"""A box that is so many times wider or higher than its track, or the other way round, may well be several objects in
one, or a part of one."""
SHARED = 0.25
"""A box that shares more of its area with a better one of its class, or that one with it, starts no track: most often
it is the same object again."""
TRIAL_S = 0.15
"""How long a track that is not confirmed may be unseen; at least for one look."""
MIDDLE_SCORE = 0.4
"""A box with this score is as likely right as wrong: it adds nothing to the evidence."""
LEAST_EVIDENCE, MOST_EVIDENCE = -1.0, 4.0
"""What one box can add to the evidence."""
NO_EVIDENCE = -0.5
"""A track on trial whose evidence falls below is dropped."""
SPARE_EVIDENCE = 2.0
"""More than this beyond what confirms a track is not gathered."""
PACE_S, HASTE = 0.1, 0.6
"""When looks are ``PACE_S`` apart, a box adds its whole evidence; else as much more or less as this power of the time
says. Fewer looks tell more each, as they resemble each other less."""
SCORE_MEMORY = 0.7
"""How much of a track's score remains at each new box."""


class _Found(NamedTuple):
    """N boxes of a frame, the best first: ``boxes`` (4, N), ``score`` (N,), ``class_id`` (N,)."""

    boxes: F64
    score: F64
    class_id: I32


class Tracker:
    """Follows the objects of one camera.

    Ids start at 1 for each instance and are never used again, also not after ``reset``. ``fps`` is how often the
    camera is looked at; it stands in for the time between two stamps where that is not above 0.
    Raises ValueError when ``fps`` is not above 0 and finite.
    """

    def __init__(self, fps: float = 10.0, options: TrackerOptions | None = None) -> None:
        if not 0 < fps < math.inf:
            raise ValueError(f"fps must be above 0 and finite, not {fps}")
        self._options = options or TrackerOptions()
        self._usual_s = 1 / fps
        self._coast_s = max(self._options.coast_s, 1.5 * self._usual_s) if self._options.coast_s else 0.0
        self._memory_s = max(self._options.memory_s, 1.5 * self._usual_s)
        self._next_id = 1
        self.reset()

    def reset(self) -> None:
        """Forget all tracks."""
        self._flight = Flight()
        self._last: F64 = np.zeros((4, 0))  # boxes where last seen
        self._id: I64 = np.zeros(0, np.int64)  # 0: on trial
        self._class_id: I32 = np.zeros(0, np.int32)
        self._log: F64 = np.zeros((3, 0))  # score, evidence, when last seen
        self._now = 0.0  # own clock in seconds: never stands still, never goes back
        self._captured: float | None = None
        self._shown = Tracks.empty()

    def update(self, detections: Detections, stamp: Stamp) -> Tracks:
        """Join the boxes of a frame to the tracks, and tell of those that are confirmed.

        ``seen`` is True for those found in this frame; the others coast. The order of the detections does not matter.
        Boxes that are not finite or have no area are ignored, scores above 1 count as 1.
        """
        step_s = self._step(stamp)
        self._now += step_s
        self._keep(self._unseen_s() <= self._memory_s)
        self._flight.predict(step_s)
        found = self._sorted(detections)
        column, taken, clear = self._join(found, step_s)
        self._take_in(column, found, clear, step_s)
        self._judge(column < 0, stamp, step_s)
        self._start(found, taken, step_s)
        self._shown = self._confirmed(stamp)
        return self._shown

    def hold(self, stamp: Stamp) -> Tracks:
        """Nothing moved in this frame: all tracks stay as they are, and it does not count as time unseen."""
        self._step(stamp)
        self._flight.halt()
        return self._shown

    def _step(self, stamp: Stamp) -> float:
        """Seconds since the frame before."""
        before, self._captured = self._captured, stamp.captured
        step_s = self._usual_s if before is None else stamp.captured - before
        return step_s if 0 < step_s < math.inf else self._usual_s

    def _unseen_s(self) -> F64:
        unseen_s: F64 = self._now - self._log[2]
        return unseen_s

    def _sorted(self, detections: Detections) -> _Found:
        n = len(detections)
        table = np.empty((5, n))
        table[:4] = detections.xyxy.T
        np.minimum(detections.score, 1, out=table[4])
        order = np.lexsort((detections.class_id, *table[:4], -table[4]))
        table, class_id = table[:, order], detections.class_id[order]
        with np.errstate(invalid="ignore"):
            sides = table[2:4] - table[:2]
            least = self._options.low_score
            # as most often; what is not a number is not above either
            if n and sides.min() > 0 and sides.max() < np.inf and table[4, -1] >= least:
                return _Found(table[:4], table[4], class_id)
            sound = ((sides > 0) & (sides < np.inf)).all(axis=0) & (table[4] >= least)
        table = table[:, sound]
        return _Found(table[:4], table[4], class_id[sound])

    def _join(self, found: _Found, step_s: float) -> tuple[Index, Mask, Mask | None]:
        """For each track the column of its box, or -1; which boxes are taken;"""
        column, taken = np.full(len(self._id), -1, np.intp), np.zeros(len(found.score), np.bool_)
        if not len(column) or not len(taken):
            return column, taken, None
        known = self._id > 0
        edges = self._flight.edges
        unsure = np.minimum(UNSURE * self._flight.unsure(), MOST_UNSURE * (edges[3] - edges[1]))
        expected = widened(edges, MARGIN, unsure)
        likeness = self._compared(expected, widened(found.boxes, MARGIN), found.class_id)
        high = np.count_nonzero(found.score >= self._options.high_score)
        least = np.where(known, LEAST_LIKENESS, LEAST_LIKENESS_TRIAL)
        rows, columns = heaviest_pairs(likeness[:, :high] - least[:, None])
        column[rows], taken[columns] = columns, True
        if len(rows) == len(column):
            return column, taken, None
        if high < len(taken):
            rest = np.flatnonzero((column < 0) & (self._unseen_s() <= LOW_SCORE_S + step_s))
            rows, columns = heaviest_pairs(likeness[rest, high:] - LEAST_LIKENESS_LOW)
            column[rest[rows]], taken[columns + high] = columns + high, True
        lost, free = np.flatnonzero((column < 0) & known), np.flatnonzero(~taken[:high])
        if len(lost) and len(free):
            last = self._compared(widened(self._last, LAST_MARGIN), widened(found.boxes, LAST_MARGIN), found.class_id)
            rows, columns = heaviest_pairs(last[lost[:, None], free] - LAST_LIKENESS)
            column[lost[rows]], taken[free[columns]] = free[columns], True
            lost = lost[column[lost] < 0]
        clear: Mask | None = np.asarray((likeness[lost] <= CLAIM).all(axis=0)) if len(lost) else None
        return column, taken, clear

    def _compared(self, ours: F64, theirs: F64, class_id: I32) -> F64:
        """IoU of all tracks with all boxes (M, N); -1 where their classes differ."""
        likeness = iou(ours, theirs)
        if np.count_nonzero(class_id != class_id[0]) or np.count_nonzero(self._class_id != class_id[0]):
            likeness[self._class_id[:, None] != class_id] = -1
        return likeness

    def _take_in(self, column: Index, found: _Found, clear: Mask | None, step_s: float) -> None:
        rows: Index | slice = slice(None)  # spares copies
        if column.min(initial=0) < 0:
            rows = np.flatnonzero(column >= 0)
            column = column[rows]
        boxes, score = found.boxes[:, column], found.score[column]
        clear = self._of_like_size(rows, boxes, None if clear is None else clear[column])
        self._flight.update(rows, boxes, score, clear)
        self._last[:, rows] = boxes
        log = self._log[:, rows]
        log[0] += (1 - SCORE_MEMORY) * (score - log[0])
        enough = self._options.confirm + SPARE_EVIDENCE
        log[1] = np.minimum(log[1] + _evidence(score, step_s), enough)
        log[2] = self._now
        self._log[:, rows] = log

    def _of_like_size(self, rows: Index | slice, boxes: F64, clear: Mask | None) -> Mask | None:
        """Which of the clear boxes are about as wide and high as their tracks (None: all). A track on trial is not
        held to its size."""
        expected = self._flight.edges[:, rows]
        ratio = (boxes[2:] - boxes[:2]) / (expected[2:] - expected[:2])
        if ratio.max(initial=1) < ODD_SIZE and ratio.min(initial=1) > 1 / ODD_SIZE:
            return clear
        alike: Mask = ((ratio < ODD_SIZE) & (ratio > 1 / ODD_SIZE)).all(axis=0) | (self._id[rows] == 0)
        return alike if clear is None else alike & clear

    def _judge(self, lost: Mask, stamp: Stamp, step_s: float) -> None:
        """Confirm or drop tracks on trial by their evidence, and drop lost ones that left the picture."""
        stay = np.ones(len(lost), np.bool_)
        trial = self._id == 0
        if trial.any():
            promising = (self._unseen_s() <= max(TRIAL_S, 1.01 * step_s)) & (self._log[1] >= NO_EVIDENCE)
            stay = promising | ~trial
            self._confirm(trial & promising)
        if lost.any() and stamp.width > 0 and stamp.height > 0:
            x, y = (self._flight.edges[:2] + self._flight.edges[2:]) / 2
            stay &= ~lost | ((x >= 0) & (x <= stamp.width) & (y >= 0) & (y <= stamp.height))
        self._keep(stay)

    def _confirm(self, trial: Mask) -> None:
        """Give an id to those with enough evidence."""
        new = np.flatnonzero(trial & (self._log[1] >= self._options.confirm))
        self._id[new] = np.arange(self._next_id, self._next_id + len(new))
        self._next_id += len(new)

    def _keep(self, stay: Mask) -> None:
        if not stay.all():
            self._flight.keep(stay)
            self._id, self._class_id = self._id[stay], self._class_id[stay]
            self._log, self._last = self._log[:, stay], self._last[:, stay]

    def _start(self, found: _Found, taken: Mask, step_s: float) -> None:
        """Begin tracks with good boxes that no track took and that no better one covers."""
        eligible = ~taken & (found.score >= self._options.start_score)
        if not eligible.any():
            return
        new = np.flatnonzero(eligible)
        better = taken | (eligible & (np.arange(len(taken)) < new[:, None]))
        better &= found.class_id == found.class_id[new, None]
        new = new[~(better & (shared_part(found.boxes[:, new], found.boxes) > SHARED)).any(axis=1)]
        boxes, score = found.boxes[:, new], found.score[new]
        self._flight.add(boxes, score)
        self._last = np.concatenate([self._last, boxes], axis=1)
        self._id = np.concatenate([self._id, np.zeros(len(new), np.int64)])
        self._class_id = np.concatenate([self._class_id, found.class_id[new]])
        log = np.stack([score, _evidence(score, step_s), np.full(len(new), self._now)])
        self._log = np.concatenate([self._log, log], axis=1)

    def _confirmed(self, stamp: Stamp) -> Tracks:
        """Confirmed tracks that are seen, or coast within the picture."""
        boxes, unseen_s = self._flight.edges, self._unseen_s()
        shown = self._id > 0
        if shown.all() and not np.count_nonzero(unseen_s):  # as most often: spares the picking
            seen, score = np.ones(len(shown), np.bool_), self._log[0].astype(np.float32)
            return Tracks(boxes.T.astype(np.float32, order="C"), score, self._class_id, self._id.copy(), seen)
        if np.count_nonzero(unseen_s):
            inside = (boxes[:2] > 0).all(axis=0)
            if stamp.width > 0 and stamp.height > 0:
                inside &= (boxes[2] < stamp.width) & (boxes[3] < stamp.height)
            # a millisecond, as sums of steps are not exact
            shown &= (unseen_s == 0) | (inside & (unseen_s <= self._coast_s + 1e-3))
        rows = np.flatnonzero(shown)
        xyxy = np.ascontiguousarray(boxes[:, rows].T, np.float32)
        score = self._log[0, rows].astype(np.float32)
        return Tracks(xyxy, score, self._class_id[rows], self._id[rows], unseen_s[rows] == 0)


def _evidence(score: F64, step_s: float) -> F64:
    """What boxes of these scores add to the evidence: their odds against those of MIDDLE_SCORE, as a logarithm."""
    odds = np.maximum(score, 0.01) / np.maximum(1 - score, 0.001)
    weight = min(max(step_s / PACE_S, 0.2), 5.0) ** HASTE
    evidence: F64 = np.log(odds * (1 / MIDDLE_SCORE - 1))
    evidence = np.minimum(np.maximum(evidence, LEAST_EVIDENCE), MOST_EVIDENCE)
    evidence *= weight
    return evidence
