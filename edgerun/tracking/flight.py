"""Where boxes are and how fast they go: one constant-velocity Kalman filter per track, for all tracks at once.

The four edges of a box are filtered with the same gains, as they are measured alike and pushed alike, so one
covariance serves all of them; the velocity is that of the centre, as a size hardly changes steadily. All noise is in
heights of the box, so that near and far objects are treated alike, and in seconds, so that a gap between two looks
widens what may have happened meanwhile (white noise acceleration, Bar-Shalom et al. 2001, section 6.2).
"""

from __future__ import annotations

import numpy as np

from edgerun.masks import some
from edgerun.types import F64, Index, Mask

PUSH = 0.9
"""Square root of the acceleration's spectral density, in heights / s^1.5."""
NOISE = 0.13
"""Standard deviation of a measured edge at a score of 1, in heights."""
DOUBT = 1.2
"""By which part that grows as the score falls to 0."""
SPEED = 1.7
"""Standard deviation of a newcomer's velocity, in heights / s."""
CONTESTED = 0.3
"""The part of a correction that is made when the measurement may be of another object."""

_CENTRE = np.array([[0.5, 0, 0.5, 0], [0, 0.5, 0, 0.5]])
"""From edges to the centre."""


class Flight:
    """M boxes in motion: ``edges`` f64 (4, M) are the expected x1 y1 x2 y2 in pixels."""

    def __init__(self) -> None:
        self._step_s = -1.0
        self._carry = np.eye(10)
        self._hold(np.zeros((10, 0)))

    def _hold(self, table: F64) -> None:
        """Rows of the table: four edges, two velocities, variance of an edge, covariance, variance of a velocity, and
        the square of the height."""
        self._table = table
        self.edges = table[:4]

    def unsure(self, weight: float, most: float) -> F64 | None:
        """By how much the expected edges are less sure than measured ones, in pixels (M,): their standard deviation
        times ``weight``, at most ``most`` heights. None: all are sure."""
        square = self._table[9]
        beyond = self._table[6] - NOISE * NOISE * square
        if not some(beyond > 0):
            return None
        beyond *= weight * weight
        deviation: F64 = np.sqrt(np.minimum(np.maximum(beyond, 0), most * most * square))
        return deviation

    def predict(self, step_s: float) -> None:
        """Carry all boxes ``step_s`` seconds on."""
        if step_s != self._step_s:
            self._step_s = step_s
            _fill(self._carry, step_s)
        self._hold(self._carry.dot(self._table))

    def update(self, rows: Index | slice, measured: F64, score: F64, clear: Mask | None = None) -> None:
        """Take in one measurement each for K rows: edges (4, K) and their scores (K,).

        Where a measurement is not ``clear`` (K,), it may be of another object: it moves the box a little, but tells
        nothing of the velocity.
        """
        table = self._table[:, rows]  # a view of a slice, else a copy
        gains = table[6:8] / (table[6] + _variance(measured, score))
        gain, swing = gains
        if clear is not None:
            gain *= np.where(clear, 1.0, CONTESTED)
            swing *= clear
        off = measured - table[:4]
        table[4:6] += _CENTRE.dot(off) * swing
        off *= gain
        table[:4] += off
        table[8] -= swing * table[7]
        table[6:8] *= 1 - gain
        height = table[3] - table[1]
        np.multiply(height, height, out=table[9])
        if not isinstance(rows, slice):
            self._table[:, rows] = table

    def add(self, measured: F64, score: F64) -> None:
        """Append K boxes (4, K) that are seen for the first time."""
        table = np.zeros((10, measured.shape[1]))
        table[:4] = measured
        table[6] = _variance(measured, score)
        table[9] = (measured[3] - measured[1]) ** 2
        table[8] = SPEED * SPEED * table[9]
        self._hold(np.concatenate([self._table, table], axis=1))

    def halt(self) -> None:
        """Nothing moves: forget all velocities."""
        self._table[4:6] = 0

    def keep(self, rows: Mask) -> None:
        """Drop the others."""
        self._hold(self._table[:, rows])


def _fill(carry: F64, step_s: float) -> None:
    """Write into ``carry`` (10, 10) what a step makes of a column of the table."""
    carry[0, 4] = carry[1, 5] = carry[2, 4] = carry[3, 5] = carry[7, 8] = step_s
    carry[6, 7], carry[6, 8] = 2 * step_s, step_s**2
    drive = PUSH * PUSH
    carry[6, 9], carry[7, 9], carry[8, 9] = drive * step_s**3 / 3, drive * step_s**2 / 2, drive * step_s


def _variance(measured: F64, score: F64) -> F64:
    deviation: F64 = (measured[3] - measured[1]) * (NOISE * (1 + DOUBT) - NOISE * DOUBT * score)
    deviation *= deviation
    return deviation
