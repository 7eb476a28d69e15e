"""Who is who from frame to frame."""

from edgerun.tracking.groups import ClassGroups
from edgerun.tracking.options import TrackerOptions
from edgerun.tracking.tracker import Tracker

__all__ = ["ClassGroups", "Tracker", "TrackerOptions"]
