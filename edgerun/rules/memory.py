"""What is remembered of each track, and who is the same although the id changed.

A tracker loses somebody behind a post and gives a new id a moment later. For rules that is one visit: a new id that
appears near to where one was lost takes over its row. So a row is one somebody, as far as can be told, and ``ended``
says when it is really over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np

from edgerun.boxes import containment, iou
from edgerun.masks import every, some
from edgerun.rules.rest import Rest
from edgerun.tracking import ClassGroups
from edgerun.types import F32, F64, I64, Mask, Stamp, Tracks
from edgerun.zones import Rows

MAX_GAP_S = 3.0
"""A longer silence of the camera, or of one track, counts as this much: nobody knows what happened in it. Cameras that
look less often than that are measured by their own usual pace."""
REJOIN_S = 1.5
"""How long after a track's end a new id close by still is the same somebody."""
REJOIN_REST_S, REJOIN_REST_LOOKS = 3.0, 3.5
"""The same for what was at rest, and at least so many frames of a camera that is looked at rarely. Time in which
somebody stands before it does not count."""
REJOIN_EDGE_S = 0.7
"""The same for what was last seen moving at the picture's edge, counted from there: it most likely went out, and who
comes in at the same place is somebody else."""
REST_S = 10.0
"""From how many seconds of stillness on something is at rest."""
_REACH, _STRAY = 0.5, 0.4
"""How far from the way of who was lost, kept on for at most two seconds, a new id may appear: in box sizes, and in box
sizes more for each second. A size is the root of the box's area; a person walks about one a second."""
_LOOK_S = 0.15
"""How often it is looked whether a row has moved: no need for each frame of a fast camera."""
_STEP_S = 0.4
"""How often a row's way is noted; its speed is taken over one to two of these."""
_LIKENESS = 2.5
"""By which factor the areas of two boxes of the same somebody may differ."""
_EDGE = 0.01
"""How near to the picture's edge a box touches it, as a part of the picture's size."""
_COVER = 0.3
"""The part of a box that somebody before it must hide to excuse that it is not seen."""
_SAME = 0.6
"""IoU of two boxes that are taken for the same thing at rest, whatever the detector calls it."""
_SCORES = 15
"""The score of a track is the median of so many sightings, the latest."""
_MEASURES = np.array([[0.5, 0, -1, 0], [0, 0.5, 0, -1], [0.5, 0, 1, 0], [0, 0.5, 0, 1]], np.float32)
"""From x1 y1 x2 y2 to the middle, the width and the height."""


