"""Who is who from frame to frame, by place and motion alone.

Two stages as in ByteTrack (Zhang et al. 2022): boxes with high scores are joined to tracks first, then those with low
scores to the tracks that are left. Third, tracks that are still left are sought where they were last seen, as in
OC-SORT (Cao et al. 2023), for motion that was not as expected. Likeness is the height-modulated IoU of boxes, widened
by a margin as in C-BIoU (Yang et al. 2023), and by what the Kalman filter is not sure of: after a gap it looks further
around.

A track is confirmed by evidence that its boxes' scores add up to. One that lives on weak boxes until nothing speaks for
it any more is followed further, but not told of until better boxes come.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edgerun.masks import every, how_many, some
from edgerun.tracking.assignment import heaviest_pairs
from edgerun.tracking.columns import height_modulated_iou, shared_part, widening
from edgerun.tracking.evidence import evidence
from edgerun.tracking.flight import Flight
from edgerun.tracking.found import Found, found
from edgerun.tracking.groups import ClassGroups
from edgerun.tracking.options import TrackerOptions
from edgerun.types import F64, I32, I64, Detections, Index, Mask, Past, Stamp, Tracks

MARGIN = 0.1
"""By which part of its width and height a box is widened to each side before boxes are compared."""
UNSURE = 0.3
MOST_UNSURE = 0.3
"""By how many standard deviations a track's box is widened on top of that where it is not sure, and by how many of its
heights at most."""
LEAST_LIKENESS = 0.15
"""Likeness that it takes to join a box to a track."""
LEAST_LIKENESS_TRIAL = 0.22
"""The same for a track that is not confirmed."""
LEAST_LIKENESS_LOW = 0.2
"""The same for a box with a low score."""
LOW_SCORE_S = 1.0
"""A track that was not found for longer is not joined to a box with a low score."""
LAST_MARGIN = 0.4
LAST_LIKENESS = 0.2
"""Margin and least likeness in the search where a confirmed track was last seen."""
CLAIM = 0.45
"""Likeness that gives a track that found nothing a claim to the box of another."""
ODD_SIZE = 2.0
"""A box that is so many times wider or higher than its track, or the other way round, may well be several objects in
one, or a part of one."""
SHARED = 0.25
"""A box that shares more of its area with a better one of its group, or that one with it, starts no track: most often
it is the same object again."""
TRIAL_S = 0.15
"""How long a track that is not confirmed may be unseen; at least for one look."""
NO_EVIDENCE = -0.5
"""A track on trial whose evidence falls below is dropped."""
HIDING_EVIDENCE = -3.0
"""A confirmed track whose evidence falls below is not told of. Lower, as weak boxes where a track should be are right
more often than others."""
SPARE_EVIDENCE = 2.0
"""More than this beyond what confirms a track, or below what hides it, is not gathered."""
SCORE_MEMORY = 0.7
"""How much of a track's score remains at each new box."""
LEAST_MEMORY = 2.5
"""For so many looks at least a track is remembered, lest one miss of the detector makes somebody new."""
LONGEST_STEP_S = 1e6
"""A longer time between two looks counts as this much, lest its powers overflow."""
NAME_MEMORY_S = 2.0
"""Over about so long it counts what the boxes of a track were called."""
NAME_DOUBT = 0.7
"""The part of them that must have had another name before the track takes it; more than half, so that two names that
are as frequent do not take turns."""

_WIDER, _WIDER_LAST = widening(MARGIN), widening(LAST_MARGIN)
_OUTWARDS = np.array([[-1.0], [-1.0], [1.0], [1.0]])
_EVERY = slice(None)


