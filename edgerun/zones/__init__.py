"""Who is inside which zone, who passed which line, and where on the ground somebody stands."""

from __future__ import annotations

from edgerun.zones.ground import Ground
from edgerun.zones.options import GroundOptions, LineOptions, ZoneOptions
from edgerun.zones.presence import Zones
from edgerun.zones.rows import Rows, in_both

__all__ = ["Ground", "GroundOptions", "LineOptions", "Rows", "ZoneOptions", "Zones", "in_both"]
