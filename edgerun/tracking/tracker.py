"""Who is who from frame to frame, by place and motion alone.

Two stages as in ByteTrack (Zhang et al. 2022): boxes with high scores are joined to tracks first, then those with low
scores to the tracks that are left. Third, tracks that are still left are sought where they were last seen, as in
OC-SORT (Cao et al. 2023), for motion that was not as expected. Likeness is IoU of boxes widened by a margin, as in
C-BIoU (Yang et al. 2023), and by what the Kalman filter does not know: after a gap it looks around further.

A track is confirmed by evidence that its boxes' scores add up to, as in the track score of Sittler 1964.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from edgerun.tracking.assignment import heaviest_pairs
from edgerun.tracking.flight import Flight
from edgerun.tracking.options import TrackerOptions
from edgerun.types import I32, I64, Detections, Mask, Stamp, Tracks

F64 = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

MARGIN = 0.1
"""By which part of its width and height a box is widened to each side before boxes are compared."""
UNSURE = 0.3
"""By how many standard deviations of its expected place a track's box is widened on top of that."""
LEAST_LIKENESS = 0.15
"""IoU of widened boxes below which a track is not joined to a box."""
LEAST_LIKENESS_NEW = 0.22
"""The same for a track that is not confirmed."""
LEAST_LIKENESS_LOW = 0.3
"""The same for a box with a low score."""
LOW_SCORE_S = 0.5
"""A track that was not found for longer is not joined to a box with a low score."""
LAST_MARGIN = 0.4
LAST_LIKENESS = 0.2
"""Margin and least IoU in the search where a confirmed track was last seen."""
CROWDED = 0.15
"""A box that overlaps a found one by more than this IoU starts no track: most often it is the same object again."""
TRIAL_S = 0.1
"""How long a track that is not confirmed may be unseen."""
MIDDLE_SCORE = 0.4
"""A box with this score is as likely right as wrong: it adds nothing to the evidence."""
MOST_EVIDENCE = 4.0
"""What one box can add, as a likelihood's logarithm."""
ENOUGH_EVIDENCE = 7.0
"""More is not gathered, so that a track that turns out doubtful is soon found doubtful."""
PACE_FPS = 10.0
HASTE = 0.3
"""At this frame rate a box adds its whole evidence. At others it adds more or less by this power of the time between
two looks: fewer looks tell as much, as they resemble each other less."""
SCORE_MEMORY = 0.7
"""How much of a track's score remains at each new box."""