class Tracker:
    """Follows the objects of one camera.

    Ids start at 1 for each instance and are never used again, also not after ``reset``. ``fps`` is how often the
    camera is looked at; it stands in for the time between two stamps where that is not above 0.
    ``start_score`` begins tracks where the options do not say. Boxes are only joined to tracks of their group.
    Raises ValueError when ``fps`` is not above 0 and finite.
    """

    def __init__(
        self,
        fps: float = 10.0,
        options: TrackerOptions | None = None,
        *,
        start_score: float = 0.5,
        groups: ClassGroups | None = None,
    ) -> None:
        self._fps = fps
        self.tune(options or TrackerOptions(), start_score, groups or ClassGroups())
        self._next_id = 1
        self.reset()

    def tune(self, options: TrackerOptions, start_score: float, groups: ClassGroups) -> None:
        """Go on with the same tracks as if made with these."""
        self._options, self._groups = options, groups
        self.start_score = start_score if options.start_score is None else options.start_score
        """Only a box with at least this score begins a new track; may be set anew at any time."""
        self._enough = options.confirm + SPARE_EVIDENCE
        self.fps = self._fps

    @property
    def fps(self) -> float:
        """How often the camera is looked at; may be set anew at any time."""
        return self._fps

    @fps.setter
    def fps(self, fps: float) -> None:
        if not 0 < fps < math.inf:
            raise ValueError(f"fps must be above 0 and finite, not {fps}")
        self._fps, self._usual_s = fps, min(1 / fps, LONGEST_STEP_S)
        self._coast_s = max(self._options.coast_s, 1.5 * self._usual_s) if self._options.coast_s else 0.0
        self._memory_s = max(self._options.memory_s, LEAST_MEMORY * self._usual_s)

    def reset(self) -> None:
        """Forget all tracks."""
        self._flight = Flight()
        self._last: F64 = np.zeros((4, 0))  # boxes where last seen
        self._first: F64 = np.zeros((5, 0))  # boxes where first seen, and when
        self._id: I64 = np.zeros(0, np.int64)  # 0: on trial
        self._class_id: I32 = np.zeros(0, np.int32)
        self._log: F64 = np.zeros((4, 0))  # score, evidence, when last seen, part of the boxes with another name
        self._now = 0.0  # own clock in seconds: never stands still, never goes back
        self._captured: float | None = None
        self._step_s = 0.0  # the last one; two long ones in a row are no gap but the pace of an engine that is slow
        self._trials = 0  # how many are on trial
        self._missing = False  # whether a track was not found in the last frame
        self._shown = Tracks.empty()

    def update(self, detections: Detections, stamp: Stamp) -> Tracks:
        """Join the boxes of a frame to the tracks, and tell of those that are confirmed.

        ``seen`` is True for those found in this frame; the others coast. The order of the detections does not matter.
        Boxes that are not finite or have no area are ignored, scores above 1 count as 1.
        """
        step_s, known = self._step(stamp), self._next_id
        self._now += step_s
        memory_s = max(self._memory_s, LEAST_MEMORY * min(step_s, self._step_s))
        self._step_s = step_s
        if self._missing or step_s > memory_s:
            self._keep(self._unseen_s() <= memory_s)
        self._flight.predict(step_s)
        boxes = found(detections, self._options.low_score)
        column, taken, clear = self._join(boxes, step_s)
        self._missing = some(column < 0)
        self._take_in(column, boxes, clear, step_s)
        if self._missing or self._trials:
            self._judge(column < 0, stamp, step_s)
        if not every(taken):
            self._start(boxes, taken, step_s)
        self._shown = self._confirmed(stamp)
        if self._next_id > known:
            self._shown = replace(self._shown, past=self._past())
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
        return min(step_s, LONGEST_STEP_S) if 0 < step_s < math.inf else self._usual_s

    def _unseen_s(self) -> F64:
        unseen_s: F64 = self._now - self._log[2]
        return unseen_s

    def _join(self, boxes: Found, step_s: float) -> tuple[Index, Mask, Mask | None]:
        """For each track the column of its box, or -1; which boxes are taken; and which are clear, that is, claimed
        by no track that found none (None: all)."""
        column, taken = np.full(len(self._id), -1, np.intp), np.zeros(len(boxes.score), np.bool_)
        if not len(column) or not len(taken):
            return column, taken, None
        likeness = self._compared(self._expected(), _WIDER.dot(boxes.boxes), boxes.class_id)
        high = how_many(boxes.score >= self._options.high_score)
        least: F64 | float = LEAST_LIKENESS
        if self._trials:
            least = np.where(self._id > 0, LEAST_LIKENESS, LEAST_LIKENESS_TRIAL)[:, None]
        rows, columns = heaviest_pairs(likeness[:, :high] - least)
        column[rows], taken[columns] = columns, True
        if len(rows) == len(column):
            return column, taken, None
        if high < len(taken):
            left = column < 0
            if self._missing:
                left &= self._unseen_s() <= LOW_SCORE_S + step_s
            rest = left.nonzero()[0]
            rows, columns = heaviest_pairs(likeness[:, high:].take(rest, axis=0) - LEAST_LIKENESS_LOW)
            columns += high
            column[rest.take(rows)], taken[columns] = columns, True
        lost = ((column < 0) & (self._id > 0)).nonzero()[0]
        if not len(lost):
            return column, taken, None
        free = (~taken[:high]).nonzero()[0]
        if len(free):
            last = self._compared(_WIDER_LAST.dot(self._last), _WIDER_LAST.dot(boxes.boxes), boxes.class_id)
            rows, columns = heaviest_pairs(last[lost[:, None], free] - LAST_LIKENESS)
            column[lost[rows]], taken[free[columns]] = free[columns], True
            lost = lost[column[lost] < 0]
        return column, taken, np.asarray((likeness[lost] <= CLAIM).all(axis=0)) if len(lost) else None

    def _expected(self) -> F64:
        """Where the tracks should be, with the margin to compare them by: (4, M)."""
        edges: F64 = _WIDER.dot(self._flight.edges)
        unsure = self._flight.unsure(UNSURE, MOST_UNSURE)
        if unsure is not None:
            edges += _OUTWARDS * unsure
        return edges

    def _compared(self, ours: F64, theirs: F64, class_id: I32) -> F64:
        """How alike all tracks and all boxes are (M, N); -1 where their groups differ."""
        likeness = height_modulated_iou(ours, theirs)
        if len({*class_id.tolist(), *self._class_id.tolist()}) > 1:
            likeness[self._groups.of(self._class_id)[:, None] != self._groups.of(class_id)] = -1
        return likeness

    def _take_in(self, column: Index, found: Found, clear: Mask | None, step_s: float) -> None:
        rows: Index | slice = _EVERY  # spares copies
        if self._missing:
            rows = (column >= 0).nonzero()[0]
            column = column[rows]
        boxes, score = found.boxes.take(column, axis=1), found.score.take(column)
        clear = self._of_like_size(rows, boxes, None if clear is None else clear[column])
        self._flight.update(rows, boxes, score, clear)
        if self._missing:
            self._last[:, rows] = boxes
        else:
            self._last = boxes
        log = self._log[:, rows]
        log[0] += (1 - SCORE_MEMORY) * (score - log[0])
        log[1] += evidence(score, step_s)
        np.minimum(np.maximum(log[1], HIDING_EVIDENCE - SPARE_EVIDENCE), self._enough, out=log[1])
        log[2] = self._now
        if self._groups.any:
            self._name(rows, found.class_id.take(column), log[3], step_s)
        if self._missing:
            self._log[:, rows] = log

    def _name(self, rows: Index | slice, class_id: I32, other: F64, step_s: float) -> None:
        """Let tracks take the class of their boxes where most of late were not called as they are. ``other``: which
        part was not, until now."""
        differs = class_id != self._class_id[rows]
        if not (some(differs) or np.count_nonzero(other)):
            return
        age_s = np.minimum(self._now - self._first[4, rows] + step_s, NAME_MEMORY_S)
        other += step_s / np.maximum(age_s, step_s) * (differs - other)
        renamed = differs & (other > NAME_DOUBT)
        if some(renamed):
            self._class_id = self._class_id.copy()  # the old one was told
            self._class_id[rows] = np.where(renamed, class_id, self._class_id[rows])
            np.subtract(1, other, out=other, where=renamed)

    def _of_like_size(self, rows: Index | slice, boxes: F64, clear: Mask | None) -> Mask | None:
        """Which of the clear boxes are about as wide and high as their tracks (None: all). A track on trial is not
        held to its size."""
        expected = self._flight.edges[:, rows]
        ratio = (boxes[2:] - boxes[:2]) / (expected[2:] - expected[:2])
        alike = (ratio < ODD_SIZE) & (ratio > 1 / ODD_SIZE)
        if every(alike):
            return clear
        fits: Mask = (alike[0] & alike[1]) | (self._id[rows] == 0)
        return fits if clear is None else fits & clear

    def _judge(self, lost: Mask, stamp: Stamp, step_s: float) -> None:
        """Confirm or drop tracks on trial by their evidence, and drop lost ones that left the picture."""
        stay = np.ones(len(lost), np.bool_)
        if self._missing and stamp.width > 0 and stamp.height > 0:
            x, y = (self._flight.edges[:2] + self._flight.edges[2:]) / 2
            stay = ~lost | ((x >= 0) & (x <= stamp.width) & (y >= 0) & (y <= stamp.height))
        if self._trials:
            trial = self._id == 0
            promising = (self._unseen_s() <= max(TRIAL_S, 1.01 * step_s)) & (self._log[1] >= NO_EVIDENCE)
            stay &= promising | ~trial
            self._confirm(trial & stay & ~lost)  # seen for the second time at least, and not dropped at once
        self._keep(stay)

    def _confirm(self, trial: Mask) -> None:
        """Give an id to those with enough evidence."""
        new = (trial & (self._log[1] >= self._options.confirm)).nonzero()[0]
        self._id[new] = np.arange(self._next_id, self._next_id + len(new))
        self._next_id += len(new)
        self._trials = how_many(self._id == 0)

    def _keep(self, stay: Mask) -> None:
        if not every(stay):
            self._flight.keep(stay)
            self._id, self._class_id = self._id[stay], self._class_id[stay]
            self._log, self._last, self._first = self._log[:, stay], self._last[:, stay], self._first[:, stay]
            self._trials = how_many(self._id == 0)

    def _start(self, found: Found, taken: Mask, step_s: float) -> None:
        """Begin tracks with good boxes that no track took and that no better one covers."""
        eligible = ~taken & (found.score >= self.start_score)
        if not some(eligible):
            return
        new = np.flatnonzero(eligible)
        better = taken | (eligible & (np.arange(len(taken)) < new[:, None]))
        group = self._groups.of(found.class_id)
        better &= group == group[new, None]
        new = new[~(better & (shared_part(found.boxes[:, new], found.boxes) > SHARED)).any(axis=1)]
        boxes, score = found.boxes[:, new], found.score[new]
        self._flight.add(boxes, score)
        self._last = np.concatenate([self._last, boxes], axis=1)
        first = np.concatenate([boxes, np.full((1, len(new)), self._now)])
        self._first = np.concatenate([self._first, first], axis=1)
        self._id = np.concatenate([self._id, np.zeros(len(new), np.int64)])
        self._class_id = np.concatenate([self._class_id, found.class_id[new]])
        log = np.stack([score, evidence(score, step_s), np.full(len(new), self._now), np.zeros(len(new))])
        self._log = np.concatenate([self._log, log], axis=1)
        self._trials += len(new)

    def _confirmed(self, stamp: Stamp) -> Tracks:
        """Confirmed tracks that are seen, or coast within the picture, and for which there is evidence."""
        boxes, shown = self._flight.edges, self._log[1] >= HIDING_EVIDENCE
        if not (self._missing or self._trials) and every(shown):  # as most often
            score = self._log[0].astype(np.float32)  # and all are seen: so does ``shown`` say
            return Tracks(boxes.T.astype(np.float32, order="C"), score, self._class_id, self._id.copy(), shown)
        unseen_s = self._unseen_s()
        shown &= self._id > 0
        if self._missing:
            inside = (boxes[:2] > 0).all(axis=0)
            if stamp.width > 0 and stamp.height > 0:
                inside &= (boxes[2] < stamp.width) & (boxes[3] < stamp.height)
            # a millisecond, as sums of steps are not exact
            shown &= (unseen_s == 0) | (inside & (unseen_s <= self._coast_s + 1e-3))
        rows = shown.nonzero()[0]
        xyxy = np.ascontiguousarray(boxes[:, rows].T, np.float32)
        score = self._log[0, rows].astype(np.float32)
        return Tracks(xyxy, score, self._class_id[rows], self._id[rows], unseen_s[rows] == 0)

    def _past(self) -> Past:
        """Of the tracks that are shown."""
        first = self._first[:, (self._id[:, None] == self._shown.track_id).argmax(axis=0)]
        return Past(np.ascontiguousarray(first[:4].T, np.float32), self._now - first[4])
