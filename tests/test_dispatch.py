"""Many cameras, few workers: newest frames, in order, in fair shares, and nothing lost that was promised."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgerun.errors import EngineError, ModelError
from edgerun.pipeline import Look
from edgerun.regions import Region
from edgerun.runtime.health.footprint import engine_pids
from edgerun.runtime.inference.dispatch import Dispatcher
from edgerun.runtime.inference.inquiry import Inquiry
from edgerun.runtime.inference.jobs import Job, Lane
from edgerun.runtime.inference.turns import Turns
from edgerun.stages import Head
from edgerun.types import Array, Detections, Fit, Frame, ModelIO, Stamp
from edgerun.worker.terms import Terms
from tests.daemon_process import wait_for
from tests.fakes import FakeHead
from tests.test_worker import candidate

PATIENCE_S = 30.0


def frame(camera: str, seq: int, value: int = 100) -> Frame:
    stamp = Stamp(camera, seq, float(seq), float(seq), 64, 48)
    return Frame(stamp, "rgb24", (np.full((48, 64, 3), value, np.uint8),))


def look(camera: str, seq: int, regions: int = 1, value: int = 100) -> Look:
    return Look(frame(camera, seq, value), tuple(Region((8 * n, 0, 8 * n + 8, 48), "motion") for n in range(regions)))


class Shelf:
    """Finished jobs of one lane."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self._changed = threading.Condition()

    def put(self, job: Job) -> None:
        with self._changed:
            self.jobs.append(job)
            self._changed.notify_all()

    def wait(self, count: int) -> list[Job]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.jobs) >= count, PATIENCE_S), f"only {len(self.jobs)}"
            return list(self.jobs)

    @property
    def frames(self) -> list[int]:
        return [job.look.frame.stamp.seq for job in self.jobs]


def fake_head(io: ModelIO) -> Head:
    return FakeHead()


@contextmanager
def dispatching(workers: int = 1, per_second: float = 0.0, **options: object) -> Iterator[Dispatcher]:
    dispatcher = Dispatcher([candidate(**options)], Terms(deadline_s=2.0), workers, fake_head, per_second=per_second)
    dispatcher.start()
    try:
        assert dispatcher.wait_loaded(PATIENCE_S)
        yield dispatcher
    finally:
        dispatcher.close()


@pytest.mark.parametrize(("workers", "batch"), [(1, 1), (2, 1), (1, 4), (2, 3)])
def test_a_lossless_lane_finishes_every_frame_in_order_with_all_its_regions(workers: int, batch: int) -> None:
    shelf = Shelf()
    lane = Lane("clip", 1.0, shelf.put, lossless=True)
    with dispatching(workers, batch=batch) as dispatcher:
        dispatcher.add(lane)
        for seq in range(60):
            dispatcher.offer(lane, look("clip", seq, regions=seq % 4, value=4 * seq))
        jobs = shelf.wait(60)
    assert shelf.frames == list(range(60))
    assert lane.dropped == 0
    for seq, job in enumerate(jobs):
        assert sorted(region.xyxy[0] for _, region in job.parts) == [8 * n for n in range(seq % 4)]
        assert all(found.score[0] == pytest.approx(4 * seq / 255, abs=0.001) for found, _ in job.parts)


def test_the_parts_of_a_frame_are_in_the_order_of_its_regions_whichever_worker_is_first() -> None:
    shelf = Shelf()
    lane = Lane("clip", 1.0, shelf.put)
    with dispatching(workers=2) as dispatcher:
        wait_for(lambda: not any(dispatcher.reasons), PATIENCE_S)
        pids = [worker.pid for worker in dispatcher.workers]
        assert pids[0]
        os.kill(pids[0], signal.SIGSTOP)
        dispatcher.add(lane)
        dispatcher.offer(lane, look("clip", 0, regions=2))
        wait_for(lambda: lane.in_order[0].answered == 1, PATIENCE_S)
        os.kill(pids[0], signal.SIGCONT)
        (job,) = shelf.wait(1)
    assert [region for _, region in job.parts] == list(job.look.regions)


