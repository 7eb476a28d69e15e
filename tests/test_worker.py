"""An engine in its child process: it answers, and it comes back from everything that can happen to it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pytest

from edgerun.engines.tflite import Tflite, TfliteOptions
from edgerun.errors import EdgerunError, EngineError, ReplacedError
from edgerun.filestate import states_of
from edgerun.runtime.health.footprint import engine_pids
from edgerun.types import ModelIO, TensorSpec
from edgerun.worker.choice import Choice
from edgerun.worker.nurse import Nurse
from edgerun.worker.process import Reply
from edgerun.worker.terms import SLOTS, Candidate, Terms
from edgerun.worker.wire import Load, Slots
from edgerun.worker.worker import Worker
from tests.daemon_process import MODEL, wait_for
from tests.fakes import FakeEngine, FakeEngineOptions

PATIENCE_S = 30.0


class Heard:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.served = threading.Semaphore(0)
        self.replies: SimpleQueue[Reply] = SimpleQueue()
        self.losses: SimpleQueue[str] = SimpleQueue()
        self.refusals: SimpleQueue[EdgerunError] = SimpleQueue()

    def loaded(self, worker: Worker) -> None:
        self.served.release()

    def replied(self, worker: Worker, reply: Reply) -> None:
        self.replies.put(reply)

    def lost(self, worker: Worker, error: EdgerunError) -> None:
        self.losses.put(str(error))

    def refused(self, worker: Worker, error: EdgerunError) -> None:
        self.refusals.put(error)


def candidate(**options: object) -> Candidate:
    made = FakeEngineOptions(**options)  # type: ignore[arg-type]  # whatever the test asks for
    return Candidate(made.name, Load(FakeEngine, made, Path("fake.model"), SLOTS))


@contextmanager
def working(
    *candidates: Candidate, terms: Terms | None = None, nurse: Nurse | None = None
) -> Iterator[tuple[Worker, Heard]]:
    heard, nurse = Heard(), nurse or Nurse()
    worker = Worker(0, candidates, terms or Terms(), heard, nurse)
    worker.start()
    try:
        yield worker, heard
    finally:
        worker.close()
        nurse.close()


def ask(worker: Worker, heard: Heard, value: int, slot: int = 0) -> Reply:
    worker.slot(slot).inputs[0][:] = value
    worker.submit(slot, worker.slots)
    return heard.replies.get(timeout=PATIENCE_S)


def loaded(heard: Heard) -> None:
    assert heard.served.acquire(timeout=PATIENCE_S)


def test_no_other_file_is_loaded_than_the_one_that_was_meant(tmp_path: Path) -> None:
    """Nor a copy; but the same file, once it is back, is. One that is gone is the engine's to tell of."""
    model, kept = tmp_path / "fake.model", tmp_path / "kept.model"
    model.write_text("one")
    one = candidate()
    meant = replace(one, load=replace(one.load, model=model, files=states_of([model])))
    with working(meant) as (worker, heard):
        loaded(heard)
        model.rename(kept)
        shutil.copy2(kept, model)
        worker.restart("it is tried out")
        assert heard.losses.get(timeout=PATIENCE_S) == "it is tried out"
        assert "fake.model was replaced since it was checked" in heard.losses.get(timeout=PATIENCE_S)
        kept.rename(model)
        loaded(heard)
        model.unlink()
        worker.restart("it is tried out")
        loaded(heard)


def test_an_accelerator_that_is_back_does_not_load_another_file_either(tmp_path: Path) -> None:
    """While the processor's engine serves: whoever listens is told, as nothing is lost by that."""
    model = tmp_path / "fake.model"
    model.write_text("one")
    away, here = candidate(name="away"), candidate(name="here")
    away = replace(away, load=replace(away.load, model=model, files=states_of([model])), detachable=True)
    with working(away, here, terms=Terms(retry_primary_s=0.5)) as (worker, heard):
        loaded(heard)
        model.write_text("two, say")
        worker.restart("unplugged")
        loaded(heard)
        assert worker.candidate.name == "here"
        assert isinstance(heard.refusals.get(timeout=PATIENCE_S), ReplacedError)
        assert ask(worker, heard, 7).reason == ""


def test_what_an_engine_has_to_say_stands_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """As that it does without what was asked for; but not what its library prints."""
    with working(candidate(fault="slower")) as (_, heard):
        loaded(heard)
        assert [record.getMessage() for record in caplog.records] == ["the accelerator runs at half its clock"]


def with_spare(worker: Worker) -> tuple[int, int]:
    """The process that serves, and the one that stands by once it does."""
    wait_for(lambda: len(engine_pids()) == 2, PATIENCE_S, "a second process")
    assert worker.pid
    (spare,) = {*engine_pids()} - {worker.pid}
    return worker.pid, spare


def test_answers_lie_in_the_slot_they_were_asked_for() -> None:
    with working(candidate()) as (worker, heard):
        loaded(heard)
        for slot, value in enumerate((10, 20, 30)):
            reply = ask(worker, heard, value, slot)
            assert reply == Reply(slot, reply.inference_s, "")
            mean, pid = worker.slot(slot).outputs()
            assert mean.tolist() == [value]
            assert pid.tolist() == [worker.pid]


