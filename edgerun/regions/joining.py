"""One frame's detections from those of its regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgerun.boxes import containment, nms
from edgerun.masks import some
from edgerun.regions.crops import Region
from edgerun.regions.options import RegionOptions
from edgerun.types import Detections, Mask

EDGE_PX = 3.0
"""A box that ends this near to a crop's border is taken as cut by it."""
CONTAINED = 0.7
"""A cut box of which another box of its class holds this part is a piece of the same object."""


def join(
    parts: Sequence[tuple[Detections, Region]],
    held: Detections | None,
    frame: tuple[int, int],
    options: RegionOptions,
) -> Detections:
    """The detections of all regions and those ``held``, each object once, best first.

    Boxes that a crop's border cuts, where it is not the frame's, lose most of their score, and go where a better box
    of their class holds most of them.
    """
    several = [part for part, _ in parts]
    if held is not None:
        several.append(held)
    if not several:
        return Detections.empty()
    joined = Detections.joined(several) if len(several) > 1 else several[0]
    cut = _cut(parts, frame, len(joined))
    if cut is not None:
        joined = replace(joined, score=np.where(cut, joined.score * np.float32(options.cut_score), joined.score))
    kept = nms(joined.xyxy, joined.score, joined.class_id, options.overlap)
    joined = joined.take(kept)
    return joined if cut is None else joined.take(~_fragments(joined, cut[kept]))


def _cut(parts: Sequence[tuple[Detections, Region]], frame: tuple[int, int], count: int) -> Mask | None:
    """Which of ``count`` boxes, those of the parts first, end at a border of their region that is not the frame's.
    None: none does."""
    whole = (0, 0, *frame)
    if all(region.xyxy == whole for _, region in parts):
        return None
    cut = np.zeros(count, np.bool_)
    start = 0
    for part, region in parts:
        border = np.array(region.xyxy, np.float32)
        border[border == whole] = np.inf
        cut[start : start + len(part)] = (np.abs(part.xyxy - border) < EDGE_PX).any(axis=1)
        start += len(part)
    return cut if some(cut) else None


def _fragments(found: Detections, cut: Mask) -> Mask:
    """Which boxes are cut and lie mostly within another box of their class, which is whole or at least as good."""
    inside = (containment(found.xyxy, found.xyxy) > CONTAINED) & (found.class_id[:, None] == found.class_id)
    inside &= cut[:, None] & ~(cut & (found.score <= found.score[:, None]))
    fragments: Mask = inside.any(axis=1)
    return fragments
