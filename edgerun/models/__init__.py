"""Models: the catalogue, the store on disk, labels. Nothing here loads a model; that is the engine's process's work."""

from __future__ import annotations

from edgerun.models.labels import from_metadata
from edgerun.models.resolve import ModelFile, is_path, resolve

__all__ = ["ModelFile", "from_metadata", "is_path", "resolve"]
