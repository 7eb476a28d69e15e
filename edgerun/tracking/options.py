"""What can be told to the tracker."""

from __future__ import annotations

from typing import Annotated

from edgerun.limits import POSITIVE, Interval, Len
from edgerun.records import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerOptions:
    """How boxes of one frame are joined to those of the frames before. The defaults suit 2-30 frames per second."""

    low_score: Annotated[float, Interval(ge=0, le=1)] = 0.1
    """Boxes below this score are ignored."""
    high_score: Annotated[float, Interval(ge=0, le=1)] = 0.65
    """Boxes from this score on are given to tracks first; what is below only helps those that found none."""
    start_score: Annotated[float, Interval(ge=0, le=1)] | None = None
    """Only a box with at least this score begins a new track, or is published while no track has it. Default: the
    model's `score`."""
    confirm: Annotated[float, POSITIVE] = 6.0
    """Evidence that confirms a track, of two boxes at least. At 10 fps a box with a score of 0.5 adds 0.4, with 0.7
    1.3, with 0.9 2.6, with 1 4; at fewer frames per second each adds more."""
    coast_s: Annotated[float, Interval(ge=0, le=60)] = 0.1
    """How long a track that is not found is still told of, where it should be by now; at least for one look.
    0: not at all."""
    memory_s: Annotated[float, Interval(gt=0, le=600)] = 1.2
    """How long a track that is not found can be taken up again under its id; at least until the next look but one.
    After the first second only a box from `high_score` on can do so."""

    alike: tuple[Annotated[tuple[str, ...], Len(2)], ...] | None = None
    """Groups of labels that the model takes for one another: what it calls now a car, now a truck is one thing, and
    bears the name that most of its boxes of late had. Default: bus, car, truck and van; `[]`: none."""

    def __post_init__(self) -> None:
        named = [name for group in self.alike or () for name in group]
        if len(set(named)) < len(named):
            raise ValueError("has a label twice under alike; each belongs to one group")
        if not self.low_score <= min(self.high_score, 1.0 if self.start_score is None else self.start_score):
            raise ValueError("set low_score no higher than high_score and start_score")
        if self.coast_s > self.memory_s:
            raise ValueError("set coast_s no longer than memory_s: a forgotten track cannot be told of")
