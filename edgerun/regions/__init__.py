"""Where to look: which parts of a frame are worth an inference, within a budget, and how their results are joined."""

from edgerun.regions.crops import Region
from edgerun.regions.memory import Budget
from edgerun.regions.options import RegionOptions
from edgerun.regions.planner import RegionPlanner

__all__ = ["Budget", "Region", "RegionOptions", "RegionPlanner"]