def test_frames_of_several_cameras_share_a_batch() -> None:
    """The engine refuses the batch after the first frame, which tells whose frames were in it."""
    shelves = {name: Shelf() for name in "abcdef"}
    with dispatching(batch=4, fault="error", at=3) as dispatcher:
        pid = dispatcher.workers[0].pid
        assert pid
        os.kill(pid, signal.SIGSTOP)
        for name, shelf in shelves.items():
            lane = Lane(name, 1.0, shelf.put)
            dispatcher.add(lane)
            dispatcher.offer(lane, look(name, 0, value=ord(name)))
        os.kill(pid, signal.SIGCONT)
        jobs = {name: shelf.wait(1)[0] for name, shelf in shelves.items()}
    assert [name for name, job in jobs.items() if "the delegate refused" in job.reason] == ["b", "c", "d", "e"]
    for name in "af":
        ((found, _),) = jobs[name].parts
        assert found.score[0] == pytest.approx(ord(name) / 255, abs=0.001)


def test_a_batch_whose_outputs_do_not_tell_its_pictures_apart_is_refused() -> None:
    dispatcher = Dispatcher([candidate(batch=2, shared=True)], Terms(), 1, fake_head)
    dispatcher.start()
    try:
        with pytest.raises(ModelError, match=r"pid do not tell the 2 pictures .*Export .* batch of 1"):
            dispatcher.wait_loaded(PATIENCE_S)
    finally:
        dispatcher.close()


def test_a_live_lane_keeps_the_newest_frame_and_counts_what_it_passed_over() -> None:
    shelf = Shelf()
    lane = Lane("live", 1.0, shelf.put)
    with dispatching() as dispatcher:
        dispatcher.add(lane)
        for worker in dispatcher.workers:
            assert worker.pid
            os.kill(worker.pid, signal.SIGSTOP)
        for seq in range(10):
            dispatcher.offer(lane, look("live", seq))
        for worker in dispatcher.workers:
            assert worker.pid
            os.kill(worker.pid, signal.SIGCONT)
        shelf.wait(3)
    assert shelf.frames == [0, 1, 9]
    assert lane.dropped == 7


def test_a_lane_makes_way_once_nothing_of_it_is_on_its_way() -> None:
    """What waits for the engine is passed over: a limit of inferences might let it wait for ever."""
    shelf = Shelf()
    lane = Lane("live", 1.0, shelf.put)
    with dispatching() as dispatcher:
        dispatcher.add(lane)
        pid = dispatcher.workers[0].pid
        assert pid
        os.kill(pid, signal.SIGSTOP)
        for seq in range(3):
            dispatcher.offer(lane, look("live", seq))
        assert not dispatcher.makes_way(lane)
        assert lane.dropped == 1
        os.kill(pid, signal.SIGCONT)
        wait_for(lambda: dispatcher.makes_way(lane), PATIENCE_S)
    assert shelf.frames == [0, 1]


def test_held_frames_finish_without_the_engine_and_never_displace_one_that_waits_for_it() -> None:
    shelf = Shelf()
    lane = Lane("live", 1.0, shelf.put)
    with dispatching() as dispatcher:
        dispatcher.add(lane)
        dispatcher.offer(lane, look("live", 0, regions=0))
        assert shelf.frames == [0]
        pid = dispatcher.workers[0].pid
        assert pid
        os.kill(pid, signal.SIGSTOP)
        for seq in (1, 2, 3):
            dispatcher.offer(lane, look("live", seq))
        dispatcher.offer(lane, look("live", 4, regions=0))
        os.kill(pid, signal.SIGCONT)
        shelf.wait(4)
    assert shelf.frames == [0, 1, 2, 3]


@pytest.mark.parametrize("regions", [1, 3, 8])
def test_a_limit_of_inferences_holds_for_all_lanes_together(regions: int) -> None:
    """They share it alike, no frame is left half done, and clips are not held up."""
    shelves = {name: Shelf() for name in ("a", "b")}
    lanes = {name: Lane(name, 10.0, shelves[name].put) for name in shelves}
    clip_shelf = Shelf()
    clip = Lane("clip", 1.0, clip_shelf.put, lossless=True)
    with dispatching(per_second=12) as dispatcher:
        assert not dispatcher.limited
        for lane in (*lanes.values(), clip):
            dispatcher.add(lane)
        began = time.monotonic()
        seq = 0
        while time.monotonic() - began < 3:
            for name, lane in lanes.items():
                dispatcher.offer(lane, look(name, seq, regions))
            seq += 1
            time.sleep(0.005)
        took = time.monotonic() - began
        assert dispatcher.limited
        for number in range(100):
            dispatcher.offer(clip, look("clip", number))
        clip_shelf.wait(100)
        wait_for(lambda: not any(lane.in_order for lane in lanes.values()), PATIENCE_S)
    asked = {name: sum(len(job.parts) for job in shelf.jobs) for name, shelf in shelves.items()}
    assert all(len(job.parts) == regions for shelf in shelves.values() for job in shelf.jobs)
    assert 6 * took - regions <= sum(asked.values()) <= 12 * (took + 1) + regions
    assert abs(asked["a"] - asked["b"]) <= 2 * regions


