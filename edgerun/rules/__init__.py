"""What deserves an alert: rules over tracks, zones and lines."""

from __future__ import annotations

from edgerun.rules.options import RuleOptions
from edgerun.rules.schedule import Place

__all__ = ["Place", "RuleOptions"]
