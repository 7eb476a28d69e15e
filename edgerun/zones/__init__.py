"""Who is inside which zone, who passed which line, and where on the ground somebody stands."""

from __future__ import annotations

from edgerun.zones.ground import Ground
from edgerun.zones.options import GroundOptions, LineOptions, ZoneOptions
from edgerun.zones.presence import Rows, Zones

__all__ = ["Ground", "GroundOptions", "LineOptions", "Rows", "ZoneOptions", "Zones"]
