"""A new model beside the running one: it proves itself on frames that both see, and goes back if its start is bad."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import TypeAlias

import numpy as np

from edgerun.boxes import likeness
from edgerun.config import Config
from edgerun.errors import EngineError
from edgerun.models import ModelFile
from edgerun.pipeline import Look
from edgerun.records import dataclass
from edgerun.runtime.cameras.camera import Camera
from edgerun.runtime.health.report import Report
from edgerun.runtime.inference.detector import Detector
from edgerun.runtime.inference.inquiry import Inquiry
from edgerun.types import Detections, Frame

_FRAMES = 8
_FRAMES_S = 10.0
"""Cameras that are all down for so long give nothing to prove anything on."""
_SAME_IOU = 0.3
_AGREEMENT = 0.4
"""Loose on purpose: a better model finds more, and draws its boxes otherwise. Two that see other things have near 0."""
_SLOWER = 0.8
"""What a busy machine may take from a fair measurement."""
_FEWEST_BOXES = 4
"""Fewer say nothing about either."""
_WATCHED_S = 60.0
_SILENCE_S = 20.0
_MOST_FAILED = 3


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of the trial. ``agreement`` 0-1, None where there was too little to compare; ``fps`` is what the model
    could do; ``refusal`` says in words why it is not taken, empty: it is."""

    frames: int
    agreement: float | None
    fps: float
    refusal: str


def prove(new: Detector, running: Detector, cameras: Mapping[str, Camera], asked_fps: float) -> Proof:
    """Show both the next frames of the cameras. ``asked_fps`` 0: as fast as it goes. Raises EngineError."""
    frames = _collect(list(cameras.values()))
    if not frames:
        return Proof(0, None, 0.0, "")
    score, running_score = new.choice.score, running.choice.score
    if new.model.sha256 == running.model.sha256:  # what it was merely told to be surer of is the same
        score = running_score = max(score, running_score)
    found, fps = _ask(new, frames, score)
    wanted, running_fps = _ask(running, frames, running_score)
    agreement = _agreement(new, found, running, wanted)
    refusal = ""
    if agreement is not None and agreement < _AGREEMENT:
        refusal = f"it agrees with the running model on {agreement:.0%} of what either finds in {len(frames)} frames"
    elif fps < _SLOWER * min(asked_fps, running_fps):
        refusal = f"it can do {fps:.1f} inferences a second, and the cameras ask for {asked_fps:g}"
    return Proof(len(frames), agreement, fps, refusal)


def _collect(cameras: Sequence[Camera]) -> list[Frame]:
    """The next frames, as many from each camera that gives some."""
    taken: SimpleQueue[Frame] = SimpleQueue()
    until = time.monotonic() + _FRAMES_S
    frames: list[Frame] = []
    for camera in cameras:
        camera.tap = taken.put
    try:
        while len(frames) < _FRAMES and (left := until - time.monotonic()) > 0:
            frames.append(taken.get(timeout=left))
    except Empty:
        pass
    finally:
        for camera in cameras:
            camera.tap = None
    return frames


def _ask(detector: Detector, frames: Sequence[Frame], score: float) -> tuple[list[Detections], float]:
    """What it finds in whole frames with at least this score, and how many it could do a second by its quickest, which
    what else the machine does weighs on least. One frame in a batch takes as long as a full batch."""
    with closing(Inquiry(detector.dispatcher)) as inquiry:
        try:
            jobs = [inquiry.ask(Look.whole(frame), detector.choice.deadline_s + 5) for frame in frames]
        except EngineError as error:
            raise EngineError(f"{detector.model.name} failed in its trial: {error}", retriable=True) from error
    found = [job.parts[0][0] for job in jobs]
    quickest_s = max(min(job.inference_s for job in jobs), 1e-6)
    return [one.take(one.score >= score) for one in found], detector.dispatcher.at_once / quickest_s


