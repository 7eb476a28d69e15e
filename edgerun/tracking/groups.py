"""Which classes a detector takes for one another, so that one thing is not followed under two names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgerun.labels import not_known
from edgerun.types import I32

USUAL = (("bus", "car", "truck", "van"),)
"""Vehicles, which detectors call by turns what is none of them for sure. Nothing of which one must not be missed where
the other is nothing special, as a person and a dog."""


class ClassGroups:
    """Groups of the labels in ``class_names``, which stand by class id; each other class is a group of its own.
    ``groups`` None: those that are USUAL, as far as there are such labels.

    Raises ValueError for a label that is not there.
    """

    def __init__(self, groups: Sequence[Sequence[str]] | None = (), class_names: Sequence[str] = ()) -> None:
        self._first: dict[int, int] = {}
        for group in USUAL if groups is None else groups:
            unknown = set(group).difference(class_names)
            if groups is not None and unknown:
                raise ValueError(f"tracker.alike: {not_known(min(unknown), class_names)}")
            ids = [number for number, name in enumerate(class_names) if name in group]
            self._first |= dict.fromkeys(ids[1:], min(ids, default=0))

    @property
    def any(self) -> bool:
        """Whether any two classes are of one group."""
        return bool(self._first)

    def of(self, class_id: I32) -> I32:
        """Which group each is of, by the class id of its first: i32 (N,); the same array where that changes nothing."""
        ids = class_id.tolist()
        if self._first.keys().isdisjoint(ids):
            return class_id
        return np.array([self._first.get(one, one) for one in ids], np.int32)
