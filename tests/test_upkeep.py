"""The daemon helps itself: captures that hang, configurations that crash, memory that grows, devices that heat up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from edgerun import config as configuration
from edgerun.config.upkeep import SupervisionOptions
from edgerun.errors import EdgerunError, SourceError
from edgerun.hashing import sha256
from edgerun.pipeline import Look, Pipeline
from edgerun.runtime.cameras import assembly
from edgerun.runtime.cameras.camera import Camera
from edgerun.runtime.cameras.camera_report import CameraTerms
from edgerun.runtime.cameras.outlet import Outlet
from edgerun.runtime.health.fallback import StartRecord
from edgerun.runtime.health.memory import give_back, rss_mb
from edgerun.runtime.health.upkeep import Upkeep
from edgerun.runtime.health.vitals import VitalsWatch, read
from edgerun.runtime.health.watch import Watch
from edgerun.runtime.inference.dispatch import Dispatcher
from edgerun.runtime.inference.jobs import Job, Lane
from edgerun.stages import Source
from edgerun.types import Event, Frame, Stamp
from tests.daemon_process import NOBODY, DaemonProcess, wait_for
from tests.outages import camera, clip
from tests.test_dispatch import frame


class Hanging:
    """A source that gives one frame and then hangs in a call that no timeout ends, as a driver may."""

    def __init__(self, release: threading.Event) -> None:
        self._release = release

    def frames(self) -> Iterator[Frame]:
        yield frame("porch", 1)
        self._release.wait()
        yield frame("porch", 2)
        raise SourceError("it woke up and failed")

    def close(self) -> None: ...


class Taker:
    """A dispatcher and a pipeline that only look."""

    score = 0.5
    fps = 5.0

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.busy = 0
        """So many more times frames are on their way."""

    def makes_way(self, lane: Lane) -> bool:
        self.busy -= 1
        return self.busy < 0

    def add(self, lane: Lane) -> None: ...

    def remove(self, lane: Lane) -> None: ...

    def offer(self, lane: Lane, look: Look) -> None:
        self.taken.append(look.frame.stamp.seq)

    def look(self, frame: Frame) -> Look:
        return Look(frame, ())

    def take_over(self, before: Taker) -> None:
        self.before, self.score = before, before.score

    def end(self) -> list[Event]:
        return [Event("enter", "visitor", "end", 7, Stamp("porch", 0, 0.0, 0.0, 1, 1))]


def looked_after(source: Callable[[], Source], taker: Taker, terms_for: Callable[[float], CameraTerms]) -> Camera:
    """A camera of 5 fps, whose frames ``taker`` gets."""
    parts = cast(Pipeline, taker), cast(Outlet, SimpleNamespace(score=0.5)), cast(Dispatcher, taker)
    return Camera("porch", lambda fps: source(), *parts, terms_for, fps=5, lossless=False)


@pytest.fixture
def release() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_a_capture_that_hangs_is_left_behind_for_a_new_one(release: threading.Event) -> None:
    """A few times; then it is reported as stuck. What was left behind and wakes up does nothing any more."""
    taker = Taker()
    porch = looked_after(
        lambda: Hanging(release), taker, lambda fps: CameraTerms(stalled_s=10, frozen_s=0, stuck_s=0.05)
    )
    porch.start()
    wait_for(lambda: porch.report().stuck, 10, lambda: porch.report())
    assert porch.report().replaced == 3
    assert taker.taken == [1, 1, 1, 1]
    hanging = [thread for thread in threading.enumerate() if thread.name == "camera-porch"]
    assert len(hanging) == 4
    porch.close()
    release.set()
    for thread in hanging:
        thread.join(5)
        assert not thread.is_alive()
    assert taker.taken == [1, 1, 1, 1, 2], "only the newest thread's frame counts"


def test_half_the_frames_rest_while_it_is_hot(release: threading.Event) -> None:
    """And are counted by that cause."""

    class Ten:
        def frames(self) -> Iterator[Frame]:
            yield from (frame("porch", n) for n in range(1, 11))

        def close(self) -> None: ...

    taker = Taker()
    porch = looked_after(Ten, taker, lambda fps: CameraTerms(stalled_s=10, frozen_s=0))
    porch.halve_fps(True)
    porch.start()
    porch.join(5)
    assert taker.taken == [2, 4, 6, 8, 10]
    assert porch.report().dropped["heat"] == 5


def test_a_camera_goes_on_by_another_pipeline_when_no_frame_of_before_is_on_its_way() -> None:
    """What began by the one before is ended, once; and the new one hears what was commanded meanwhile."""

    class Six:
        def frames(self) -> Iterator[Frame]:
            for n in range(1, 7):
                if n == 3:
                    taker.busy = 2
                    porch.look_by(cast(Pipeline, following))
                yield frame("porch", n)

        def close(self) -> None: ...

    class Following(Taker):
        def look(self, frame: Frame) -> Look:
            self.taken.append(frame.stamp.seq)
            return super().look(frame)

    taker, following = Taker(), Following()
    told: list[Event] = []
    porch = looked_after(Six, taker, lambda fps: CameraTerms(stalled_s=10, frozen_s=0))
    porch.outlet = cast(Outlet, SimpleNamespace(tell=told.extend))
    porch.set_fps(3)
    porch.set_score(0.7)
    porch.start()
    porch.join(5)
    assert taker.taken == [1, 2, 5, 6]
    assert following.taken == [5, 6]
    assert following.before is taker
    assert [event.episode for event in told] == [7]
    assert (following.fps, following.score) == (3, 0.7)
    assert porch.report().dropped["late"] == 2


def test_a_camera_that_is_started_again_goes_on_as_the_one_before(release: threading.Event) -> None:
    """But for what was commanded; and a frame that the one before gets late is nobody's."""
    told: list[Event] = []
    counted: list[dict[tuple[str, str], int]] = []
    taker, following = Taker(), Taker()
    terms = CameraTerms(stalled_s=10, frozen_s=0)
    before = looked_after(lambda: Hanging(release), taker, lambda fps: terms)
    before.outlet = cast(Outlet, SimpleNamespace(counts={("path", "person"): 2}))
    before.set_score(0.9)
    before.set_fps(1)
    before.start()
    wait_for(lambda: taker.taken, 10, "the first frame")
    before.close()
    porch = looked_after(lambda: Hanging(release), following, lambda fps: terms)
    porch.outlet = cast(Outlet, SimpleNamespace(tell=told.extend, count=counted.append))
    porch.take_over(before)
    assert following.before is taker
    assert (following.score, following.fps) == (0.5, 5)
    assert [event.episode for event in told] == [7]
    assert counted == [{("path", "person"): 2}]
    release.set()
    before.join(5)
    assert taker.taken == [1]


