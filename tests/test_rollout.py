"""A new model comes in beside the running one, proves itself, and goes back when it serves badly."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import time
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from edgerun.config import Config
from edgerun.models import ModelFile
from edgerun.runtime.cameras.camera import Camera
from edgerun.runtime.health.report import Report
from edgerun.runtime.inference.detector import Detector
from edgerun.runtime.inference.dispatch import Dispatcher
from edgerun.runtime.reload import Reload, from_file
from edgerun.runtime.rollout import Proof, Rollout, _agreement, _ask, prove
from edgerun.schemas import PAYLOADS
from edgerun.types import Detections, Frame
from tests.daemon_process import MODEL, NOBODY, DaemonProcess, wait_for
from tests.outages import camera, clip
from tests.test_dispatch import dispatching, frame


def test_a_file_that_is_taken_away_while_it_is_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by an editor that will put another in its place: the daemon goes on with what it has."""
    place = tmp_path / "edgerun.yaml"
    place.touch()
    monkeypatch.setattr("edgerun.runtime.reload.load_isolated", Path.unlink)
    nothing: Any = None
    reload = Reload(partial(from_file, place), nothing, nothing, None)
    wait_for(lambda: reload.done, 10, "the reload")
    assert "edgerun.yaml cannot be read: No such file" in str(reload.error)


def test_a_reload_for_which_the_machine_has_no_room_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No descriptor, say, for the process that is to read the file."""

    def none_left(*_: Path) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    place = tmp_path / "edgerun.yaml"
    place.touch()
    monkeypatch.setattr("edgerun.config.start_reader", none_left)
    nothing: Any = None
    reload = Reload(partial(from_file, place), nothing, nothing, None)
    wait_for(lambda: reload.done, 10, "the reload")
    assert str(reload.error) == "it cannot be tried now: Too many open files"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Copies of the bundled model under another name, with its own label and with a wrong one."""
    shutil.copy(MODEL, tmp_path / "other.tflite")
    (tmp_path / "person.txt").write_text("person\n")
    (tmp_path / "cat.txt").write_text("cat\n")
    return tmp_path


def test_a_model_proves_itself_and_goes_back_when_it_dies(models: Path) -> None:
    """One that sees other things is refused unless forced; one that agrees comes in; its death within the first minute
    brings the one before back."""
    wanted: dict[str, Any] = {"mqtt": NOBODY, "cameras": {"gate": bare(clip())}}
    other = {"path": str(models / "other.tflite"), "labels": str(models / "person.txt")}
    cats = {"path": str(models / "other.tflite"), "labels": str(models / "cat.txt")}
    with DaemonProcess(models / "daemon", wanted) as daemon:
        daemon.ready()
        name = daemon.health()["model"]["name"]
        state = str(models / "daemon" / "state")

        daemon.write({**wanted, "state_dir": state, "model": cats})
        daemon.signal(signal.SIGHUP)
        wait_for(lambda: daemon.said("is not taken"), 40, daemon.log)
        assert "agrees with the running model on 0%" in rollout(daemon)["reason"]
        assert "rollout: force" in daemon.health()["reload_error"]
        assert daemon.health()["model"]["name"] == name

        daemon.write({**wanted, "state_dir": state, "model": other})
        reloaded(daemon)
        assert rollout(daemon)["state"] == "watched"
        assert rollout(daemon)["agreement"] == 1.0
        assert daemon.health()["model"]["name"] == "other"
        kill_engine(daemon)
        wait_for(lambda: daemon.said("the configuration was reloaded") == 2, 40, daemon.log)
        assert rollout(daemon)["state"] == "rolled back"
        assert daemon.health()["model"]["name"] == name
        assert "had to be started again" in rollout(daemon)["reason"]

        daemon.write({**wanted, "state_dir": state, "model": {**cats, "rollout": "force"}})
        reloaded(daemon)
        assert rollout(daemon)["state"] == "watched"
        Draft202012Validator(PAYLOADS["state"]["properties"]["rollout"]).validate(rollout(daemon))
        Draft202012Validator(PAYLOADS["state"]["properties"]["device_health"]).validate(
            daemon.health()["device_health"]
        )
        assert daemon.stop() == 0
        assert not daemon.said("Traceback")


