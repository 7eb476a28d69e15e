"""An accelerator that aborts, hangs or is pulled out under the running daemon: the processor takes over, the state
tells the story, nothing that was promised is lost, and the accelerator is taken back."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgerun.motion import MotionOptions
from edgerun.pipeline import Look, Pipeline, PipelineOptions
from edgerun.regions import RegionOptions
from edgerun.rules import RuleOptions
from edgerun.runtime.inference.dispatch import Dispatcher
from edgerun.runtime.inference.jobs import Lane
from edgerun.tracking import TrackerOptions
from edgerun.types import Frame, Stamp
from edgerun.worker.terms import Candidate, Terms
from edgerun.zones import ZoneOptions
from tests.daemon_process import DaemonProcess, wait_for
from tests.engines import built_library
from tests.engines.edge_tpu import PLAIN, compiled_detector, write_script
from tests.servers.mosquitto import Mosquitto, needs_mosquitto
from tests.shared_media import SHARED, needs_shared
from tests.subscriber import Subscriber
from tests.test_dispatch import PATIENCE_S, Shelf, fake_head
from tests.test_worker import ask, candidate, loaded, with_spare, working

DEADLINE_S = 2.0
RECOVERY_S = 5.0


@dataclass
class Scene:
    """A daemon with an Edge TPU that behaves as ``script`` says, and what it publishes."""

    daemon: DaemonProcess
    heard: Subscriber
    script: Path

    def engines(self) -> list[str]:
        """Who served one after the other, by the detections."""
        engines = [record["engine"] for _, record in self.inferred()]
        return [one for n, one in enumerate(engines) if not n or engines[n - 1] != one]

    def inferred(self) -> list[tuple[float, dict[str, Any]]]:
        """When detections arrived for which an engine was asked."""
        found = [(one.at, one.json) for one in self.heard.on("/detections")]
        return [(at, record) for at, record in found if record["inference_ms"] is not None]

    def longest_gap_s(self) -> float:
        return max(later[0] - earlier[0] for earlier, later in pairwise(self.inferred()))


@contextmanager
def scene(folder: Path, script: Mapping[str, int], **model: Any) -> Iterator[Scene]:
    compiled_detector(folder)
    shutil.copy(PLAIN, folder / "detector.tflite")
    told = folder / "script"
    write_script(told, script)
    engine = {"type": "edgetpu", "library": built_library("edgetpu.c", folder)}
    config = {
        "device": "pi",
        "model": {
            "path": str(folder / "detector_edgetpu.tflite"),
            "labels": str(SHARED / "models" / "coco90_labels.txt"),
            "engine": engine,
            "deadline_s": DEADLINE_S,
            **model,
        },
        "cameras": {
            "door": {
                "source": {"type": "file", "path": str(SHARED / "media" / "vtest.avi"), "loop": True},
                "fps": 10,
                "motion": {"enabled": False},
                "regions": {"mode": "off"},
                "zones": {"all": {"polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}},
                "rules": [{"name": "seen", "when": "enter", "zone": "all", "cooldown_s": 0}],
            }
        },
    }
    with Mosquitto(folder / "broker") as broker:
        mqtt = {"host": "127.0.0.1", "port": broker.port}
        with DaemonProcess(folder / "daemon", {"mqtt": mqtt, **config}) as daemon:
            daemon.environ["EDGETPU_SCRIPT"] = str(told)
            heard = Subscriber(broker.port).open()
            try:
                daemon.ready()
                yield Scene(daemon, heard, told)
            finally:
                heard.close()


@pytest.mark.broker
@needs_mosquitto
@needs_shared
@pytest.mark.parametrize(
    ("fault", "words"), [("abort", "USB transfer error 5"), ("hang", "no answer within"), ("fail", "Could not map")]
)
def test_the_processor_takes_over_and_the_accelerator_is_taken_back(tmp_path: Path, fault: str, words: str) -> None:
    with scene(tmp_path, {"usb": 1, fault: 20}) as seen:
        pid = seen.daemon.pid
        wait_for(lambda: seen.engines()[:2] == ["edgetpu", "tflite"], PATIENCE_S, seen.daemon.log)
        write_script(seen.script, {"usb": 1})
        wait_for(lambda: seen.engines()[:3] == ["edgetpu", "tflite", "edgetpu"], PATIENCE_S, seen.daemon.log)
        count = len(seen.inferred())
        wait_for(lambda: len(seen.inferred()) > count + 5, PATIENCE_S, seen.daemon.log)

        assert seen.daemon.pid == pid
        assert seen.daemon.process.poll() is None
        assert seen.longest_gap_s() <= RECOVERY_S
        went_through = [state for state in seen.heard.states("door") if state != "offline"]
        assert went_through == ["ok"], "no camera is started again"
        seqs = seen.heard.by_camera()["door"]
        assert seqs == list(range(1, len(seqs) + 1)), "no alert is lost"
        workers = [found.json["workers"][0] for found in seen.heard.on("pi/state")]
        (told,) = {one["fallback_reason"] for one in workers if one["fallback"] and one["serving"]}
        assert "edgetpu" in told
        assert words in told
        assert not workers[-1]["fallback"]
        assert workers[-1]["engine"] == "edgetpu"
        assert workers[-1]["fallback_reason"] == ""
        since = [one["engine_since"] for one in workers if one["serving"]]
        assert since == sorted(since)


@pytest.mark.broker
@needs_mosquitto
@needs_shared
def test_a_stick_that_is_pulled_out_is_used_again_when_it_is_back(tmp_path: Path) -> None:
    with scene(tmp_path, {"usb": 1}) as seen:
        wait_for(lambda: len(seen.inferred()) > 5, PATIENCE_S, seen.daemon.log)
        write_script(seen.script, {"usb": 0, "abort": 0})
        wait_for(lambda: seen.engines() == ["edgetpu", "tflite"], PATIENCE_S, seen.daemon.log)
        wait_for(lambda: seen.daemon.said("sees no Edge TPU"), PATIENCE_S, seen.daemon.log)
        assert seen.engines() == ["edgetpu", "tflite"]
        write_script(seen.script, {"usb": 1})
        wait_for(lambda: seen.engines() == ["edgetpu", "tflite", "edgetpu"], PATIENCE_S, seen.daemon.log)
        assert seen.longest_gap_s() <= RECOVERY_S


@pytest.mark.broker
@needs_mosquitto
@needs_shared
def test_without_the_accelerator_the_daemon_starts_on_the_processor_and_says_so(tmp_path: Path) -> None:
    with scene(tmp_path, {"usb": 0}) as seen:
        wait_for(lambda: len(seen.inferred()) > 3, PATIENCE_S, seen.daemon.log)
        worker = seen.daemon.health()["workers"][0]
        assert (worker["engine"], worker["fallback"]) == ("tflite", True)
        assert "sees no Edge TPU" in worker["fallback_reason"]


def frame(seq: int) -> Frame:
    stamp = Stamp("c", seq, seq / 10, seq / 10, 64, 48)
    return Frame(stamp, "rgb24", (np.full((48, 64, 3), 200, np.uint8),))


def pipeline() -> Pipeline:
    zone = {"all": ZoneOptions(polygon=((0, 0), (1, 0), (1, 1), (0, 1)))}
    rules = [RuleOptions(name="seen", when="enter", zone="all")]
    motion, regions = MotionOptions(enabled=False), RegionOptions(mode="off")
    options = PipelineOptions(
        fps=10, labels=(), motion=motion, regions=regions, tracker=TrackerOptions(), zones=zone, lines={}, rules=rules,
        ground=None, place=None,
    )  # fmt: skip
    return Pipeline(options, ("none", "thing"), (8, 8))


def replay_through(dispatcher: Dispatcher, fault_at: int, fault: signal.Signals | None) -> tuple[set[int], int, int]:
    """The ids, events and frames of a clip of which every frame was asked for; ``fault`` hits the engine under it."""
    looking, shelf = pipeline(), Shelf()
    lane = Lane("clip", 1.0, shelf.put, lossless=True)
    dispatcher.add(lane)
    for seq in range(60):
        if seq == fault_at and fault:
            pid = dispatcher.workers[0].pid
            assert pid
            os.kill(pid, fault)
        dispatcher.offer(lane, looking.look(frame(seq)))
    ids: set[int] = set()
    events = 0
    jobs = shelf.wait(60)
    assert not any(job.reason for job in jobs)
    for job in jobs:
        looking.model_size = job.model_size
        result = looking.finish(job.look, job.parts)
        ids |= set(result.tracks.track_id.tolist())
        events += len(result.events)
    return ids, events, len(jobs)


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
def test_ids_continue_and_no_frame_is_lost_when_another_engine_takes_over(fault: signal.Signals) -> None:
    """The one that takes over has another input size, so that nothing of what was under way fits it."""
    gone = Candidate("away", candidate(delay_s=0.005).load, detachable=True)
    here = candidate(name="here", size=6)
    dispatcher = Dispatcher([gone, here], Terms(deadline_s=1.0, retry_primary_s=0.2), 1, fake_head)
    dispatcher.start()
    try:
        assert dispatcher.wait_loaded(PATIENCE_S)
        ids, events, frames = replay_through(dispatcher, 20, fault)
        assert (len(ids), events, frames) == (1, 1, 60)
        assert dispatcher.workers[0].restarts == 1
        wait_for(lambda: dispatcher.workers[0].candidate.name == "away", PATIENCE_S)
    finally:
        dispatcher.close()


def test_an_accelerator_that_blocks_while_it_is_opened_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgerun.worker.worker._PATIENCE_S", 0.5)
    blocked = Candidate("blocked", candidate(fault="hang", at=1).load, detachable=True)
    with working(blocked, candidate(name="here")) as (worker, heard):
        loaded(heard)
        assert worker.candidate.name == "here"
        assert worker.fallback_reason == "blocked is still being loaded"
        assert ask(worker, heard, 5).reason == ""


def test_a_spare_of_an_accelerator_is_the_processor() -> None:
    """The device itself can only be opened once."""
    away = Candidate("away", candidate().load, detachable=True)
    with working(away, candidate(name="here"), terms=Terms(spare=True)) as (worker, heard):
        loaded(heard)
        assert worker.candidate.name == "away"
        first, spare = with_spare(worker)
        os.kill(first, signal.SIGKILL)
        loaded(heard)
        assert worker.candidate.name == "here"
        assert worker.pid == spare
        assert ask(worker, heard, 2).reason == ""
        assert "SIGKILL" in worker.fallback_reason


def test_a_look_planned_for_one_model_size_fits_the_next() -> None:
    """Regions are planned anew for the model that serves."""
    looking = pipeline()
    first = looking.look(frame(0))
    looking.model_size = (16, 12)
    second = looking.look(frame(1))
    assert isinstance(first, Look)
    assert second.regions
    assert looking.finish(second, []).tracks is not None
