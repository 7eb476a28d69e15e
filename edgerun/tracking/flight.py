"""Where boxes are and how fast they go: one constant-velocity Kalman filter per track, for all tracks at once.

The four edges of a box are filtered with the same gains, as they are measured alike and pushed alike, so one
covariance serves all of them; the velocity is that of the centre, as a size hardly changes steadily. All noise is in
heights of the box, so that near and far objects are treated alike, and in seconds, so that a gap between two looks
widens what may have happened meanwhile (white noise acceleration, Bar-Shalom et al. 2001, section 6.2).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

PUSH = 1.0
"""Square root of the acceleration's spectral density, in heights / s^1.5."""
NOISE = 0.14
"""Standard deviation of a measured edge at a score of 1, in heights."""
DOUBT = 0.5
"""By which part that grows as the score falls to 0."""
SPEED = 1.4
"""Standard deviation of a newcomer's velocity, in heights / s."""
CONTESTED = 0.3
"""The part of a correction that is made when the measurement may be of another object."""
FADE_S = 15.0
"""Time in which a velocity falls to 1/e."""


class Flight:
    """M boxes in motion: ``edges`` f64 (4, M) are the expected x1 y1 x2 y2 in pixels."""

    def __init__(self) -> None:
        self._step_s = -1.0
        self._hold(np.zeros((9, 0)))

    def _hold(self, table: F64) -> None:
        """Rows of the table: four edges, two velocities, variance of an edge, covariance, variance of a velocity."""
        self._table = table
        self.edges = table[:4]

    def unsure(self) -> F64:
        """Standard deviation of the expected edges in pixels (M,), as far as it goes beyond that of measured ones."""
        height = self.edges[3] - self.edges[1]
        beyond: F64 = np.sqrt(np.maximum(self._table[6] - (NOISE * height) ** 2, 0))
        return beyond

    def predict(self, step_s: float) -> None:
        """Carry all boxes ``step_s`` seconds on."""
        if step_s != self._step_s:
            self._step_s, self._carry, self._push = step_s, _transition(step_s), _driving(step_s)
        height = self.edges[3] - self.edges[1]
        np.matmul(self._carry, self._table, out=self._table)
        self._table[6:] += self._push * (height * height)

    def update(self, rows: Index | slice, measured: F64, score: F64, clear: Mask | None = None) -> None:
        """Take in one measurement each for K rows: edges (4, K) and their scores (K,).

        Where a measurement is not ``clear`` (K,), it may be of another object: it moves the box a little, but tells
        nothing of the velocity.
        """
        table = self._table[:, rows]  # a view of a slice, else a copy
        pp, pv, vv = table[6:]
        total = pp + _variance(measured, score)
        gain, swing = pp / total, pv / total
        if clear is not None:
            gain *= np.where(clear, 1.0, CONTESTED)
            swing *= clear
        off = measured - table[:4]
        table[4:6] += swing / 2 * (off[:2] + off[2:])
        off *= gain
        table[:4] += off
        vv -= swing * pv
        table[6:8] *= 1 - gain
        if not isinstance(rows, slice):
            self._table[:, rows] = table

    def add(self, measured: F64, score: F64) -> None:
        """Append K boxes (4, K) that are seen for the first time."""
        table = np.zeros((9, measured.shape[1]))
        table[:4] = measured
        table[6] = _variance(measured, score)
        table[8] = (SPEED * (measured[3] - measured[1])) ** 2
        self._hold(np.concatenate([self._table, table], axis=1))

    def halt(self) -> None:
        """Nothing moves: forget all velocities."""
        self._table[4:6] = 0

    def keep(self, rows: Mask) -> None:
        """Drop the others."""
        self._hold(self._table[:, rows])


def _transition(step_s: float) -> F64:
    """What a step makes of a column of the table: (9, 9)."""
    fade = math.exp(-step_s / FADE_S)
    reach = FADE_S * (1 - fade)
    carry = np.eye(9)
    carry[[0, 2], 4] = carry[[1, 3], 5] = reach
    carry[4, 4] = carry[5, 5] = fade
    carry[6:, 6:] = [[1, 2 * reach, reach * reach], [0, fade, fade * reach], [0, 0, fade * fade]]
    return carry


def _driving(step_s: float) -> F64:
    """What a step adds to the covariance's entries, for a height of 1: (3, 1)."""
    return PUSH * PUSH * np.array([[step_s**3 / 3], [step_s**2 / 2], [step_s]])


def _variance(measured: F64, score: F64) -> F64:
    deviation = (measured[3] - measured[1]) * (NOISE * (1 + DOUBT) - NOISE * DOUBT * score)
    variance: F64 = deviation * deviation
    return variance
