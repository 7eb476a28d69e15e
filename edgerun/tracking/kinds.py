"""Which classes a detector takes for one another, so that one thing is not followed under two names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgerun.types import I32

USUAL = (("bus", "car", "truck", "van"),)
"""Vehicles, which detectors call by turns what is none of them for sure. Nothing of which one must not be missed where
the other is nothing special, as a person and a dog."""


class Kinds:
    """Groups of the labels in ``class_names``, which stand by class id; whatever is in no group is its own kind.

    Raises ValueError for a label that is not among them, and for one in two groups. Of the groups that are USUAL,
    those labels count that are.
    """

    def __init__(self, groups: Sequence[Sequence[str]] | None = (), class_names: Sequence[str] = ()) -> None:
        kinds = np.arange(len(class_names), dtype=np.int32)
        for group in USUAL if groups is None else groups:
            for name in group if groups is not None else ():
                if name not in class_names:
                    raise ValueError(f"the model does not know the label {name!r} under `tracker.alike`")
            ids = [number for number, name in enumerate(class_names) if name in group]
            kinds[ids] = ids[:1]
        self._kinds = kinds
        others = np.flatnonzero(kinds != np.arange(len(kinds)))
        self._others = frozenset(others.tolist())
        self.any = bool(self._others)
        """Whether any two classes are of one kind."""

    def of(self, class_id: I32) -> I32:
        """What kind each is of, by the class id of the first that is: i32 (N,); the same array where that changes
        nothing."""
        if self._others.isdisjoint(class_id.tolist()):
            return class_id
        known = self._kinds.take(class_id, mode="clip")
        return np.where(class_id < len(self._kinds), known, class_id)
