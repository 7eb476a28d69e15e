"""Whom a rule is about: labels, score, size and shape."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgerun.labels import not_known
from edgerun.masks import some
from edgerun.rules.memory import Memory
from edgerun.rules.options import RuleOptions
from edgerun.types import Mask, Stamp
from edgerun.zones import Rows


class Filters(Rows):
    """Which of N rows pass which of R rules: ``passed`` bool (N,R). Who passed once does so for good, so a score that
    wavers around its limit makes nobody come and go. ``changed``: somebody may have passed in this frame."""

    def __init__(self, rules: Sequence[RuleOptions], labels: Sequence[str]) -> None:
        fields = [("ours", "?", (len(rules),)), ("passed", "?", (len(rules),))]
        super().__init__(fields, {"ours": rules, "passed": rules})
        for rule in rules:
            for label in rule.labels:
                if label not in labels:
                    raise ValueError(f"rule {rule.name!r}: {not_known(label, labels)}")
        rows = [[not r.labels or label in r.labels for r in rules] for label in labels]
        rows.append([not r.labels for r in rules])  # a class id without a label
        self._ours = np.array(rows, np.bool_)
        self._open = self.table["ours"]  # who may still pass
        self.changed = False
        self._score = np.array([r.min_score for r in rules], np.float32) - np.float32(1e-6)
        self._area = np.array([(r.min_area, r.max_area) for r in rules]).reshape(-1, 2).T
        self._aspect = np.array([(r.min_aspect, r.max_aspect) for r in rules]).reshape(-1, 2).T

    @property
    def passed(self) -> Mask:
        passed: Mask = self.table["passed"]
        return passed

    def update(self, memory: Memory, stamp: Stamp, changed: bool) -> None:
        """Take one frame; ``changed``: rows came or took another class."""
        table, box = self.table, memory.table["xyxy"]
        if changed:
            classes = memory.table["class_id"]
            unknown = (classes < 0) | (classes >= len(self._ours) - 1)
            table["ours"] = self._ours[np.where(unknown, -1, classes)]
            self._open = table["ours"] & ~table["passed"]
        self.changed = changed
        if not some(self._open):
            return
        undecided = self._open & memory.seen[:, None]
        width, height = box[:, 2] - box[:, 0], box[:, 3] - box[:, 1]
        area = (width * height / float(stamp.width * stamp.height))[:, None]
        aspect = (width / np.maximum(height, 1e-6))[:, None]
        fits = (area >= self._area[0]) & (area <= self._area[1])
        fits &= (aspect >= self._aspect[0]) & (aspect <= self._aspect[1])
        fits &= memory.scores()[:, None] >= self._score
        fits &= undecided
        if some(fits):
            table["passed"] |= fits
            self._open &= ~fits
            self.changed = True

    def keep(self, kept: Mask) -> None:
        """Drop the rows that are not kept."""
        super().keep(kept)
        self._open = self._open[kept]

    def clear(self) -> None:
        """Drop all rows."""
        super().clear()
        self._open = self.table["ours"]
