"""How sure a track is: evidence that its boxes' scores add up to, in the manner of a track score (Sittler 1964)."""

from __future__ import annotations

import math

import numpy as np

from edgerun.types import F64

MIDDLE_SCORE = 0.4
"""A box with this score is as likely right as wrong: it adds nothing to the evidence."""
LEAST_EVIDENCE, MOST_EVIDENCE = -1.0, 4.0
"""What one box can add to the evidence."""
PACE_S, HASTE = 0.1, 0.6
"""When looks are ``PACE_S`` apart, a box adds its whole evidence; else as much more or less as this power of the time
says. Fewer looks tell more each, as they resemble each other less."""

_MIDDLE_ODDS = MIDDLE_SCORE / (1 - MIDDLE_SCORE)
_LEAST_SCORE, _MOST_SCORE = (
    _MIDDLE_ODDS * math.exp(limit) / (1 + _MIDDLE_ODDS * math.exp(limit)) for limit in (LEAST_EVIDENCE, MOST_EVIDENCE)
)


def evidence(score: F64, step_s: float) -> F64:
    """What boxes of these scores (N,), seen ``step_s`` after the last look, add: their odds against those of
    MIDDLE_SCORE, as a logarithm."""
    odds = np.minimum(np.maximum(score, _LEAST_SCORE), _MOST_SCORE)
    odds /= _MIDDLE_ODDS * (1 - odds)
    told: F64 = np.log(odds, out=odds)
    told *= min(max(step_s / PACE_S, 0.2), 5.0) ** HASTE
    return told
