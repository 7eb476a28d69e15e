"""Who is who from frame to frame."""

from edgerun.tracking.kinds import Kinds
from edgerun.tracking.options import TrackerOptions
from edgerun.tracking.tracker import Tracker

__all__ = ["Kinds", "Tracker", "TrackerOptions"]