@pytest.mark.parametrize("fps", [0.1, 0.2, 5.0, 30.0])
def test_the_frames_a_second_are_those_looked_at(fps: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a camera that is looked at less often than a rate is made; and none once it is over."""
    porch = looked_after(lambda: Hanging(threading.Event()), Taker(), lambda fps: CameraTerms(stalled_s=10, frozen_s=0))
    porch.set_fps(fps)
    porch.close()
    job = cast(Job, SimpleNamespace(reason="", look=Look(frame("porch", 1), ())))
    for number in range(400):
        monkeypatch.setattr(time, "monotonic", lambda now=1000 + number / fps: now)
        porch._finish(job)
        assert number < 3 * fps + 1 or porch.report().fps == pytest.approx(fps, rel=0.05)
    monkeypatch.setattr(time, "monotonic", lambda: 1100 + 400 / fps)
    assert porch.report().fps == 0


def test_the_pipeline_hears_how_often_a_camera_is_looked_at() -> None:
    """Tracks that are remembered for the time between two looks of before would all be lost: no rule would tell."""
    taker = Taker()
    porch = looked_after(lambda: Hanging(threading.Event()), taker, lambda fps: CameraTerms(stalled_s=10, frozen_s=0))
    porch.set_fps(1)
    assert taker.fps == 1
    porch.halve_fps(True)
    assert taker.fps == 0.5
    porch.set_fps(4)
    assert taker.fps == 2
    porch.halve_fps(False)
    assert taker.fps == 4
    porch.close()


def test_a_camera_that_is_told_to_be_slow_is_not_late() -> None:
    """One frame in ten seconds is what was asked for by command."""

    class Once:
        def __init__(self) -> None:
            self.closed = threading.Event()

        def frames(self) -> Iterator[Frame]:
            yield frame("porch", 1)
            self.closed.wait()

        def close(self) -> None:
            self.closed.set()

    taker = Taker()
    porch = looked_after(Once, taker, lambda fps: CameraTerms(stalled_s=0.5 / fps, frozen_s=0))
    porch.start()
    wait_for(lambda: porch.report().state == "stalled", 5, porch.report)
    porch.set_fps(0.1)
    wait_for(lambda: taker.taken == [1, 1], 5, porch.report)
    wait_for(lambda: porch.report().state == "ok", 5, porch.report)
    time.sleep(0.3)
    assert porch.report().state == "ok"
    porch.close()


def test_a_camera_that_gives_few_pictures_is_not_late() -> None:
    """A folder of one picture in 100 s was taken to hang, and began anew with its first each time."""
    source = configuration.source("images", path="pictures", rate_fps=0.01)
    terms = assembly.terms_for(configuration.CameraOptions(source=source), 5.0)
    assert min(terms.stalled_s, terms.stuck_s) == pytest.approx(300)


def test_a_camera_that_fell_silent_while_it_was_paused_is_stalled_once_resumed(release: threading.Event) -> None:
    """Not paused still, to whoever has just resumed it."""
    porch = looked_after(lambda: Hanging(release), Taker(), lambda fps: CameraTerms(stalled_s=0.05, frozen_s=0))
    porch.paused = True
    porch.start()
    wait_for(lambda: porch.report().state == "paused", 5, porch.report)
    time.sleep(0.1)
    assert porch.report().state == "paused"
    porch.paused = False
    assert porch.report().state == "stalled"
    porch.close()


# Which configuration


def test_a_loop_is_stuck_once_it_has_not_turned_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that turns seldom is not, nor is one that just began; and one that turns again is well."""
    now = [100.0]
    monkeypatch.setattr("edgerun.runtime.health.watch.time", SimpleNamespace(monotonic=lambda: now[0]))
    turns = {"delivery": 7, "porch": 1, "yard": 0}
    watch = Watch(lambda: turns)
    told = []
    for second in range(40):
        now[0] += 1
        turns |= {"porch": second, "yard": second // 8}
        told.append(watch.stuck())
    assert told == [[]] * told.index(["delivery"]) + [["delivery"]] * (40 - told.index(["delivery"]))
    turns |= {"delivery": 8, "attic": 0}
    assert watch.stuck() == []


def test_after_some_crashes_the_last_good_one(tmp_path: Path) -> None:
    """Not before, not for another text, not when nothing good is known or the good one is what crashes."""
    options = SupervisionOptions(crashes=3)
    first = StartRecord(tmp_path, options)
    assert first.begin(b"good") == ""
    first.steady()
    first.end()
    assert first.last_good.read_bytes() == b"good"
    assert first.last_good.stat().st_mode & 0o777 == 0o600
    for _ in range(3):
        assert StartRecord(tmp_path, options).begin(b"bad") == ""
    assert "3 times within 600 s" in StartRecord(tmp_path, options).begin(b"bad")
    assert StartRecord(tmp_path, options).begin(b"mended") == ""
    for _ in range(5):
        assert StartRecord(tmp_path, options).begin(b"good") == ""
    assert StartRecord(tmp_path, SupervisionOptions(crashes=0)).begin(b"good") == ""


def test_a_file_that_is_taken_away_at_the_start_is_served_as_it_was_read(tmp_path: Path) -> None:
    """As by an editor that will put another in its place. Nobody knows its text, so the good one that is kept stays."""
    config: Any = object()
    kept = tmp_path / "last-good.yaml"
    kept.write_bytes(b"good")
    upkeep = Upkeep(tmp_path, SupervisionOptions(steady_s=1e-9))
    assert upkeep.begin(tmp_path / "edgerun.yaml", config) is config
    for _ in range(2):
        upkeep.tick((), (), sound=True)
    upkeep.end()
    assert kept.read_bytes() == b"good"


def test_what_ended_in_good_order_is_no_crash(tmp_path: Path) -> None:
    for _ in range(10):
        record = StartRecord(tmp_path, SupervisionOptions(crashes=2))
        record.last_good.write_bytes(b"other")
        assert record.begin(b"text") == ""
        record.end()


def test_old_starts_and_those_of_a_clock_that_was_wrong_are_forgotten(tmp_path: Path) -> None:
    record = StartRecord(tmp_path, SupervisionOptions(crashes=1, within_s=60))
    record.begin(b"text")
    for at in (time.time() - 61, time.time() + 3600):
        kept = json.loads((tmp_path / "starts.json").read_text())
        (tmp_path / "starts.json").write_text(json.dumps({**kept, "starts": [at] * 9}))
        record.last_good.write_bytes(b"other")
        assert StartRecord(tmp_path, SupervisionOptions(crashes=1, within_s=60)).begin(b"text") == ""


@pytest.mark.parametrize(
    "content",
    [b"", b"\0\xff", b"[]", b"[" * 100_000, b'{"starts": ["x"]}', b'{"starts": 3, "sha256": 1}',
     b'{"starts": [0, "x"], "sha256": "%s"}', b'{"starts": {}, "sha256": "%s"}'],
)  # fmt: skip
def test_a_damaged_record_is_no_record(tmp_path: Path, content: bytes) -> None:
    of_this = content.replace(b"%s", sha256(b"text").hexdigest().encode())
    (tmp_path / "starts.json").write_bytes(of_this)
    assert StartRecord(tmp_path, SupervisionOptions()).begin(b"text") == ""


def test_a_configuration_that_a_reload_brought_is_counted_from_then_on(tmp_path: Path) -> None:
    options = SupervisionOptions(crashes=1)
    record = StartRecord(tmp_path, options)
    record.begin(b"good")
    record.steady()
    record.adopt(b"bad")
    assert "1 times" in StartRecord(tmp_path, options).begin(b"bad")
    assert StartRecord(tmp_path, SupervisionOptions(crashes=0)).begin(b"bad") == ""


def test_why_a_run_ended_itself_is_for_the_next_one_to_tell(tmp_path: Path) -> None:
    for end in ("its memory", ""):
        record = StartRecord(tmp_path, SupervisionOptions())
        record.begin(b"text")
        record.end(end)
        after = StartRecord(tmp_path, SupervisionOptions())
        after.begin(b"text")
        assert after.previous_end == end


def test_a_folder_that_cannot_be_written_is_no_reason_not_to_serve(tmp_path: Path) -> None:
    record = StartRecord(tmp_path / "none", SupervisionOptions())
    assert record.begin(b"text") == ""
    record.steady()
    record.end("why")


def test_a_daemon_that_crashed_often_serves_what_was_good(tmp_path: Path) -> None:
    """It says so in its state; once the file is mended and reloaded, that is over and a good one is kept again."""
    good: dict[str, Any] = {"mqtt": NOBODY, "cameras": {"good": camera(clip())}, "supervision": {"steady_s": 1}}
    with DaemonProcess(tmp_path, good) as daemon:
        daemon.ready()
        kept = tmp_path / "state" / "last-good.yaml"
        wait_for(kept.exists, 15, daemon.log)
        assert yaml.safe_load(kept.read_text())["cameras"].keys() == {"good"}
        assert daemon.stop() == 0

        bad = {**good, "state_dir": str(tmp_path / "state"), "cameras": {"bad": camera(clip())}}
        bad["supervision"] = {"steady_s": 3600, "crashes": 2}
        daemon.write(bad)
        for _ in range(2):
            daemon.start()
            wait_for(lambda: "bad" in str(daemon_cameras(daemon)), 20, daemon.log)
            daemon.kill()
        daemon.ready()
        health = daemon.health()
        assert health["cameras"].keys() == {"good"}
        assert "started 2 times within 600 s and never became steady" in health["fallback"]
        assert health["fallback"] in health["wrong"]

        daemon.write({**bad, "supervision": {"steady_s": 1}})
        daemon.signal(signal.SIGHUP)
        wait_for(lambda: daemon_cameras(daemon) == {"bad"}, 15, daemon.log)
        assert daemon.health()["fallback"] == ""
        wait_for(lambda: "bad" in yaml.safe_load(kept.read_text())["cameras"], 15, daemon.log)
        assert daemon.stop() == 0


def daemon_cameras(daemon: DaemonProcess) -> set[str]:
    try:
        return set(daemon.health()["cameras"])
    except EdgerunError:  # not listening yet
        return set()


# Memory


def test_an_engine_that_grows_is_started_again(tmp_path: Path) -> None:
    """With the reason in the state."""
    wanted = {"mqtt": NOBODY, "cameras": {"gate": camera(clip())}, "supervision": {"engine_memory_mb": 10}}
    with DaemonProcess(tmp_path, wanted) as daemon:
        daemon.start()
        wait_for(lambda: daemon.said("MB of memory, more than engine_memory_mb: 10") >= 1, 30, daemon.log)
        assert daemon.stop() == 0


def test_a_daemon_that_grows_ends_in_good_order(tmp_path: Path) -> None:
    """For the service manager to start it again; the next run tells why."""
    wanted = {"mqtt": NOBODY, "cameras": {"gate": camera(clip())}, "supervision": {"memory_mb": 20}}
    with DaemonProcess(tmp_path, wanted) as daemon:
        daemon.start()
        assert daemon.wait(30) == 1
        assert daemon.said("more than memory_mb: 20; the service manager starts it again") == 1
        assert daemon.noted("STOPPING=1")
        daemon.write({**wanted, "supervision": {}, "state_dir": str(tmp_path / "state")})
        daemon.ready()
        health = daemon.health()
        assert "more than memory_mb: 20" in health["previous_end"]
        assert health["device_health"]["memory_mb"]["daemon"] > 20
        assert daemon.stop() == 0


def test_what_was_freed_between_what_stays_is_given_back() -> None:
    """As after the pictures of a camera, of which small things made meanwhile stay."""
    pictures, rest = [], []
    for _ in range(1000):
        pictures.append(bytearray(100_000))
        rest.append(bytearray(1000))
    held = rss_mb(os.getpid())
    pictures.clear()
    give_back()
    assert rss_mb(os.getpid()) < held - 50
    assert len(rest) == 1000


def test_threads_share_two_arenas() -> None:
    """malloc gives each thread an arena of its own otherwise."""
    program = """if True:
        import ctypes, threading
        from edgerun.runtime.health.memory import share_arenas
        share_arenas()
        libc, together = ctypes.CDLL(None), threading.Barrier(6)
        def work():
            libc.malloc(1000)
            together.wait()
        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        libc.malloc_stats()
    """
    told = subprocess.run([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, check=True).stderr
    assert told.count("Arena ") == 2


# The device


def tell(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


def test_a_coral_is_hot_until_it_is_well_below_its_trip_point(tmp_path: Path) -> None:
    """So that the rate of frames does not flap."""
    tell(tmp_path, dev__apex_0="", sys__class__apex__apex_0__temp="84900")
    tell(tmp_path, sys__class__apex__apex_0__trip_point0_temp="85000")
    told = None
    hot = []
    for milli in (84900, 85000, 81000, 79900, 81000):
        tell(tmp_path, sys__class__apex__apex_0__temp=str(milli))
        told = read(tmp_path, told)
        hot.append(told.corals_hot)
    assert hot == [False, True, True, False, False]
    assert told is not None
    assert told.payload()["temperatures"] == {"coral apex_0": {"celsius": 81.0, "trip_celsius": 85.0}}


def test_a_coral_that_does_not_tell_where_it_slows_down_is_never_hot(tmp_path: Path) -> None:
    tell(tmp_path, dev__apex_0="", sys__class__apex__apex_0__temp="99000")
    told = read(tmp_path)
    assert told.corals_hot is False
    assert told.payload()["temperatures"] == {"coral apex_0": {"celsius": 99.0, "trip_celsius": None}}


def test_how_the_device_is_is_read_beside_the_daemons_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgerun.runtime.health.vitals.read", lambda before: replace(before, throttled={"cpu": 3}))
    watch = VitalsWatch()
    assert watch.latest.throttled == {}
    watch.start()
    wait_for(lambda: watch.latest.throttled == {"cpu": 3}, 10, "it is read")
    watch.close()


def test_zones_counters_and_the_clock_are_told(tmp_path: Path) -> None:
    """As a Raspberry Pi and a Jetson show them; sensors that are switched off are left out."""
    zone = "sys__class__thermal__thermal_zone"
    tell(tmp_path, **{f"{zone}0__type": "cpu-thermal", f"{zone}0__temp": "61234"})
    tell(tmp_path, **{f"{zone}0__trip_point_0_type": "passive", f"{zone}0__trip_point_0_temp": "80000"})
    tell(tmp_path, **{f"{zone}0__trip_point_1_type": "active", f"{zone}0__trip_point_1_temp": "50000"})
    tell(tmp_path, **{f"{zone}1__type": "cpu-thermal", f"{zone}1__temp": "62000"})
    tell(tmp_path, **{f"{zone}2__type": "pll", f"{zone}2__temp": "-256000"})
    tell(tmp_path, sys__class__hwmon__hwmon3__oc1_event_cnt="7")
    (flags := tmp_path / "sys/devices/platform/soc/soc:firmware/get_throttled").parent.mkdir(parents=True)
    flags.write_text("50005\n")
    told = read(tmp_path).payload()
    assert told["temperatures"] == {
        "cpu-thermal": {"celsius": 61.2, "trip_celsius": 80.0},
        "cpu-thermal 2": {"celsius": 62.0, "trip_celsius": None},
    }
    assert told["throttled"] == {"oc1": 7, "raspberry_pi_flags": 0x50005}
    assert told["clock_synced"] is None
    tell(tmp_path, run__systemd__timesync__synchronized="")
    assert read(tmp_path).clock_synced is True


@pytest.mark.parametrize("said", ["throttled=0x0", "", "0x"])
def test_flags_in_a_form_that_is_not_known_are_left_out(tmp_path: Path, said: str) -> None:
    """The daemon ends with any of its threads, and started anew would read the same."""
    (flags := tmp_path / "sys/devices/platform/soc/soc:firmware/get_throttled").parent.mkdir(parents=True)
    flags.write_text(said)
    assert read(tmp_path).throttled == {}


def test_the_throttling_of_all_cores_is_told_together(tmp_path: Path) -> None:
    assert "cpu" not in read(tmp_path).throttled
    for number, count in enumerate([3, 0, 4]):
        folder = tmp_path / f"sys/devices/system/cpu/cpu{number}/thermal_throttle"
        folder.mkdir(parents=True)
        (folder / "core_throttle_count").write_text(f"{count}\n")
    assert read(tmp_path).throttled == {"cpu": 7}


def test_this_machine_can_be_read() -> None:
    """Whatever it has."""
    told = read()
    assert told.clock_synced in (True, False, None)
    json.dumps(told.payload())