def test_there_is_no_way_back_from_a_model_that_lies_where_the_one_before_did(models: Path) -> None:
    """As an update in place leaves it: the state must not say that the one before serves again."""
    place = models / "other.tflite"
    model = {"path": str(place), "labels": str(models / "person.txt")}
    with DaemonProcess(
        models / "daemon", {"mqtt": NOBODY, "model": model, "cameras": {"gate": bare(clip())}}
    ) as daemon:
        daemon.ready()
        fresh = place.with_suffix(".new")  # put there whole: the engine has mapped the other
        fresh.write_bytes(MODEL.read_bytes() + bytes(16))
        fresh.replace(place)
        reloaded(daemon)
        kill_engine(daemon)
        wait_for(lambda: daemon.said("the configuration stays as it was"), 40, daemon.log)
        wait_for(lambda: rollout(daemon)["state"] == "done", 10, daemon.log)
        assert "had to be started again" in rollout(daemon)["reason"]
        assert "is not the model any more that it was before" in rollout(daemon)["reason"]
        wait_for(daemon.engines, 10, daemon.log)
        assert daemon.said("the configuration was reloaded") == 1


def test_what_was_tuned_meanwhile_stays_when_a_model_goes_back(models: Path) -> None:
    """As zones in the minute after; unless the model before cannot serve that."""
    gate = bare(clip())
    tuned = {**gate, "fps": gate["fps"] / 2}
    named = {"name": "v", "when": "count", "zone": "all", "labels": ["cat"], "at_least": 9}
    with_cats = {**tuned, "zones": {"all": {"polygon": [[0, 0], [1, 0], [1, 1]]}}, "rules": [named]}
    wanted: dict[str, Any] = {"mqtt": NOBODY, "cameras": {"gate": gate}}
    cats = {"path": str(models / "other.tflite"), "labels": str(models / "cat.txt"), "rollout": "force"}
    for cameras, fps in (({"gate": tuned}, tuned["fps"]), ({"gate": with_cats}, gate["fps"])):
        with DaemonProcess(models / "daemon", wanted) as daemon:
            daemon.ready()
            name = daemon.health()["model"]["name"]
            for more in ({}, {"cameras": cameras}):
                daemon.write({**wanted, "state_dir": str(models / "daemon" / "state"), "model": cats, **more})
                reloaded(daemon)
            kill_engine(daemon)
            wait_for(lambda: daemon.said("the configuration was reloaded") == 3, 40, daemon.log)
            assert rollout(daemon)["state"] == "rolled back"
            told = daemon.health()
            assert (told["model"]["name"], told["cameras"]["gate"]["asked_fps"]) == (name, fps)


def test_a_model_that_has_not_held_for_its_minute_is_none_to_go_back_to(models: Path) -> None:
    """As when it is given more time meanwhile, which loads it anew."""
    wanted: dict[str, Any] = {"mqtt": NOBODY, "cameras": {"gate": bare(clip())}}
    other = {"path": str(models / "other.tflite"), "labels": str(models / "person.txt")}
    with DaemonProcess(models / "daemon", wanted) as daemon:
        daemon.ready()
        name = daemon.health()["model"]["name"]
        for deadline_s in (5, 6):
            model = {**other, "deadline_s": deadline_s}
            daemon.write({**wanted, "state_dir": str(models / "daemon" / "state"), "model": model})
            reloaded(daemon)
        kill_engine(daemon)
        wait_for(lambda: daemon.said("the configuration was reloaded") == 3, 40, daemon.log)
        assert rollout(daemon)["state"] == "rolled back"
        assert daemon.health()["model"]["name"] == name


def test_a_model_that_was_replaced_is_taken_over_when_its_engine_died(models: Path) -> None:
    """Without a reload nobody had proven it, and messages told of the one before. One that cannot be used is told of
    and not tried again, until another lies there."""
    place = models / "other.tflite"

    def put(content: bytes) -> str:
        place.with_suffix(".new").write_bytes(content)
        place.with_suffix(".new").replace(place)
        return sha256(content).hexdigest()

    model = {"path": str(place), "labels": str(models / "person.txt")}
    with DaemonProcess(
        models / "daemon", {"mqtt": NOBODY, "model": model, "cameras": {"gate": bare(clip())}}
    ) as daemon:
        daemon.ready()
        put(b"no model")
        kill_engine(daemon)
        wait_for(lambda: rollout(daemon)["state"] == "refused", 40, daemon.log)
        told = daemon.health()
        assert told["model"]["sha256"] == sha256(MODEL.read_bytes()).hexdigest()
        assert "no TensorFlow Lite model" in told["reload_error"]
        assert any("other.tflite was replaced since it was checked" in one for one in told["wrong"])
        good = put(MODEL.read_bytes() + bytes(16))
        wait_for(lambda: daemon.health()["model"]["sha256"] == good, 40, daemon.log)
        assert not any("worker" in one for one in daemon.health()["wrong"])
        assert daemon.said("the configuration stays as it was") == 1