class Tracker:
    """Follows the objects of one camera.

    Ids start at 1 for each instance and are never used again, also not after ``reset``. ``fps`` is how often the
    camera is looked at; it stands in for the time between two stamps where that is not above 0.
    """

    def __init__(self, fps: float = 10.0, options: TrackerOptions = TrackerOptions()) -> None:
        if not 0 < fps < math.inf:
            raise ValueError(f"fps must be above 0 and finite, not {fps}")
        self._options = options
        self._usual_s = 1 / fps
        self._next_id = 1
        self.reset()

    def reset(self) -> None:
        """Forget all tracks."""
        self._flight = Flight()
        self._id: I64 = np.zeros(0, np.int64)  # 0: not confirmed
        self._class_id: I32 = np.zeros(0, np.int32)
        self._log: F64 = np.zeros((3, 0))
        self._last: F64 = np.zeros((4, 0))  # edges where last seen
        self._now = 0.0  # own clock in seconds: never stands still, never goes back
        self._captured: float | None = None
        self._shown = Tracks.empty()

    def update(self, detections: Detections, stamp: Stamp) -> Tracks:
        """Join the boxes of a frame to the tracks: those confirmed, ``seen`` where found in this frame.

        The order of the detections does not matter. Boxes that are not finite or have no area are ignored, scores
        above 1 count as 1.
        """
        step_s = self._step(stamp)
        self._now += step_s
        self._forget(self._unseen_s() > max(self._options.memory_s, 1.5 * self._usual_s))
        self._flight.predict(step_s)
        edges, score, class_id = self._sorted(detections)
        found, taken = self._join(edges, score, class_id, step_s)
        self._take_in(found, edges, score, step_s)
        self._judge(found < 0, stamp, step_s)
        self._start(edges, score, class_id, taken, step_s)
        self._shown = self._confirmed()
        return self._shown

    def hold(self, stamp: Stamp) -> Tracks:
        """Nothing moved in this frame: all tracks stay as they are, and it does not count as time unseen."""
        self._step(stamp)
        self._flight.halt()
        return self._shown

    def _step(self, stamp: Stamp) -> float:
        """Seconds since the frame before."""
        before, self._captured = self._captured, stamp.captured
        step_s = stamp.captured - before if before is not None else self._usual_s
        return step_s if 0 < step_s < math.inf else self._usual_s

    @property
    def _score(self) -> F64:
        return self._log[0]

    def _unseen_s(self) -> F64:
        unseen: F64 = self._now - self._log[2]
        return unseen

    def _sorted(self, detections: Detections) -> tuple[F64, F64, I32]:
        """Edges (4, N), scores and classes of what is sound, the best first."""
        edges, score = detections.xyxy.T.astype(np.float64), np.minimum(detections.score, 1).astype(np.float64)
        order = np.lexsort((detections.class_id, *edges, -score))
        edges, score, class_id = edges[:, order], score[order], detections.class_id[order]
        with np.errstate(invalid="ignore"):
            sides = edges[2:] - edges[:2]
            sound = ((sides > 0) & (sides < np.inf)).all(axis=0) & (score >= self._options.low_score)
        if sound.all():
            return edges, score, class_id
        return edges[:, sound], score[sound], class_id[sound]

    def _join(self, edges: F64, score: F64, class_id: I32, step_s: float) -> tuple[Index, Mask]:
        """For each track the column of its box, or -1; and which boxes are taken."""
        found, taken = np.full(len(self._id), -1, np.intp), np.zeros(len(score), np.bool_)
        if not len(found) or not len(taken):
            return found, taken
        known = self._id > 0
        expected = _widened(self._flight.edges, MARGIN, UNSURE * np.sqrt(self._flight.spread))
        likeness = self._compared(expected, _widened(edges, MARGIN), class_id)
        n_high = np.count_nonzero(score >= self._options.high_score)
        least = np.where(known, LEAST_LIKENESS, LEAST_LIKENESS_NEW)
        rows, columns = heaviest_pairs(likeness[:, :n_high] - least[:, None])
        found[rows], taken[columns] = columns, True
        rest = np.flatnonzero((found < 0) & (self._unseen_s() <= LOW_SCORE_S + step_s))
        if n_high < len(score) and len(rest):
            rows, columns = heaviest_pairs(likeness[rest, n_high:] - LEAST_LIKENESS_LOW)
            found[rest[rows]], taken[columns + n_high] = columns + n_high, True
        left, rest = np.flatnonzero(~taken[:n_high]), np.flatnonzero((found < 0) & known)
        if len(left) and len(rest):
            likeness = self._compared(_widened(self._last, LAST_MARGIN), _widened(edges, LAST_MARGIN), class_id)
            rows, columns = heaviest_pairs(likeness[rest[:, None], left] - LAST_LIKENESS)
            found[rest[rows]], taken[left[columns]] = left[columns], True
        return found, taken

    def _compared(self, ours: F64, theirs: F64, class_id: I32) -> F64:
        """IoU of all tracks with all boxes (M, N); -1 where their classes differ."""
        likeness = _iou(ours, theirs)
        if np.count_nonzero(class_id != class_id[0]) or np.count_nonzero(self._class_id != class_id[0]):
            likeness[self._class_id[:, None] != class_id] = -1
        return likeness

    def _take_in(self, found: Index, edges: F64, score: F64, step_s: float) -> None:
        rows: Index | slice = np.flatnonzero(found >= 0)
        if len(rows) < len(found):
            found = found[rows]
        else:
            rows = slice(None)  # spares copies
        edges, score = edges[:, found], score[found]
        self._flight.update(rows, edges, score)
        self._last[:, rows] = edges
        log = self._log[:, rows]
        log[0] += (1 - SCORE_MEMORY) * (score - log[0])
        log[1] = np.minimum(log[1] + _evidence(score, step_s), ENOUGH_EVIDENCE)
        log[2] = self._now
        self._log[:, rows] = log

    def _judge(self, lost: Mask, stamp: Stamp, step_s: float) -> None:
        """Confirm or drop tracks on trial by their evidence, and drop lost ones that left the picture."""
        gone = np.zeros(len(lost), np.bool_)
        trial = self._id == 0
        if trial.any():
            gone = trial & ((self._unseen_s() > max(TRIAL_S, 1.01 * step_s)) | (self._log[1] < -0.5))
            self._confirm(trial & ~gone)
        if lost.any() and stamp.width > 0 and stamp.height > 0:
            box = self._flight.edges
            x, y = (box[:2] + box[2:]) / 2
            gone |= lost & ((x < 0) | (x > stamp.width) | (y < 0) | (y > stamp.height))
        self._forget(gone)

    def _confirm(self, trial: Mask) -> None:
        """Give an id to those with enough evidence."""
        new = np.flatnonzero(trial & (self._log[1] >= self._options.confirm))
        self._id[new] = np.arange(self._next_id, self._next_id + len(new))
        self._next_id += len(new)

    def _forget(self, gone: Mask) -> None:
        if gone.any():
            stay = ~gone
            self._flight.keep(stay)
            self._id, self._class_id = self._id[stay], self._class_id[stay]
            self._log, self._last = self._log[:, stay], self._last[:, stay]

    def _start(self, edges: F64, score: F64, class_id: I32, taken: Mask, step_s: float) -> None:
        """Begin tracks with good boxes that no track took."""
        new = ~taken & (score >= self._options.start_score)
        if not new.any():
            return
        new[new] = (_iou(edges[:, new], edges[:, taken]) <= CROWDED).all(axis=1)
        edges, score = edges[:, new], score[new]
        self._flight.add(edges, score)
        self._id = np.concatenate([self._id, np.zeros(len(score), np.int64)])
        self._class_id = np.concatenate([self._class_id, class_id[new]])
        log = np.stack([score, _evidence(score, step_s), np.full(len(score), self._now)])
        self._log = np.concatenate([self._log, log], axis=1)
        self._last = np.concatenate([self._last, edges], axis=1)
        self._confirm(self._id == 0)

    def _confirmed(self) -> Tracks:
        unseen_s = self._unseen_s()
        rows = np.flatnonzero((self._id > 0) & (unseen_s <= self._options.coast_s))
        xyxy = np.ascontiguousarray(self._flight.edges[:, rows].T, np.float32)
        score = self._log[0, rows].astype(np.float32)
        return Tracks(xyxy, score, self._class_id[rows], self._id[rows], unseen_s[rows] == 0)


