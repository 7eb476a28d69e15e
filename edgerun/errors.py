"""The exception tree.

    EdgerunError
    +-- ConfigError    the configuration cannot be used; a retry never helps
    +-- SourceError    a camera cannot be opened or read
    +-- EngineError    an accelerator or its runtime refused, hung or died
    +-- ModelError     a model or labels file is missing, damaged or of the wrong kind
        +-- ReplacedError  another file lies where the model's was
    +-- SinkError      a message cannot be delivered or stored

Edges turn vendor exceptions into these; only ``runtime`` and ``cli`` handle them.
Every message is one sentence or two that say what is wrong and what to do.
"""

from __future__ import annotations


class EdgerunError(Exception):
    """Base of all errors that edgerun raises on purpose.

    ``retriable`` tells the runtime whether trying the same thing again can help; None: as is usual with its kind.
    """

    retriable = False

    def __init__(self, message: str, *, retriable: bool | None = None) -> None:
        super().__init__(message)
        if retriable is not None:
            self.retriable = retriable

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), str(self), self.retriable)


def _rebuild(kind: type[EdgerunError], message: str, retriable: bool) -> EdgerunError:
    return kind(message, retriable=retriable)


class ConfigError(EdgerunError):
    """The configuration cannot be used."""


class SourceError(EdgerunError):
    """A camera cannot be opened or read. Retriable unless said otherwise."""

    retriable = True


class EngineError(EdgerunError):
    """An inference engine refused, failed, hung or died."""


class ModelError(EdgerunError):
    """A model or labels file is missing, damaged or of the wrong kind."""


class ReplacedError(ModelError):
    """Another file lies where that was which is to be loaded. Retriable: it may be put back."""

    retriable = True


class SinkError(EdgerunError):
    """A message cannot be delivered or stored. Retriable unless said otherwise."""

    retriable = True