def test_an_accelerator_that_is_not_there_is_no_reason_to_go_back(models: Path) -> None:
    """The processor's engine serves instead, which was started as the second one, before it served."""
    wanted: dict[str, Any] = {"mqtt": NOBODY, "cameras": {"gate": bare(clip())}}
    with DaemonProcess(models / "daemon", wanted) as daemon:
        daemon.ready()
        daemon.write({**wanted, "state_dir": str(models / "daemon" / "state"), "model": {"engine": "edgetpu"}})
        daemon.signal(signal.SIGHUP)
        wait_for(lambda: daemon.said("the configuration"), 40, daemon.log)
        assert rollout(daemon)["reason"] == ""
        assert rollout(daemon)["state"] == "watched"


def test_what_befell_the_model_before_is_no_reason_to_go_back(models: Path) -> None:
    """Its engine died once, perhaps weeks ago."""
    wanted: dict[str, Any] = {"mqtt": NOBODY, "cameras": {"gate": bare(clip())}}
    other = {"path": str(models / "other.tflite"), "labels": str(models / "person.txt")}
    with DaemonProcess(models / "daemon", wanted) as daemon:
        daemon.ready()
        pid = kill_engine(daemon)
        wait_for(lambda: daemon.engines() not in ([], [pid]), 10, daemon.log)
        wait_for(lambda: daemon.health()["workers"][0]["restarts"] == 1, 10, daemon.log)
        daemon.write({**wanted, "state_dir": str(models / "daemon" / "state"), "model": other})
        reloaded(daemon)
        assert rollout(daemon)["reason"] == ""
        assert rollout(daemon)["state"] == "watched"


def test_a_batch_counts_for_all_its_pictures() -> None:
    """The trial shows one frame after another, and each takes as long as a full batch."""
    with dispatching(batch=4, delay_s=0.2) as dispatcher:
        model, choice = SimpleNamespace(name="new"), SimpleNamespace(deadline_s=10.0)
        new = SimpleNamespace(dispatcher=dispatcher, model=model, choice=choice)
        _, fps = _ask(cast(Detector, new), [frame("gate", seq) for seq in range(3)], 0.0)
    assert fps > 1 / 0.2


class Staring:
    """A camera that sees the same at once, as often as it takes."""

    @property
    def tap(self) -> None: ...

    @tap.setter
    def tap(self, take: Callable[[Frame], None] | None) -> None:
        for seq in range(8 if take else 0):
            cast(Callable[[Frame], None], take)(frame("gate", seq, value=150))


@pytest.mark.parametrize(("sha256", "refusal"), [("a", ""), ("b", "agrees with the running model on 0%")])
def test_a_model_that_is_told_to_be_surer_is_still_the_same(sha256: str, refusal: str) -> None:
    """It finds nothing any more where what it had found had too low a score; another that finds nothing is refused."""

    def detector(sha256: str, score: float) -> Detector:
        model, choice = SimpleNamespace(name="new", sha256=sha256), SimpleNamespace(score=score, deadline_s=10.0)
        return cast(Detector, SimpleNamespace(dispatcher=dispatcher, model=model, choice=choice, labels=("thing",)))

    with dispatching() as dispatcher:
        cameras = {"gate": cast(Camera, Staring())}
        proof = prove(detector(sha256, 0.9), detector("a", 0.5), cameras, asked_fps=1.0)
    assert refusal in proof.refusal
    assert bool(refusal) == bool(proof.refusal)


class Away:
    """A camera that gives nothing."""

    tap = None