@pytest.mark.parametrize("fault", ["SIGSEGV", "SIGFPE", "SIGABRT", "SIGKILL"])
def test_a_crash_in_an_inference_is_told_in_words_and_the_request_is_answered_all_the_same(
    fault: str, tmp_path: Path
) -> None:
    with working(candidate(fault=fault, at=3, once=tmp_path / "once")) as (worker, heard):
        loaded(heard)
        assert ask(worker, heard, 1).reason == ""
        assert ask(worker, heard, 7).reason == ""
        assert worker.slot(0).outputs()[0].tolist() == [7]
        assert fault in heard.losses.get(timeout=PATIENCE_S)
        assert worker.restarts == 1


def test_a_picture_that_crashes_the_engine_every_time_is_given_up_after_two_tries() -> None:
    with working(candidate(fault="SIGSEGV", at=2)) as (worker, heard):
        loaded(heard)
        assert "SIGSEGV" in ask(worker, heard, 7).reason


def test_the_time_that_loading_took_is_no_sign_of_health(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that takes long to load and dies at once is waited for longer each time, as any other."""
    lives: SimpleQueue[float] = SimpleQueue()

    def failed(self: Choice, *, retriable: bool, lived_s: float, now: float) -> float:
        lives.put(lived_s)
        return 60.0

    monkeypatch.setattr(Choice, "failed", failed)
    with working(candidate(fault="SIGKILL", at=1, delay_s=0.3)):
        assert lives.get(timeout=PATIENCE_S) == 0


def test_a_hung_inference_is_killed_at_its_deadline_and_asked_again(tmp_path: Path) -> None:
    hanging = candidate(fault="hang", at=2, once=tmp_path / "once")
    with working(hanging, terms=Terms(deadline_s=0.55)) as (worker, heard):
        loaded(heard)
        assert ask(worker, heard, 9).reason == ""
        assert worker.slot(0).outputs()[0].tolist() == [9]
        assert "no answer within 0.55 s" in heard.losses.get(timeout=PATIENCE_S)


def test_an_inference_that_waited_for_another_has_its_whole_deadline() -> None:
    with working(candidate(delay_s=0.8), terms=Terms(deadline_s=1.2)) as (worker, heard):
        loaded(heard)
        for slot in (0, 1):
            worker.submit(slot, worker.slots)
        assert [heard.replies.get(timeout=PATIENCE_S).reason for _ in (0, 1)] == ["", ""]
        assert worker.restarts == 0


def test_an_output_of_another_shape_is_not_stretched() -> None:
    """One box would be told as many times as there is room for boxes."""
    io = ModelIO((TensorSpec("in", (1, 2, 2, 3), "uint8"),), (TensorSpec("boxes", (3, 6), "float32"),))
    memory = os.memfd_create("slots")
    (slot,) = Slots(memory, io, 1, create=True).slots
    with pytest.raises(EngineError, match=r"output 'boxes' came in the shape \(1, 6\), not \(3, 6\)"):
        slot.store([np.ones((1, 6), np.float32)])
    os.close(memory)


def test_what_is_built_for_the_device_has_the_time_for_it() -> None:
    """Ended halfway it would begin anew each time, and never serve."""
    with working(replace(candidate(delay_s=1.0), builds=True), terms=Terms(start_s=0.3)) as (_, heard):
        loaded(heard)
        assert heard.losses.empty()


def test_a_refused_inference_is_a_reason_not_a_restart() -> None:
    with working(candidate(fault="error", at=2)) as (worker, heard):
        loaded(heard)
        assert ask(worker, heard, 1).reason == "the delegate refused"
        assert ask(worker, heard, 2).reason == ""
        assert worker.restarts == 0


def test_an_engine_that_refuses_now_and_then_goes_on() -> None:
    with working(candidate(fault="now and then", at=2)) as (worker, heard):
        loaded(heard)
        refused = [bool(ask(worker, heard, number).reason) for number in range(10)]
        assert refused == [True, False] * 5
        assert worker.restarts == 0


def test_the_daemon_hears_what_a_dying_library_printed() -> None:
    with working(candidate(fault="crash on load")) as (_, heard):
        assert "libfake: cannot map the device" in heard.losses.get(timeout=PATIENCE_S)


def test_the_next_candidate_serves_where_the_first_cannot() -> None:
    with working(candidate(fault="wrong model", name="first"), candidate(name="second")) as (worker, heard):
        loaded(heard)
        assert worker.candidate.name == "second"
        assert "this is a poem" in heard.losses.get(timeout=PATIENCE_S)


def test_with_no_candidate_left_the_reason_stays_to_be_read() -> None:
    with working(candidate(fault="wrong model")) as (worker, heard):
        assert "this is a poem" in heard.losses.get(timeout=PATIENCE_S)
        assert worker.exhausted


def test_an_engine_that_was_built_for_another_processor_is_not_tried_again() -> None:
    with working(candidate(name="foreign", fault="SIGILL", at=1)) as (worker, heard):
        assert "lacks an instruction" in heard.losses.get(timeout=PATIENCE_S)
        assert worker.exhausted
    foreign, second = candidate(name="foreign", fault="SIGILL", at=1), candidate(name="second")
    with working(foreign, second, terms=Terms(retry_primary_s=0.2)) as (worker, heard):
        loaded(heard)
        assert not heard.served.acquire(timeout=1.5)
        assert worker.candidate.name == "second"


def test_the_first_candidate_is_taken_back_when_it_is_there_again(tmp_path: Path) -> None:
    """A device that is unplugged and plugged in again; the second candidate has another input size."""
    gone = tmp_path / "unplugged"
    first = candidate(name="first", fault="SIGABRT", at=1, once=gone)
    second = candidate(name="second", size=4)
    with working(first, second, terms=Terms(retry_primary_s=0.5)) as (worker, heard):
        loaded(heard)
        served = [worker.candidate.name]
        while served[-1] != "first":
            loaded(heard)
            served.append(worker.candidate.name)
        assert ask(worker, heard, 5).reason == ""
        assert worker.io.size == (8, 8)


def test_a_spare_takes_over_without_loading_again() -> None:
    with working(candidate(), terms=Terms(spare=True)) as (worker, heard):
        loaded(heard)
        first, spare = with_spare(worker)
        os.kill(first, signal.SIGKILL)
        loaded(heard)
        assert ask(worker, heard, 2).reason == ""
        assert worker.pid == spare


def test_a_spare_that_died_before_is_no_hindrance() -> None:
    """A new one is started at once, and what was asked is answered all the same."""
    with working(candidate(), terms=Terms(spare=True)) as (worker, heard):
        loaded(heard)
        first, spare = with_spare(worker)
        os.kill(spare, signal.SIGKILL)
        wait_for(lambda: engine_pids() == [first], PATIENCE_S, "the end of the spare")
        os.kill(first, signal.SIGSTOP)
        worker.slot(0).inputs[0][:] = 7
        worker.submit(0, worker.slots)
        os.kill(first, signal.SIGKILL)
        assert not heard.replies.get(timeout=PATIENCE_S).reason
        assert worker.restarts == 1


def test_a_spare_that_died_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgerun.worker.understudy._SPARE_LOOK_S", 0.1)
    with working(candidate(), terms=Terms(spare=True)) as (worker, heard):
        loaded(heard)
        first, spare = with_spare(worker)
        os.kill(spare, signal.SIGKILL)
        wait_for(lambda: {*engine_pids()} - {first, spare}, PATIENCE_S, "another spare")
        assert worker.pid == first
        assert worker.restarts == 0


def test_a_spare_that_cannot_be_loaded_is_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In words, and to whoever listens, who may take over what lies there now."""
    monkeypatch.setattr("edgerun.worker.understudy._SPARE_LOOK_S", 0.1)
    monkeypatch.setattr("edgerun.worker.understudy._NO_SPARE_S", 0.1)
    model = tmp_path / "fake.model"
    model.write_text("one")
    one = candidate()
    meant = replace(one, load=replace(one.load, model=model, files=states_of([model])))
    with working(meant, terms=Terms(spare=True)) as (worker, heard):
        loaded(heard)
        first, spare = with_spare(worker)
        wait_for(lambda: (one := worker._understudy.started) and one.process.pid, PATIENCE_S, "the spare to be loaded")
        model.write_text("two, say")
        os.kill(spare, signal.SIGKILL)
        for _ in range(2):
            assert isinstance(heard.refusals.get(timeout=PATIENCE_S), ReplacedError)
        (said,) = [record.getMessage() for record in caplog.records]
        assert said.startswith(f"worker 0 has no spare: {model} was replaced")
        assert worker.pid == first


def test_a_model_that_its_runtime_keeps_in_an_order_of_its_own_is_not_held_twice() -> None:
    """And the engine answers as it does elsewhere."""
    load = Load(Tflite, TfliteOptions(), MODEL, SLOTS)
    elsewhere = Tflite(TfliteOptions(), MODEL)
    wanted = elsewhere.infer([np.full(elsewhere.io.inputs[0].shape, 90, elsewhere.io.inputs[0].dtype)])
    with working(Candidate("tflite", load)) as (worker, heard):
        loaded(heard)
        wait_for(lambda: resident_kb(worker.pid, MODEL.name) == 0, PATIENCE_S, "the model's pages to be let go")
        ask(worker, heard, 90)
        assert all(map(np.array_equal, worker.slot(0).outputs(), wanted))
        assert resident_kb(worker.pid, MODEL.name) == 0


def resident_kb(pid: int | None, name: str) -> int:
    """How much of a file's mappings a process has in memory."""
    mappings = re.findall(rf"{re.escape(name)}\n(?:.*\n)*?Rss: +(\d+) kB", Path(f"/proc/{pid}/smaps").read_text())
    assert mappings, "it is not mapped"
    return sum(map(int, mappings))


def test_closing_leaves_no_process_behind() -> None:
    with working(candidate()) as (worker, heard):
        loaded(heard)
        pid = worker.pid
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
