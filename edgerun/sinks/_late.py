"""A module that a library imports at its top, but only needs for what is not done here: imported at its first use."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType


def put_off(name: str) -> None:
    """Let ``import name`` come at once, and the module when something of it is asked for. Saves what it imports in its
    turn: for ``urllib.request`` a dozen modules of ``http`` and ``email``, 1.2 MB. Does nothing once it is imported."""
    if name in sys.modules:
        return
    parent, _, own = name.rpartition(".")
    stand_in = ModuleType(name)

    def real(attribute: str) -> object:
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
        return getattr(importlib.import_module(name), attribute)

    stand_in.__getattr__ = real  # type: ignore[method-assign]  # a module's own, by PEP 562
    sys.modules[name] = stand_in
    setattr(importlib.import_module(parent), own, stand_in)