def _widened(edges: F64, part: float, more: F64 | float = 0.0) -> F64:
    """Boxes with a margin to each side: a part of their width and height, and ``more`` pixels."""
    margin = part * (edges[2:] - edges[:2]) + more
    return np.concatenate([edges[:2] - margin, edges[2:] + margin])


def _iou(a: F64, b: F64) -> F64:
    """Intersection over union of edges (4, N) with edges (4, M): (N, M)."""
    sides = np.minimum(a[2:, :, None], b[2:, None])
    sides -= np.maximum(a[:2, :, None], b[:2, None])
    np.maximum(sides, 0, out=sides)
    shared: F64 = sides[0] * sides[1]
    (aw, ah), (bw, bh) = a[2:] - a[:2], b[2:] - b[:2]
    union = (aw * ah)[:, None] + bw * bh
    union -= shared
    shared /= union
    return shared


def _evidence(score: F64, step_s: float) -> F64:
    """What boxes of these scores add to the evidence: their odds against those of MIDDLE_SCORE, as a logarithm."""
    odds = np.maximum(score, 0.01) / np.maximum(1 - score, 0.001)
    weight = min(max(step_s * PACE_FPS, 0.2), 5.0) ** HASTE
    evidence: F64 = weight * np.minimum(np.maximum(np.log(odds * (1 / MIDDLE_SCORE - 1)), -1), MOST_EVIDENCE)
    return evidence
