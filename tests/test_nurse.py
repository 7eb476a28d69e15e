"""The process that an engine's processes are forked from: they come back without it, too, and end when it does."""

from __future__ import annotations

import errno
import gc
import itertools
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from edgerun.errors import EngineError
from edgerun.runtime.health.footprint import engine_pids, processes
from edgerun.worker.nurse import Nurse
from edgerun.worker.terms import SLOTS, Candidate, Terms
from edgerun.worker.wire import Load
from tests.daemon_process import wait_for
from tests.fakes import FakeEngine, FakeEngineOptions
from tests.test_worker import PATIENCE_S, ask, candidate, loaded, working


class Threaded(FakeEngine):
    """Its library starts a thread as soon as it is imported."""

    @staticmethod
    def preload() -> None:
        threading.Thread(target=threading.Event().wait, daemon=True).start()


class Missing(FakeEngine):
    """Its library is not there."""

    @staticmethod
    def preload() -> None:
        raise EngineError("libfake is not installed")

    def __init__(self, options: FakeEngineOptions, model: Path) -> None:
        self.preload()


class Stuck(FakeEngine):
    """Its library hangs when it is imported."""

    @staticmethod
    def preload() -> None:
        time.sleep(600)


class Fatal(FakeEngine):
    """Its library is for another processor."""

    @staticmethod
    def preload() -> None:
        os.kill(os.getpid(), signal.SIGILL)


def of(build: type[FakeEngine], name: str = "fake") -> Candidate:
    return Candidate(name, Load(build, FakeEngineOptions(), Path("fake.model"), SLOTS))


def nurses() -> list[int]:
    engines = engine_pids()
    return [pid for pid, command in processes().items() if "edgerun.worker.child" in command and pid not in engines]


def test_an_engine_that_was_killed_is_forked_again_by_the_same_nurse() -> None:
    with working(candidate()) as (worker, heard):
        loaded(heard)
        first, nurse = worker.pid, nurses()
        assert first
        os.kill(first, signal.SIGKILL)
        loaded(heard)
        assert ask(worker, heard, 2).reason == ""
        assert worker.pid != first
        assert nurses() == nurse
        assert "was killed by SIGKILL" in heard.losses.get(timeout=PATIENCE_S)


def test_the_engine_ends_with_its_nurse_and_both_come_back() -> None:
    with working(candidate()) as (worker, heard):
        loaded(heard)
        first = worker.pid
        (nurse,) = nurses()
        os.kill(nurse, signal.SIGKILL)
        loaded(heard)
        assert ask(worker, heard, 2).reason == ""
        assert "was killed by SIGKILL" in heard.losses.get(timeout=PATIENCE_S)
        wait_for(lambda: engine_pids() == [worker.pid], PATIENCE_S, "only the new process")
        assert first not in processes()


def test_an_engine_is_back_once_there_are_descriptors_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then it is tried again; what was made on the way is given back."""
    asked, pipe = itertools.count(1), os.pipe

    def scarce() -> tuple[int, int]:
        if next(asked) in (3, 6):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return pipe()

    with working(candidate()) as (worker, heard):
        loaded(heard)
        gc.collect()  # what tests before this one left
        before = len(list(Path("/proc/self/fd").iterdir()))
        monkeypatch.setattr("edgerun.worker.nurse.os.pipe", scarce)
        worker.restart("wanted")
        loaded(heard)
        assert heard.losses.get(timeout=PATIENCE_S) == "wanted"
        assert "its process cannot be started: Too many open files" in heard.losses.get(timeout=PATIENCE_S)
        assert ask(worker, heard, 2).reason == ""
        assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_a_worker_that_is_closed_takes_no_other_with_it() -> None:
    """Though it was the one that had started the nurse which both use, as a further worker that comes to nothing may
    have been: the kernel's word for a dead parent is of the thread."""
    nurse = Nurse()
    with working(candidate(), nurse=nurse) as (first, heard):
        loaded(heard)
        with working(candidate(), nurse=nurse) as (other, its_heard):
            loaded(its_heard)
            served_by, told = other.pid, nurses()
            first.close()
            time.sleep(0.5)  # for what must not happen
            assert ask(other, its_heard, 2).reason == ""
            assert (other.pid, other.restarts, nurses()) == (served_by, 0, told)


def test_a_library_that_starts_threads_is_left_to_each_process() -> None:
    with working(of(Threaded)) as (worker, heard):
        loaded(heard)
        assert ask(worker, heard, 1).reason == ""
        assert [len(list(Path(f"/proc/{nurse}/task").iterdir())) for nurse in nurses()] == [1]


def test_a_library_that_is_missing_is_told_by_the_engine() -> None:
    with working(of(Missing)) as (_, heard):
        assert "libfake is not installed" in heard.losses.get(timeout=PATIENCE_S)


def test_a_library_that_kills_its_process_is_told_in_words_and_the_next_engine_serves() -> None:
    away = Candidate("away", of(Fatal).load, detachable=True)
    with working(away, candidate(name="here")) as (worker, heard):
        loaded(heard)
        assert worker.candidate.name == "here"
        assert "was killed by SIGILL" in heard.losses.get(timeout=PATIENCE_S)


def test_a_library_that_hangs_holds_up_neither_the_next_engine_nor_the_end() -> None:
    before = processes().keys()  # Python may keep some of its own, as multiprocessing's
    away = Candidate("away", of(Stuck).load, detachable=True)
    with working(away, candidate(name="here"), terms=Terms(start_s=2.0)) as (worker, heard):
        loaded(heard)
        assert worker.candidate.name == "here"
        assert "loading took longer" in heard.losses.get(timeout=PATIENCE_S)
    wait_for(lambda: processes().keys() <= before, PATIENCE_S, "the end of the others")
