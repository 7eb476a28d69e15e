"""A module that a library imports at its top, but only needs for what is not done here: imported at its first use."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType


def put_off(name: str, **meanwhile: object) -> None:
    """Let ``import name`` come at once, and the module when something of it is asked for that is not in ``meanwhile``.
    Saves what it imports in its turn: for ``urllib.request`` a dozen modules of ``http`` and ``email``, 1.2 MB, for
    ``ssl`` and ``hashlib`` OpenSSL, 4.5 MB. Does nothing once it is imported."""
    if name in sys.modules:
        return
    parent, _, own = name.rpartition(".")
    stand_in = ModuleType(name)

    def real(attribute: str) -> object:
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
        module = importlib.import_module(name)
        vars(stand_in).update(vars(module))
        return getattr(module, attribute)

    vars(stand_in).update(meanwhile, __getattr__=real)  # a module's own, by PEP 562
    sys.modules[name] = stand_in
    if parent:
        setattr(importlib.import_module(parent), own, stand_in)
