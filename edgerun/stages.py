"""The seams of the house: what a source, an engine, a head and a sink must do.

Constructors are part of each seam (see ``plugins``): every plugin takes its own frozen options first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from edgerun.records import dataclass
from edgerun.types import Array, Detections, Fit, Frame, InputLayout, Message, ModelIO


@dataclass(frozen=True, slots=True)
class Feed:
    """What a source is asked for: the camera's name for the stamps, and frames per second (0: all there are)."""

    camera: str
    fps: float


class Source(Protocol):
    """A way of capture. Built as ``X(options, feed)``, which opens nothing."""

    def frames(self) -> Iterator[Frame]:
        """Open, then yield frames as they come; end only when the source is finite and over.

        Raises SourceError when it cannot be opened or read within its timeouts.
        """
        ...

    def close(self) -> None:
        """End a running ``frames`` soon; callable from any thread, more than once."""
        ...


class Engine(Protocol):
    """A runtime with one model loaded. Built as ``X(options, model_path)``; raises EngineError or ModelError."""

    @property
    def io(self) -> ModelIO: ...

    def infer(self, tensors: Sequence[Array]) -> Sequence[Array]:
        """Raw input tensors to raw output tensors, in the order and dtypes of ``io``; the outputs may be views
        that the next call overwrites. Raises EngineError."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class Preloading(Protocol):
    """An engine's class that can import its library ahead, once for several processes."""

    def preload(self) -> object:
        """A static method. Starts no thread and touches no device. Raises EngineError."""
        ...


class Head(Protocol):
    """One output layout. Built as ``X(options)``; stateless, so one instance may serve several threads."""

    def layout(self, io: ModelIO) -> InputLayout:
        """How the model wants its picture."""
        ...

    def decode(self, outputs: Sequence[Array], io: ModelIO, fit: Fit, min_score: float) -> Detections:
        """Raw outputs to boxes in frame pixels with ``score >= min_score``. Raises ValueError on shapes it does
        not know."""
        ...


@runtime_checkable
class FixedInputs(Protocol):
    """A head whose models take more than the picture: values that stay the same from picture to picture."""

    def extra_inputs(self, io: ModelIO) -> Sequence[Array]:
        """The values of ``io.inputs[1:]``, in that order. Raises ValueError for inputs that it does not know."""
        ...


Verdict: TypeAlias = Literal["taken", "unclaimed", "refused", "oversized"]
"""What became of an offered message: taken for somebody, taken with nobody listening, not taken, or not taken as it is
larger than this connection carries."""


@dataclass(frozen=True, slots=True)
class Request:
    """What came in from outside, unchecked. ``response_topic`` and ``correlation`` are empty where none was given."""

    topic: str
    payload: bytes
    retained: bool = False
    response_topic: str = ""
    correlation: bytes = b""


class SinkListener(Protocol):
    """Whom a sink tells of its connection; called from the sink's own thread, so it only takes notes."""

    def connected(self, window: int, session: int) -> None:
        """Up; ``window`` offers may be unanswered at a time. ``session`` is this connection's number."""
        ...

    def disconnected(self, reason: str) -> None:
        """Down, or still not up, and why in words; offers that were not answered never will be."""
        ...

    def denied(self, topic: str, reason: str) -> None:
        """Nothing will come from there, and why in words; told after each connect."""
        ...

    def answered(self, token: int, verdict: Verdict, reason: str) -> None: ...

    def received(self, request: Request) -> None: ...


class Sink(Protocol):
    """Where messages go. Built as ``X(options, ...)``, which opens nothing; it reconnects by itself."""

    def open(self, listener: SinkListener) -> None:
        """Start to connect; returns at once."""
        ...

    def send(self, message: Message) -> bool:
        """Best effort, from any thread, never blocks; False when it had to be dropped."""
        ...

    def offer(self, message: Message, token: int, session: int) -> bool:
        """Send so that ``answered(token, ...)`` follows, unless the connection goes first: with QoS 0 as soon as it is
        sent, as nothing more is known of it. False when the session is over, or takes nothing just now."""
        ...

    def reconnect(self, reason: str) -> None:
        """Give the connection up and start a new one; what was not answered is void."""
        ...

    def close(self) -> None: ...


class Copies(Protocol):
    """Where copies of all messages go, beside the sink that answers for them. Built as ``X(options, ...)``."""

    def open(self) -> None: ...

    def send(self, message: Message) -> None:
        """Best effort, from any thread, never blocks."""
        ...

    def close(self) -> None:
        """Send what waits, as far as that takes no time."""
        ...