@pytest.mark.parametrize(("per_second", "at_once"), [(0.5, 1), (1, 1), (2, 2), (3, 2), (8, 4), (20, 10)])
def test_the_inferences_of_half_a_second_may_come_at_once_or_two(
    per_second: float, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That frames were held up is told for two seconds after the last of them."""
    now = 1000.0
    monkeypatch.setattr("edgerun.runtime.inference.turns.time", SimpleNamespace(monotonic=lambda: now))
    turns, lane = Turns(depth=1, per_second=per_second), Lane("a", 5.0, Shelf().put)
    turns.add(lane)
    for _ in range(at_once):
        turns.offer(Job(lane, look("a", 0)))
        assert turns.take() is not None
        lane.in_order.clear()
    assert not turns.limited
    turns.offer(Job(lane, look("a", 0)))
    assert turns.take() is None
    now += 1.9
    assert turns.limited
    now += 0.2
    assert not turns.limited
    assert turns.take() is not None


def test_what_the_limit_of_inferences_allows_is_shared_by_weight() -> None:
    """Also where each frame could be taken as it comes, as nobody else waits in that moment."""
    shelves = {name: Shelf() for name in ("a", "b")}
    lanes = {"a": Lane("a", 20.0, shelves["a"].put), "b": Lane("b", 5.0, shelves["b"].put)}
    with dispatching(per_second=8) as dispatcher:
        for lane in lanes.values():
            dispatcher.add(lane)
        for seq in range(50):
            for name, lane in lanes.items():
                dispatcher.offer(lane, look(name, seq))
                time.sleep(0.05)
        wait_for(lambda: not any(lane.in_order for lane in lanes.values()), PATIENCE_S)
    first, second = (len(shelf.jobs) for shelf in shelves.values())
    assert first + second >= 30
    assert first >= 2.8 * second > 0


def test_in_overload_each_lane_is_served_in_proportion_to_its_weight() -> None:
    shelves = {name: Shelf() for name in ("a", "b", "c")}
    weights = {"a": 10.0, "b": 10.0, "c": 30.0}
    with dispatching(delay_s=0.004) as dispatcher:
        lanes = {name: Lane(name, weights[name], shelves[name].put) for name in shelves}
        for lane in lanes.values():
            dispatcher.add(lane)
        stop = threading.Event()

        def flood(name: str) -> None:
            seq = 0
            while not stop.is_set():
                dispatcher.offer(lanes[name], look(name, seq))
                seq += 1
                time.sleep(0.001)

        threads = [threading.Thread(target=flood, args=(name,)) for name in lanes]
        for thread in threads:
            thread.start()
        shelves["c"].wait(150)
        served = {name: len(shelf.jobs) for name, shelf in shelves.items()}
        stop.set()
        for thread in threads:
            thread.join()
    assert served["a"] == pytest.approx(served["b"], rel=0.15)
    assert served["c"] == pytest.approx(3 * served["a"], rel=0.15)


def test_a_camera_on_which_nothing_moved_for_long_is_owed_no_more_turns_than_others() -> None:
    turns = Turns(depth=1, per_second=0.0)
    lanes = [Lane(name, 10.0, Shelf().put) for name in ("busy", "quiet")]
    for lane in lanes:
        turns.add(lane)
    served = []
    for seq in range(200):
        for lane in lanes if seq >= 100 else lanes[:1]:
            if lane.waiting is None:
                turns.offer(Job(lane, look(lane.name, seq)))
        ask = turns.take()
        assert ask is not None
        ask.job.lane.in_order.clear()
        served.append(ask.job.lane.name)
    assert served[100:120].count("quiet") == 10


@pytest.mark.parametrize("batch", [1, 4])
def test_a_killed_worker_loses_no_frame_of_a_lossless_lane(batch: int) -> None:
    shelf = Shelf()
    lane = Lane("clip", 1.0, shelf.put, lossless=True)
    with dispatching(batch=batch) as dispatcher:
        dispatcher.add(lane)
        for seq in range(40):
            if seq == 20:
                assert dispatcher.workers[0].pid
                os.kill(dispatcher.workers[0].pid, signal.SIGKILL)
            dispatcher.offer(lane, look("clip", seq))
        jobs = shelf.wait(40)
    assert shelf.frames == list(range(40))
    assert not any(job.reason for job in jobs)


def test_a_lossless_lane_that_is_removed_holds_nobody_up() -> None:
    lane = Lane("clip", 1.0, Shelf().put, lossless=True)
    with dispatching(fault="hang", at=2) as dispatcher:
        dispatcher.add(lane)

        def offer() -> None:
            for seq in range(6):
                dispatcher.offer(lane, look("clip", seq, regions=3))

        offering = threading.Thread(target=offer, daemon=True)
        offering.start()
        wait_for(lambda: lane.waiting is not None, PATIENCE_S)
        dispatcher.remove(lane)
        offering.join(PATIENCE_S)
        assert not offering.is_alive()


class Stumbling(FakeHead):
    """Meets something new in each of its first pictures."""

    def __init__(self) -> None:
        self._left = [IndexError("no fifth column"), ZeroDivisionError("no side"), OverflowError("no such number")]

    def decode(self, outputs: Sequence[Array], io: ModelIO, fit: Fit, min_score: float) -> Detections:
        if self._left:
            raise self._left.pop()
        return super().decode(outputs, io, fit, min_score)


def test_outputs_that_make_no_sense_cost_a_frame_and_nothing_else() -> None:
    shelf = Shelf()
    lane = Lane("clip", 1.0, shelf.put, lossless=True)
    dispatcher = Dispatcher([candidate()], Terms(deadline_s=2.0), 1, lambda io: Stumbling())
    dispatcher.start()
    try:
        assert dispatcher.wait_loaded(PATIENCE_S)
        dispatcher.add(lane)
        for seq in range(6):
            dispatcher.offer(lane, look("clip", seq))
        jobs = shelf.wait(6)
    finally:
        dispatcher.close()
    assert sorted(job.reason for job in jobs)[3:] == [
        f"the model's outputs cannot be read: {words}" for words in ("no fifth column", "no side", "no such number")
    ]
    assert dispatcher.workers[0].restarts == 0


def test_a_model_that_no_head_reads_is_told_at_the_start() -> None:
    def refuse(io: ModelIO) -> Head:
        raise ModelError("these outputs are of no detector that edgerun knows; write `head:`")

    dispatcher = Dispatcher([candidate()], Terms(), 1, refuse)
    dispatcher.start()
    try:
        with pytest.raises(ModelError, match="write `head:`"):
            dispatcher.wait_loaded(PATIENCE_S)
    finally:
        dispatcher.close()


def test_who_asks_once_does_not_wait_for_an_engine_that_is_gone_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `edgerun detect` where the accelerator is unplugged; one that comes back is waited for."""
    monkeypatch.setattr("edgerun.runtime.inference.inquiry._BACK_S", 0.0)
    with dispatching() as dispatcher, closing(Inquiry(dispatcher)) as inquiry:
        for pid in engine_pids():
            os.kill(pid, signal.SIGKILL)
        assert inquiry.ask(look("still", 1), failures=2).parts
    with (
        dispatching(fault="load again", once=tmp_path / "loaded") as dispatcher,
        closing(Inquiry(dispatcher)) as inquiry,
    ):
        assert inquiry.ask(look("still", 1), failures=2).parts
        for pid in engine_pids():
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(EngineError, match="there is no memory left"):
            inquiry.ask(look("still", 2), failures=2)


def test_a_missing_engine_is_waited_for_no_longer_than_asked() -> None:
    dispatcher = Dispatcher([candidate(fault="load")], Terms(), 1, fake_head)
    dispatcher.start()
    try:
        assert dispatcher.wait_loaded(0.1) is None
        wait_for(lambda: "not plugged in" in dispatcher.reasons[0], PATIENCE_S)
        assert dispatcher.wait_loaded(0.1) is None
    finally:
        dispatcher.close()
