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

PUSH = 1.0
"""Spectral density of the acceleration (square root), in heights / s^1.5."""
NOISE = 0.14
"""Standard deviation of a measured edge at a score of 1, in heights."""
DOUBT = 0.25
"""By which part that grows as the score falls to 0."""
SPEED = 1.2
"""Standard deviation of a newcomer's velocity, in heights / s."""
FADE_S = 10.0
"""Time in which a velocity falls to 1/e."""


class Flight:
    """M boxes in motion.

    Attributes:
        edges: f64 (4, M), the expected x1 y1 x2 y2 in pixels.
        spread: f64 (M,), variance of each edge in pixels squared.
    """

    def __init__(self) -> None:
        self._take(np.zeros((9, 0)))

    def _take(self, table: F64) -> None:
        """Rows of the table: four edges, two velocities, variance of an edge, covariance, variance of a velocity."""
        self._table = table
        self.edges, self._velocity, self.spread = table[:4], table[4:6], table[6]

    def predict(self, step_s: float) -> None:
        """Carry all boxes ``step_s`` seconds on."""
        box, velocity, (pp, pv, vv) = self.edges, self._velocity, self._table[6:]
        fade = math.exp(-step_s / FADE_S)
        reach = FADE_S * (1 - fade)
        way = reach * velocity
        box[:2] += way
        box[2:] += way
        velocity *= fade
        push = (PUSH * (box[3] - box[1])) ** 2
        gained = reach * vv
        pp += reach * (2 * pv + gained) + push * (step_s**3 / 3)
        pv += gained
        pv *= fade
        pv += push * (step_s**2 / 2)
        vv *= fade * fade
        vv += push * step_s

    def update(self, rows: Index, measured: F64, score: F64) -> None:
        """Take in one measurement each for K rows: edges (4, K) and their scores (K,)."""
        table = self._table[:, rows]
        pp, pv, vv = table[6:]
        off = measured - table[:4]
        total = pp + _variance(measured, score)
        gain, swing = pp / total, pv / total
        table[:4] += gain * off
        table[4:6] += swing / 2 * (off[:2] + off[2:])
        vv -= swing * pv
        pv -= gain * pv
        pp -= gain * pp
        self._table[:, rows] = table

    def add(self, measured: F64, score: F64) -> None:
        """Append K boxes (4, K) that are seen for the first time."""
        table = np.zeros((9, measured.shape[1]))
        table[:4] = measured
        table[6] = _variance(measured, score)
        table[8] = (SPEED * (measured[3] - measured[1])) ** 2
        self._take(np.concatenate([self._table, table], axis=1))

    def halt(self) -> None:
        """Nothing moves: forget all velocities."""
        self._velocity[:] = 0

    def keep(self, rows: npt.NDArray[np.bool_]) -> None:
        """Drop the others."""
        self._take(self._table[:, rows])


def _variance(measured: F64, score: F64) -> F64:
    variance: F64 = (NOISE * (measured[3] - measured[1]) * (1 + DOUBT * (1 - score))) ** 2
    return variance