def test_where_no_camera_gives_a_frame_there_is_nothing_to_prove(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgerun.runtime.rollout._FRAMES_S", 0.05)
    new = cast(Detector, SimpleNamespace())
    for cameras in ({}, {"gate": cast(Camera, Away())}):
        assert prove(new, new, cameras, asked_fps=5.0) == Proof(0, None, 0.0, "")


@pytest.mark.parametrize(("asked_fps", "refused"), [(1.0, False), (40.0, True)])
def test_a_model_that_is_slower_than_is_asked_for_is_refused(asked_fps: float, refused: bool) -> None:
    """Unless the one that runs is no quicker."""

    def detector(dispatcher: Dispatcher) -> Detector:
        model, choice = SimpleNamespace(name="new", sha256="a"), SimpleNamespace(score=0.5, deadline_s=10.0)
        return cast(Detector, SimpleNamespace(dispatcher=dispatcher, model=model, choice=choice, labels=("thing",)))

    cameras = {"gate": cast(Camera, Staring())}
    with dispatching(delay_s=0.05) as slow, dispatching() as quick:
        proof = prove(detector(slow), detector(quick), cameras, asked_fps)
        assert (f"and the cameras ask for {asked_fps:g}" in proof.refusal) == refused
        assert (proof.frames, proof.agreement) == (8, 1.0)
        assert prove(detector(slow), detector(slow), cameras, asked_fps).refusal == ""


@pytest.mark.parametrize(("failed", "said"), [(3, ""), (4, "4 inferences failed")])
def test_a_model_whose_inferences_fail_goes_back(failed: int, said: str) -> None:
    rollout = Rollout()
    detector = SimpleNamespace(model=SimpleNamespace(name="new"), dispatcher=SimpleNamespace(workers=[]))
    rollout.switched(cast(Detector, detector), None, cast("tuple[Config, bytes, ModelFile]", ("before", b"", None)))
    gate = SimpleNamespace(state="ok", asked_fps=5.0, dropped={"engine": failed, "late": 99})
    assert rollout.wrong(cast(Report, SimpleNamespace(detector=detector, cameras={"gate": gate})), 1) == said


def bare(source: dict[str, Any]) -> dict[str, Any]:
    """A camera without rules, which another model's labels could not satisfy."""
    return {"source": source, "fps": camera(source)["fps"]}


def reloaded(daemon: DaemonProcess) -> None:
    """Ask for a reload, and wait for it to have come about."""
    before = daemon.said("the configuration was reloaded")
    daemon.signal(signal.SIGHUP)
    wait_for(lambda: daemon.said("the configuration was reloaded") == before + 1, 40, daemon.log)


def kill_engine(daemon: DaemonProcess) -> int:
    """The process id that the one engine had."""
    pid = daemon.engine()
    os.kill(pid, signal.SIGKILL)
    return pid


def rollout(daemon: DaemonProcess) -> dict[str, Any]:
    """As the state tells it, once the supervisor has looked again."""
    time.sleep(1.5)
    return cast("dict[str, Any]", daemon.health()["rollout"])


class Named:
    """A detector of which only the labels matter."""

    def __init__(self, *labels: str) -> None:
        self.labels = labels


def seen(*rows: tuple[float, int]) -> Detections:
    """Boxes 10 wide at an x, each of a class."""
    xyxy = np.array([(x, 0, x + 10, 10) for x, _ in rows], np.float32).reshape(-1, 4)
    return Detections(xyxy, np.ones(len(rows), np.float32), np.array([kind for _, kind in rows], np.int32))


def looked_at(fps: float, states: dict[float, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What is wrong in the end with a model of which no frame came: the states of the only camera, of ``fps``, by
    seconds since the switch."""
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    rollout, said = Rollout(), ""
    detector = SimpleNamespace(model=SimpleNamespace(name="new"), dispatcher=SimpleNamespace(workers=[]))
    rollout.switched(cast(Detector, detector), None, cast("tuple[Config, bytes, ModelFile]", ("before", b"", None)))
    for after_s, state in states.items():
        report = SimpleNamespace(
            detector=detector,
            cameras={"gate": SimpleNamespace(state=state, asked_fps=fps, dropped={})},
        )
        monkeypatch.setattr(time, "monotonic", lambda now=100.0 + after_s: now)
        said = rollout.wrong(cast(Report, report), 0)
    return said


def test_a_refused_model_leaves_the_one_that_serves_its_way_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is still in its first minute, and what is told of the refused one stays after that."""
    rollout, before = Rollout(), cast("tuple[Config, bytes, ModelFile]", ("before", b"", None))
    detector = SimpleNamespace(model=SimpleNamespace(name="new"), dispatcher=SimpleNamespace(workers=[]))
    rollout.switched(cast(Detector, detector), None, before)
    rollout.refused("newer", "it is blind", None)
    assert rollout.before == before
    later = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert rollout.wrong(cast(Report, SimpleNamespace(detector=detector, cameras={})), 1) == ""
    assert rollout.before is None
    assert (rollout.state, rollout.model, rollout.reason) == ("refused", "newer", "it is blind")


@pytest.mark.parametrize(
    ("fps", "states", "wrong"),
    [
        (5, {19: "ok"}, ""),
        (5, {21: "ok"}, "21 s"),
        (0.1, {25: "ok"}, ""),
        (5, {1: "ok", 15: "offline", 30: "offline", 31: "ok"}, ""),
        (5, {1: "ok", 15: "offline", 30: "offline", 51: "ok"}, "21 s"),
    ],
)
def test_silence_is_wrong_where_frames_should_come(
    fps: float, states: dict[float, str], wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = looked_at(fps, states, monkeypatch)
    assert wrong in said
    assert bool(wrong) == bool(said)


@pytest.mark.parametrize(
    ("ours", "theirs", "share"),
    [
        (seen((0, 1), (20, 1)), seen((1, 0), (20, 0)), 1.0),
        (seen((0, 1), (20, 1)), seen((100, 0), (20, 0)), 0.5),
        (seen((0, 0), (20, 0)), seen((0, 0), (20, 0)), 0.0),
        (seen(), seen((0, 0), (20, 0), (40, 0), (60, 0)), 0.0),
        (seen(), seen((0, 0)), None),
        (seen((0, 2), (20, 2), (40, 2), (60, 2)), seen(), None),
        (seen(), seen((0, 2), (20, 2), (40, 2), (60, 2)), None),
    ],
    ids=[
        "same",
        "half",
        "other labels",
        "blind",
        "little to see",
        "only what the other does not know",
        "and it neither",
    ],
)
def test_agreement_is_about_what_both_know(ours: Detections, theirs: Detections, share: float | None) -> None:
    """The labels of the models are in different orders."""
    new, running = Named("dog", "person", "bike"), Named("person", "dog", "car")
    assert _agreement(cast(Detector, new), [ours], cast(Detector, running), [theirs]) == share


def test_models_without_a_label_in_common_agree_on_nothing() -> None:
    """Also where there was nothing to see, and where one of them has no labels at all."""
    for new, running in ((Named("cat"), Named("dog")), (Named(), Named("dog")), (Named("cat"), Named())):
        assert _agreement(cast(Detector, new), [seen()], cast(Detector, running), [seen((0, 0))]) == 0.0


def test_a_class_without_a_label_counts_for_nothing() -> None:
    """It was taken for the last one that has a label, on one side alone: a model did not agree with itself."""
    both, odd = cast(Detector, Named("person", "dog")), seen((0, 0), (20, 0), (40, 2), (60, 9))
    assert _agreement(both, [odd], both, [odd]) == 1.0
    assert _agreement(both, [odd.take(odd.class_id > 1)], both, [odd.take(odd.class_id > 1)]) is None


def test_what_a_trial_came_to_is_told_until_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rollout = Rollout()
    told = {"state": "", "model": "", "reason": "", "frames": 0, "agreement": None}
    assert rollout.payload() == told
    rollout.refused("new", "it is blind", Proof(8, 0.12345, 30.0, "it is blind"))
    told |= {"state": "refused", "model": "new", "reason": "it is blind", "frames": 8, "agreement": 0.123}
    assert rollout.payload() == told
    detector = SimpleNamespace(model=SimpleNamespace(name="newer"), dispatcher=SimpleNamespace(workers=[]))
    before = cast("tuple[Config, bytes, ModelFile]", ("before", b"", None))
    rollout.switched(cast(Detector, detector), Proof(5, None, 30.0, ""), before)
    told |= {"state": "watched", "model": "newer", "reason": "", "frames": 5, "agreement": None}
    assert rollout.payload() == told
    later = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert rollout.wrong(cast(Report, SimpleNamespace(detector=detector, cameras={})), 300) == ""
    assert rollout.payload() == told | {"state": "done"}
    assert rollout.before is None
