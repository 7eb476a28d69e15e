"""How many workers there are: one more where frames are passed over beside idle cores, and never one in vain."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgerun.config import ModelChoice
from edgerun.kernel import idle_s
from edgerun.runtime.inference.crew import PATIENCE_S, Crew
from edgerun.runtime.inference.detector import Detector
from edgerun.runtime.inference.jobs import Lane
from edgerun.worker.process import Reply
from edgerun.worker.worker import Worker
from tests.daemon_process import wait_for
from tests.test_dispatch import PATIENCE_S as LONG_S
from tests.test_dispatch import Shelf, dispatching, look
from tests.test_worker import candidate

MODEL = "0" * 64


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "edgerun"


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def have(count: int) -> None:
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(count)))

    have(4)
    return have


class Machine:
    """Seconds go by, of which some cores were idle."""

    def __init__(self, crew_of: Callable[[Callable[[], float]], Crew]) -> None:
        self.now = self.idle_s = 0.0
        self.crew = crew_of(lambda: self.idle_s)

    def passes(self, seconds: float, *, idle_cores: float, overloaded: bool = True) -> bool:
        """Whether one more worker was asked for meanwhile."""
        asked = False
        for _ in range(int(2 * seconds)):
            self.now += 0.5
            self.idle_s += 0.5 * idle_cores
            asked |= self.crew.is_short(overloaded, self.now)
        return asked


def machine(wanted: int = 0, fps: float = 20.0, detachable: bool = False, model: str = MODEL) -> Machine:
    engine = replace(candidate(), detachable=detachable)
    return Machine(lambda idle: Crew(wanted, engine, fps, model, idle))


@pytest.mark.parametrize(("fps", "expected"), [(0, 4), (20, 1), (30, 1), (40, 4)])
def test_it_begins_with_what_is_likely_to_do(cores: Callable[[int], None], fps: float, expected: int) -> None:
    assert machine(fps=fps).crew.count == expected


@pytest.mark.parametrize(("sticks", "expected"), [(0, 1), (1, 1), (3, 3)])
def test_each_coral_has_a_worker(monkeypatch: pytest.MonkeyPatch, sticks: int, expected: int) -> None:
    monkeypatch.setattr("edgerun.runtime.inference.crew.corals", lambda: iter(range(sticks)))
    for name, count in (("edgetpu", expected), ("remote", 1)):
        engine = replace(candidate(name=name), detachable=True)
        assert Crew(0, engine, 20.0, MODEL).count == count


def test_one_more_comes_where_frames_are_passed_over_beside_idle_cores(cores: Callable[[int], None]) -> None:
    one = machine()
    assert not one.passes(PATIENCE_S / 2, idle_cores=3), "at once, and not only where it lasts"
    assert one.passes(PATIENCE_S, idle_cores=3)
    one.crew.grew(2)
    assert one.passes(2 * PATIENCE_S, idle_cores=2)


@pytest.mark.parametrize(
    ("what", "wanted", "detachable", "overloaded", "idle_cores"),
    [
        ("all is well", 0, False, False, 3),
        ("no core is idle", 0, False, True, 0.2),
        ("the number was asked for", 1, False, True, 3),
        ("one process alone can have an accelerator", 0, True, True, 3),
    ],
)
def test_none_comes_in_vain(
    cores: Callable[[int], None], what: str, wanted: int, detachable: bool, overloaded: bool, idle_cores: float
) -> None:
    one = machine(wanted, detachable=detachable)
    assert not one.passes(10 * PATIENCE_S, idle_cores=idle_cores, overloaded=overloaded), what


def test_what_a_limit_holds_back_needs_no_workers(cores: Callable[[int], None]) -> None:
    for per_second, expected in ((0.0, 4), (10.0, 1), (500.0, 4)):
        detector = Detector(ModelChoice(per_second=per_second), asked_fps=100.0)
        try:
            assert len(detector.dispatcher.workers) == expected
        finally:
            detector.close()


def test_a_moment_of_relief_begins_anew(cores: Callable[[int], None]) -> None:
    one = machine()
    for _ in range(5):
        assert not one.passes(PATIENCE_S - 1, idle_cores=3)
        assert not one.passes(1, idle_cores=3, overloaded=False)


def test_never_more_than_cores(cores: Callable[[int], None]) -> None:
    cores(2)
    one = machine()
    one.crew.grew(2)
    assert not one.passes(10 * PATIENCE_S, idle_cores=2)


def test_later_starts_begin_with_what_it_took(cores: Callable[[int], None], cache: Path) -> None:
    machine().crew.grew(3)
    assert machine().crew.count == 3
    assert machine(fps=10).crew.count == 1, "cameras that ask for less"
    assert machine(model="1" * 64).crew.count == 1, "another model"
    assert machine(wanted=2).crew.count == 2
    cores(2)
    assert machine().crew.count == 1, "another machine"


@pytest.mark.parametrize("damage", [-3, 99, "many", None])
def test_a_damaged_memory_is_no_harm(cores: Callable[[int], None], cache: Path, damage: object) -> None:
    machine().crew.grew(2)
    file = cache / "workers.json"
    file.write_text(json.dumps(dict.fromkeys(json.loads(file.read_text()), damage)))
    assert 1 <= machine().crew.count <= 4


def test_this_machine_tells_its_idle_time(tmp_path: Path) -> None:
    found = idle_s()
    assert found is not None and found > 0
    (tmp_path / "stat").write_text("cpu  1 2 3 400 500 6 7\ncpu0 1 2 3 4 5 6 7\n")
    assert idle_s(tmp_path / "stat") == pytest.approx(900 / os.sysconf("SC_CLK_TCK"))
    assert idle_s(tmp_path / "not there") is None
    (tmp_path / "stat").write_text("cpu  1 2 3 - -\n")
    assert idle_s(tmp_path / "stat") is None


def test_a_worker_that_joins_takes_its_share_and_the_order_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, served = Shelf(), Counter[int]()
    lane = Lane("clip", 1.0, shelf.put, lossless=True)
    with dispatching(delay_s=0.01) as dispatcher:
        replied = dispatcher.replied

        def counted(worker: Worker, reply: Reply) -> None:
            served[worker.number] += 1
            replied(worker, reply)

        monkeypatch.setattr(dispatcher, "replied", counted)
        dispatcher.add(lane)
        for seq in range(20):
            dispatcher.offer(lane, look("clip", seq, regions=2))
        dispatcher.grow()
        wait_for(lambda: dispatcher.reasons == ["", ""], LONG_S)
        before = served[0]
        for seq in range(20, 80):
            dispatcher.offer(lane, look("clip", seq, regions=2))
        jobs = shelf.wait(80)
    assert shelf.frames == list(range(80))
    assert all(len(job.parts) == 2 for job in jobs)
    assert served[1] > (served[0] - before) / 2 > 0


@pytest.mark.parametrize(("pause_s", "tries"), [(600.0, 1), (0.0, 2)])
def test_a_worker_that_cannot_load_does_not_count_and_comes_no_sooner_than_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, pause_s: float, tries: int
) -> None:
    monkeypatch.setattr("edgerun.runtime.inference.dispatch._NO_FURTHER_S", pause_s)
    shelf = Shelf()
    lane = Lane("clip", 1.0, shelf.put, lossless=True)
    with dispatching(fault="load again", once=tmp_path / "loaded") as dispatcher:
        dispatcher.add(lane)
        dispatcher.grow()
        wait_for(lambda: "no further worker" in caplog.text, LONG_S)
        dispatcher.grow()
        dispatcher.offer(lane, look("clip", 0))
        shelf.wait(1)
        if tries == 1:
            time.sleep(0.3)  # in which another would be loaded
        wait_for(lambda: caplog.text.count("no further worker") == tries, LONG_S)
        assert dispatcher.reasons == [""], "one that serves, as before"
        assert dispatcher.error is None
    assert caplog.text.count("(worker 1)") == tries


def test_ending_while_one_joins_ends_that_one_too() -> None:
    with dispatching() as dispatcher:
        dispatcher.grow()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("engine-")]