class Memory(Rows):
    """One row per somebody.

    After an update, for N rows: ``seen`` bool (N,), found in this frame; ``ended`` bool (N,), over for good and dropped
    next; ``replaced`` bool (N,), gone while another row is the same thing at rest; ``extent`` f32 (N,), the size of its
    box: the root of its area in pixels. ``rest`` has the same rows.
    """

    def __init__(self, groups: ClassGroups | None = None) -> None:
        super().__init__([
            ("track_id", "i8"),
            ("class_id", "i4"),
            ("xyxy", "f4", (4,)),
            ("life", "f8"),  # seconds for which it was seen, as far as they count
            ("seen_at", "f8"),
            ("gone_at", "f8"),  # since when no track has this id; inf: one has
            ("scores", "f4", (_SCORES,)),
            ("sightings", "i8"),
            ("way", "f4", (2, 2)),  # the middle of the box at two moments of late, the earlier one first
            ("way_at", "f8", (2,)),  # these moments
        ])  # fmt: skip
        self._groups = groups or ClassGroups()
        self.blank["seen_at"] = self.blank["gone_at"] = np.inf
        self.blank["scores"] = np.nan
        self.rest = Rest()
        self.now = 0.0
        """Seconds that count, see MAX_GAP_S."""
        self.clear()

    def clear(self) -> None:
        """Drop all rows, and forget the pace of the frames."""
        super().clear()
        self._captured: float | None = None
        self._steps: deque[float] = deque(maxlen=5)
        self._step, self._limit, self._stalled = 0.0, MAX_GAP_S, False
        self._key = b"none yet"
        self._gone = True  # whether any row has no track now; True where in doubt
        self._straight = True  # whether the rows are those of the tracks, in their order
        self._unmet: set[int] = set()  # ids that only coasted since their row went to another id
        self.at: I64 = np.zeros(0, np.int64)
        """The row of each track of the last update, i64 (M,)."""
        self.seen = self.ended = self.replaced = np.zeros(0, np.bool_)
        self.extent: F32 = np.zeros(0, np.float32)
        self._looked_at = -np.inf

    def take_over(self, before: Memory) -> None:
        """Go on with its time, too."""
        super().take_over(before)
        self.now, self._captured, self._steps = before.now, before._captured, before._steps
        self._unmet, self._looked_at = before._unmet, before._looked_at

    def keep(self, kept: Mask) -> None:
        """Drop rows; those of present tracks are never among them."""
        super().keep(kept)
        self.ended = self.ended[kept]
        self.at = (np.cumsum(kept) - 1)[self.at]
        self._straight = np.array_equal(self.at, np.arange(len(self.table)))

    def tick(self, captured: float) -> None:
        """Let the time go on to a frame's."""
        step = 0.0 if self._captured is None else max(0.0, captured - self._captured)
        self._captured = captured
        self._limit = MAX_GAP_S
        if step > MAX_GAP_S:
            self._limit = max(MAX_GAP_S, 2 * self.usual_s)
        self._steps.append(step)
        self._stalled = step > self._limit
        self._step = min(step, self._limit)
        self.now += self._step

    @property
    def usual_s(self) -> float:
        """The seconds from frame to frame, by the median of the latest; 0 before the second frame."""
        return sorted(self._steps)[len(self._steps) // 2] if self._steps else 0.0

    def assign(self, tracks: Tracks, stamp: Stamp) -> int | None:
        """Find each track's row: how many new ones ``grow`` must add at the end; None where nothing changed."""
        key = tracks.track_id.tobytes() + tracks.class_id.tobytes()
        if key == self._key and not self._unmet:
            return None
        self._key = key
        count = first_new = len(self.table)
        row_of = {i: row for row, i in enumerate(self.table["track_id"].tolist())}
        ids = tracks.track_id.tolist()
        seen = dict(zip(ids, tracks.seen.tolist(), strict=True))
        self._unmet &= seen.keys()
        unmet = [i for i in ids if seen[i] and (i not in row_of or i in self._unmet)]
        for i, row in self._rejoin(tracks, unmet, seen, stamp):
            old = int(self.table["track_id"][row])
            if i in row_of:  # the row in which it coasted was never used
                self.table["track_id"][row_of[i]] = -1
            row_of.pop(old, None)
            row_of[i] = row
            self.table["track_id"][row] = i
        for i in ids:
            if i not in row_of:
                row_of[i] = count
                count += 1
                if not seen[i]:
                    self._unmet.add(i)
        self._unmet.difference_update(unmet)
        self.at = np.array([row_of[i] for i in ids], np.int64)
        return count - first_new

    def _rejoin(
        self, tracks: Tracks, unmet: list[int], seen: dict[int, bool], stamp: Stamp
    ) -> Iterator[tuple[int, int]]:
        """Ids that are new, and the rows of those who were lost near to where they appear; nearest first."""
        t = self.table
        unseen = [not seen.get(i, False) for i in t["track_id"].tolist()]
        lost = np.flatnonzero(np.array(unseen, np.bool_) & (t["seen_at"] < np.inf))
        if not unmet or not len(lost):
            return
        ids = tracks.track_id.tolist()
        new = np.array([ids.index(i) for i in unmet])
        old, seen_new = t["xyxy"][lost] @ _MEASURES, tracks.xyxy[new] @ _MEASURES
        gap = self.now - t["seen_at"][lost]
        edge = self._at_edge(stamp)[lost]
        held = (self.still[lost] >= REST_S) | edge
        size = np.maximum(np.sqrt(old[:, 2] * old[:, 3]), 1)
        distance = _off_the_way(seen_new[:, None, :2] - old[:, :2], self._ways(lost, old[:, :2])) / size
        reach = _REACH + _STRAY * np.where(held, 0, np.minimum(gap, 2))
        ratio = (seen_new[:, 2] * seen_new[:, 3])[:, None] / size**2
        fits = (distance <= reach) & (ratio < _LIKENESS) & (ratio > 1 / _LIKENESS)
        same = self._groups.of(tracks.class_id[new])[:, None] == self._groups.of(t["class_id"][lost])
        same |= (iou(tracks.xyxy[new], t["xyxy"][lost]) > _SAME) & (self.still[lost] >= REST_S)
        fits &= same & (~edge | (gap <= REJOIN_EDGE_S))
        for flat in np.argsort(np.where(fits, distance, np.inf), axis=None, kind="stable"):
            i, j = divmod(int(flat), len(lost))
            if fits[i, j]:
                fits[i, :] = fits[:, j] = False
                yield unmet[i], int(lost[j])

    def update(self, tracks: Tracks, stamp: Stamp, changed: bool, looked: Mask | None) -> None:
        """Take one frame; ``changed``: ``assign`` found new rows for the tracks; ``looked`` bool (M,): which of them
        were looked at (None: all)."""
        t = self.table
        if changed:
            self._straight = np.array_equal(self.at, np.arange(len(t)))
        rows: slice | I64 = slice(None) if self._straight else self.at
        t["xyxy"][rows] = tracks.xyxy
        self.seen = tracks.seen
        if not self._straight:
            self.seen = np.zeros(len(t), np.bool_)
            self.seen[rows] = tracks.seen
        measures = t["xyxy"] @ _MEASURES
        middle = measures[:, :2]
        self.extent = np.sqrt(measures[:, 2] * measures[:, 3])
        if changed:
            self._meet(tracks, middle)
        credit, found = np.minimum(self.now - t["seen_at"], self._limit), self.at[tracks.seen]
        if every(self.seen):
            t["life"] += credit
            t["seen_at"] = self.now
        else:
            t["life"][found] += credit[found]
            t["seen_at"][found] = self.now
        fresh = tracks.seen if looked is None else tracks.seen & looked
        sighted = self.at[fresh]
        t["scores"][sighted, t["sightings"][sighted] % _SCORES] = tracks.score[fresh]
        t["sightings"][sighted] += 1
        self.rest.turn()
        if self.now - self._looked_at >= _LOOK_S:
            self._looked_at = self.now
            self._note_way(middle)
            self.rest.update(middle, self.extent, self.seen, t["life"], self.now)
        self.ended = self.replaced = np.zeros(len(t), np.bool_)
        if self._gone:
            self._update_ends(stamp)

    def _meet(self, tracks: Tracks, middle: F32) -> None:
        """Note whose tracks came and went."""
        t, at = self.table, self.at
        t["track_id"][at], t["class_id"][at] = tracks.track_id, tracks.class_id
        present = np.zeros(len(t), np.bool_)
        present[at] = True
        t["gone_at"] = np.where(present, np.inf, np.minimum(t["gone_at"], self.now))
        self._gone = not every(present)
        first = self.seen & (t["seen_at"] == np.inf)
        self.rest.table["place"][first], t["seen_at"][first] = middle[first], self.now
        t["way"][first], t["way_at"][first] = middle[first][:, None], self.now

    def _note_way(self, middle: F32) -> None:
        t = self.table
        due = (self.now - t["way_at"][:, 1] >= _STEP_S) & self.seen
        if some(due):
            t["way"][due, 0], t["way_at"][due, 0] = t["way"][due, 1], t["way_at"][due, 1]
            t["way"][due, 1], t["way_at"][due, 1] = middle[due], self.now

    def _ways(self, rows: I64, middle: F32) -> F64:
        """Where rows would have gone since they were seen, from there, f64 (N,2) in pixels."""
        since, seen_at = self.table["way_at"][rows, 0], self.table["seen_at"][rows]
        moving = (self.still[rows] < 1) & (seen_at > since)
        speed = (middle - self.table["way"][rows, 0]) / np.where(moving, seen_at - since, np.inf)[:, None]
        ways: F64 = speed * np.minimum(self.now - seen_at, 2)[:, None]
        return ways

    @property
    def still(self) -> F64:
        """The seconds for which each row has not moved, f64 (N,)."""
        seconds: F64 = self.table["life"] - self.rest.table["halted"]
        return seconds

    def _update_ends(self, stamp: Stamp) -> None:
        t = self.table
        gone = t["gone_at"] < np.inf
        resting = self.still >= REST_S
        waited = gone & (t["gone_at"] < self.now)
        excused = waited & self._stalled
        if some(gone & resting) and some(self.seen):
            there = t["xyxy"][self.seen]
            hidden = containment(t["xyxy"], there).max(axis=1) > _COVER
            self.replaced = gone & resting & (iou(t["xyxy"], there).max(axis=1) > _SAME)
            excused |= waited & resting & hidden & ~self.replaced
        t["gone_at"][excused] += self._step
        at_rest_s = max(REJOIN_REST_S, REJOIN_REST_LOOKS * self.usual_s)
        over = self.now - t["gone_at"] >= np.where(resting, at_rest_s, REJOIN_S)
        over |= self._at_edge(stamp) & (self.now - t["seen_at"] > REJOIN_EDGE_S)
        self.ended = gone & (over | (t["seen_at"] == np.inf))

    def _at_edge(self, stamp: Stamp) -> Mask:
        """Which rows were moving and touched the picture's edge when last seen."""
        size = np.array([stamp.width, stamp.height], np.float32)
        box = self.table["xyxy"]
        touching = (box[:, :2] <= _EDGE * size) | (box[:, 2:] >= (1 - _EDGE) * size)
        edge: Mask = touching.any(axis=1) & (self.still < 1)
        return edge

    def scores(self) -> F32:
        """The score of each row, f32 (N,): the median of its latest sightings."""
        ordered = np.sort(self.table["scores"], axis=1)  # what is not there yet comes last
        count = np.count_nonzero(ordered == ordered, axis=1)
        every = np.arange(len(ordered))
        low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, _SCORES - 1)
        medians: F32 = (ordered[every, low] + ordered[every, high]) / 2
        return medians


def _off_the_way(points: F64, ways: F64) -> F64:
    """How far points (N,M,2) are from the stretches from the origin to ``ways`` (M,2), f64 (N,M)."""
    along = (points * ways).sum(axis=2) / np.maximum((ways**2).sum(axis=1), 1e-9)
    off = points - np.minimum(np.maximum(along, 0), 1)[..., None] * ways
    distance: F64 = np.hypot(off[..., 0], off[..., 1])
    return distance
