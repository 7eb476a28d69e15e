"""What the daemon says of itself: the ``state`` payload, and the answer to ``edgerun health``."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, field
from typing import Any

from edgerun import __version__
from edgerun.messages import camera_state, iso, state
from edgerun.records import dataclass
from edgerun.runtime.cameras.camera_report import CameraReport
from edgerun.runtime.delivery.counts import DeliveryCounts
from edgerun.runtime.delivery.delivery import Delivery
from edgerun.runtime.health.footprint import processes, pss_mb
from edgerun.runtime.health.memory import rss_mb
from edgerun.runtime.health.vitals import Vitals
from edgerun.runtime.inference.detector import Detector
from edgerun.since import Since
from edgerun.topics import Topics

STARTED = Since()
_REPEAT_S, _SOON_S = 60.0, 10.0
_STALE_S = 5.0
_FREE_TEXT = ("reason", "error", "fallback", "previous_end", "wrong", "command", "refusal")
"""Endings of the keys whose values are sentences."""


@dataclass(frozen=True, slots=True)
class Report:
    """How everything is at one moment."""

    detector: Detector
    cameras: Mapping[str, CameraReport]
    delivery: DeliveryCounts
    stalled_loops: list[str]
    reload_error: str
    ready: bool
    at: float
    """Monotonic seconds."""
    hide: Callable[[str], str] = str
    """Takes credentials out of a text."""
    vitals: Vitals = field(default_factory=Vitals)
    fallback: str = ""
    """Why the last good configuration is served; empty: the file's is."""
    previous_end: str = ""
    latency_ms: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By stage: p50, p95, p99; empty while metrics are off."""
    metrics_error: str = ""
    rollout: Mapping[str, object] = field(default_factory=dict)

    @property
    def stuck(self) -> list[str]:
        """What hangs and could not be replaced. A camera never counts as a loop that must advance."""
        return self.stalled_loops + [f"camera {name}" for name, camera in self.cameras.items() if camera.stuck]

    def key(self) -> object:
        """Changes when a reader of the state should hear of it at once."""
        return (
            {
                name: (camera.state, camera.reason, bool(camera.overloaded), camera.asked_fps)
                for name, camera in self.cameras.items()
            },
            (self.detector.model.name, self.detector.model.sha256),
            self.detector.engine,
            self.detector.dispatcher.reasons,
            self.detector.preference.verdicts,
            [(one.candidate.name, one.fallback_reason, one.restarts) for one in self.detector.dispatcher.workers],
            (self.delivery.degraded, self.delivery.connected, self.delivery.error, self.delivery.evicted),
            self.stuck,
            self.reload_error,
            self.metrics_error,
            self.fallback,
            self.rollout.get("state"),
            self.vitals.key(),
        )

    def payload(self) -> dict[str, Any]:
        """The ``state`` message, without what every message has, and without credentials."""
        told: dict[str, Any] = _hidden(self._payload(), self.hide)
        return told

    def _payload(self) -> dict[str, Any]:
        return {
            "version": __version__,
            "since": iso(STARTED.wall),
            "model": {"name": self.detector.model.name, "sha256": self.detector.model.sha256},
            "engine": self.detector.engine,
            "engine_choice": self.detector.preference.reasons(),
            "workers": self._workers(),
            "cameras": {
                name: {
                    "state": camera.state,
                    "reason": camera.reason,
                    "fps": round(camera.fps, 2),
                    "asked_fps": camera.asked_fps,
                    "overloaded": camera.overloaded,
                    "reconnects": camera.reconnects,
                    "replaced": camera.replaced,
                }
                for name, camera in self.cameras.items()
            },
            "outbox": {
                "depth": self.delivery.depth,
                "unclaimed": self.delivery.unclaimed,
                "evicted": self.delivery.evicted,
                "degraded": self.delivery.degraded,
            },
            "mqtt": {"connected": self.delivery.connected, "error": self.delivery.error},
            "stuck": self.stuck,
            "reload_error": self.reload_error,
            "fallback": self.fallback,
            "previous_end": self.previous_end,
            "latency_ms": self.latency_ms,
            "metrics_error": self.metrics_error,
            "rollout": self.rollout,
            "device_health": {**self.vitals.payload(), "memory_mb": self.memory_mb()},
        }

    def health(self) -> dict[str, Any]:
        """For update hooks and people: the state, what is wrong with it, and what it costs."""
        wrong = self._wrong()
        names = processes()
        sizes = {pid: round(pss_mb(pid), 1) for pid in names}
        told: dict[str, Any] = {
            "healthy": not wrong,
            "wrong": wrong,
            **self._payload(),
            "delivery": asdict(self.delivery),
            "pid": os.getpid(),
            "processes": {str(pid): {"command": names[pid], "pss_mb": size} for pid, size in sizes.items()},
            "pss_mb": round(sum(sizes.values()), 1),
        }
        hidden: dict[str, Any] = _hidden(told, self.hide)
        return hidden

    def memory_mb(self) -> dict[str, float]:
        """Resident, of the daemon's own process and of each engine's."""
        engines = {f"worker {one.number}": one.pid for one in self.detector.dispatcher.workers}
        own = {"daemon": os.getpid(), **engines}
        return {name: round(rss_mb(pid), 1) for name, pid in own.items() if pid}

    def _workers(self) -> list[dict[str, Any]]:
        return [
            {
                "engine": worker.candidate.name,
                "engine_since": iso(worker.since.wall),
                "serving": not reason,
                "reason": reason,
                "fallback": worker.fallback,
                "fallback_reason": worker.fallback_reason,
                "restarts": worker.restarts,
                "last_reason": worker.last_loss,
            }
            for worker, reason in self.detector.dispatcher.roster
        ]

    def _wrong(self) -> list[str]:
        wrong = [f"the loop {name!r} does not advance" for name in self.stalled_loops]
        wrong += [f"camera {name} hangs in its source" for name, camera in self.cameras.items() if camera.stuck]
        wrong += [self.fallback] if self.fallback else []
        if time.monotonic() - self.at > _STALE_S:
            wrong.append(f"the supervisor was last heard of {time.monotonic() - self.at:.0f} s ago")
        wrong += [f"worker {n}: {reason}" for n, reason in enumerate(self.detector.dispatcher.reasons) if reason]
        if not self.ready:
            wrong.append("no frame has been looked at yet")
        states = {camera.state for camera in self.cameras.values()} - {"paused"}  # those that were told to rest may
        if states and "ok" not in states:
            wrong.append("no camera is ok")
        if self.delivery.degraded:
            wrong.append("the outbox cannot be written")
        if not self.delivery.connected:
            wrong.append(f"not connected to the broker: {self.delivery.error}")
        elif self.delivery.error:
            wrong.append(self.delivery.error)
        elif self.delivery.refusal:
            wrong.append(self.delivery.refusal)
        return wrong


def _hidden(told: Any, hide: Callable[[str], str], key: str = "") -> Any:
    """The same with its free texts made safe to be seen; a password may well be a word like ``offline``."""
    if isinstance(told, dict):
        return {name: _hidden(value, hide, name) for name, value in told.items()}
    if isinstance(told, list):
        return [_hidden(value, hide, key) for value in told]
    return hide(told) if isinstance(told, str) and key.endswith(_FREE_TEXT) else told


class News:
    """When something is to be told: as it changed, soon after that, as its figures are those of its beginning, and then
    now and then."""

    def __init__(self) -> None:
        self._key: object = None
        self._due_at = -math.inf

    def is_due(self, key: object, now: float) -> bool:
        """``key`` changes when it is to be told at once; ``now`` in seconds. Call it once each time."""
        if key == self._key and now <= self._due_at:
            return False
        self._due_at = now + (_REPEAT_S if key == self._key else _SOON_S)
        self._key = key
        return True


class Bulletin:
    """Publishes what changed in the states, and all of it now and then."""

    def __init__(self, topics: Topics, delivery: Delivery) -> None:
        self._topics = topics
        self._delivery = delivery
        self._cameras: dict[str, News] = {}
        self._whole = News()

    def tell(self, report: Report) -> None:
        for name in self._cameras.keys() - report.cameras.keys():
            del self._cameras[name]
        for name, seen in report.cameras.items():
            key = seen.state, seen.reason, seen.score, seen.paused
            if self._cameras.setdefault(name, News()).is_due(key, report.at):
                self._delivery.retain(
                    camera_state(
                        self._topics,
                        name,
                        seen.state,
                        since=seen.since,
                        fps=seen.fps,
                        dropped=seen.dropped,
                        score=seen.score,
                        paused=seen.paused,
                    )
                )
        if self._whole.is_due(report.key(), report.at):
            self._delivery.retain(state(self._topics, report.payload()))
