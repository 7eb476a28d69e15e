"""What is told of a camera, and when it is called what."""

from __future__ import annotations

from edgerun.messages import CameraState
from edgerun.records import dataclass


@dataclass(frozen=True, slots=True)
class CameraReport:
    """What the state tells of a camera. ``since`` in unix seconds."""

    state: CameraState
    since: float
    reason: str
    fps: float
    asked_fps: float
    late_fps: float
    """Frames a second that were passed over because the engine was busy."""
    dropped: dict[str, int]
    score: float
    """The lowest that starts a track."""
    paused: bool
    """By command, which may be before its next frame, or while there are none."""
    reconnects: int = 0
    replaced: int = 0
    """How often its capture hung and was left behind for a new one."""
    stuck: bool = False
    """It hangs, and so do those it was replaced by: only a new start of the daemon can help."""

    @property
    def overloaded(self) -> str:
        """In words, when the engine does not keep up with what is asked; else empty."""
        if self.state != "ok" or self.late_fps < 0.1 * self.asked_fps:
            return ""
        return f"overloaded: serving {self.fps:.1f} of {self.asked_fps:g} fps"


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraTerms:
    """What a camera is due in overload, see ``Lane``, and when one that says nothing new is called what.

    ``frozen_s`` 0: never.
    """

    weight: float = 1.0
    stalled_s: float
    frozen_s: float
    stuck_s: float = 60.0
    """Longer than all timeouts of the source."""