def _agreement(new: Detector, found: list[Detections], running: Detector, wanted: list[Detections]) -> float | None:
    """The share of all boxes, of labels that both models know, that have a counterpart in the other's."""
    known = {name: number for number, name in enumerate(running.labels)}
    # the last one is for classes that have no label
    as_running = np.array([*(known.get(name, -1) for name in new.labels), -1], np.int32)
    shared = np.array([*(name in set(new.labels) for name in running.labels), False], np.bool_)
    if not shared.any():
        return 0.0
    boxes = matched = 0
    for ours, theirs in zip(found, wanted, strict=True):
        class_id = as_running[np.clip(ours.class_id, 0, len(as_running) - 1)]
        mine, known_ids = ours.take(class_id >= 0), class_id[class_id >= 0]
        other = theirs.take(shared[np.clip(theirs.class_id, 0, len(shared) - 1)])
        boxes += len(mine) + len(other)
        if len(mine) and len(other):
            same = likeness(mine.xyxy, known_ids, other.xyxy, other.class_id) >= _SAME_IOU
            matched += int(same.any(0).sum() + same.any(1).sum())
    return matched / boxes if boxes >= _FEWEST_BOXES else None


WayBack: TypeAlias = tuple[Config, bytes, ModelFile]
"""A configuration, the text of the one that had the model before, and the model that this meant."""


class Rollout:
    """What is told of the newest one, and the minute after the switch in which it may still go back."""

    def __init__(self) -> None:
        self.state = ""
        """``watched``, ``done``, ``refused`` or ``rolled back``; empty: there was none."""
        self.model = ""
        self.reason = ""
        self.proof: Proof | None = None
        self._ways_back: list[WayBack] = []
        """While that may be, the best one first."""
        self._since = self._looked_at = 0.0
        self._looks = 0
        self._restarts = 0
        """Of its engine before it served: an accelerator that is not there gives way to the processor by one."""

    @property
    def before(self) -> WayBack | None:
        """What to go back to; None: it stays."""
        return self._ways_back[0] if self._ways_back else None

    def payload(self) -> dict[str, object]:
        """As the state tells it."""
        proof = self.proof
        return {
            "state": self.state,
            "model": self.model,
            "reason": self.reason,
            "frames": proof.frames if proof else 0,
            "agreement": round(proof.agreement, 3) if proof and proof.agreement is not None else None,
        }

    def refused(self, model: str, reason: str, proof: Proof | None) -> None:
        """What serves goes on, and is watched on where it was."""
        self.state, self.model, self.reason, self.proof = "refused", model, reason, proof

    def switched(self, new: Detector, proof: Proof | None, before: WayBack) -> None:
        """From now on it is watched. Where the one before still was, the way leads to what was there before that."""
        self.state, self.model, self.reason, self.proof = "watched", new.model.name, "", proof
        self._ways_back = self._ways_back[-1:] or [before]
        self._restarts = _restarts(new)
        self._since = self._looked_at = time.monotonic()
        self._looks = 0

    def tuned(self, config: Config) -> None:
        """This was taken over: it is to stay but for its model, if the one before can serve it."""
        if self._ways_back:
            whole = self._ways_back[-1]
            self._ways_back = [(replace(config, model=whole[0].model), *whole[1:]), whole]

    def gone_back(self, model: str) -> None:
        self.state, self.model, self._ways_back = "rolled back", model, []

    def stuck(self, error: str) -> None:
        """There is no such way back; without another one the new one goes on serving."""
        del self._ways_back[:1]
        if self._ways_back:
            return
        self.state = "done"
        self.reason += f"; but the model before cannot be served: {error}"

    def wrong(self, report: Report, looks: int) -> str:
        """Why to go back now, in words. ``looks``: frames that all cameras finished since the switch."""
        if self.before is None:
            return ""
        now = time.monotonic()
        if looks != self._looks:
            self._looks, self._looked_at = looks, now
        reason = self._complaint(report, now)
        if not reason and now - self._since > _WATCHED_S:
            self.state, self._ways_back = "done" if self.state == "watched" else self.state, []
        return reason

    def _complaint(self, report: Report, now: float) -> str:
        if _restarts(report.detector) > self._restarts:
            return f"its engine had to be started again within {now - self._since:.0f} s"
        failed = sum(camera.dropped.get("engine", 0) for camera in report.cameras.values())
        if failed > _MOST_FAILED:
            return f"{failed} inferences failed"
        asked = [camera.asked_fps for camera in report.cameras.values() if camera.state == "ok"]
        if not asked:  # no camera owes a frame, and one that comes back must first have its own looked at
            self._looked_at = now
        elif now - self._looked_at > max(_SILENCE_S, 3 / max(asked)):
            return f"no frame was looked at for {now - self._looked_at:.0f} s"
        return ""


def _restarts(detector: Detector) -> int:
    return sum(worker.restarts for worker in detector.dispatcher.workers)
