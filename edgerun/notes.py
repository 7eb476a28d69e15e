"""What was found out about this device, kept in the user's cache for later starts.

What cannot be read was never found out, and a disk that cannot be written is no harm.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any

from edgerun.folders import cache_dir, write_whole

_MOST = 50


class Notes:
    """Values by key, in a JSON file of this name; the oldest give way."""

    def __init__(self, name: str) -> None:
        self._name = name

    def get(self, key: str) -> Any:
        """None where there is none. What the file says may be anything."""
        return self._read().get(key)

    def put(self, key: str, value: object) -> None:
        known = self._read()
        known.pop(key, None)
        known[key] = value
        place = cache_dir() / self._name
        with contextlib.suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(place, json.dumps(dict(list(known.items())[-_MOST:]), indent=1).encode())

    def _read(self) -> dict[str, Any]:
        try:
            known = json.loads((cache_dir() / self._name).read_text())
        except (OSError, ValueError, RecursionError):
            return {}
        return known if isinstance(known, dict) else {}
