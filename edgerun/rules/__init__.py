"""What deserves an alert: rules over tracks, zones and lines. Pure; forgets who is gone."""

from __future__ import annotations

from edgerun.rules.book import RuleBook
from edgerun.rules.options import RuleOptions
from edgerun.rules.schedule import Place

__all__ = ["Place", "RuleBook", "RuleOptions"]
