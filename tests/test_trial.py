"""``engine: auto``: a real inference of the model tells which engine is quickest and agrees; it is remembered."""

from __future__ import annotations

import inspect
from pathlib import Path
from queue import Empty, SimpleQueue

import numpy as np
import pytest

from edgerun.errors import EngineError, ModelError
from edgerun.heads.rtdetr import Rtdetr, RtdetrOptions
from edgerun.heads.yolo_end2end import YoloEnd2End, YoloEnd2EndOptions
from edgerun.models import ModelFile
from edgerun.runtime.inference import preference
from edgerun.runtime.inference.preference import Preference, in_words
from edgerun.runtime.inference.trial import Verdict, _Sensitive, disagreement, ranking, try_out
from edgerun.stages import Head
from edgerun.types import Detections, ModelIO
from edgerun.worker.terms import SLOTS, Candidate
from edgerun.worker.wire import Load
from tests.fakes import FakeEngine, FakeEngineOptions
from tests.test_dispatch import PATIENCE_S, fake_head
from tests.test_worker import ask, candidate, loaded, working

MODEL = ModelFile("fake", Path("fake.model"), "0" * 64)


def test_a_head_in_a_trial_gives_further_inputs_where_its_models_take_some() -> None:
    """Looked at as Python 3.12 and later do in ``isinstance``: what ``__getattr__`` would find is not there."""
    assert inspect.getattr_static(_Sensitive(Rtdetr(RtdetrOptions())), "extra_inputs")
    assert not hasattr(_Sensitive(YoloEnd2End(YoloEnd2EndOptions())), "extra_inputs")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("CACHE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(preference, "_CALM_S", 0.01)
    return tmp_path / "edgerun"


def found(*rows: tuple[float, float, int]) -> Detections:
    """Boxes by their left edge, score and class."""
    boxes = [[left, 0, left + 20, 40] for left, _, _ in rows]
    scores, classes = [score for _, score, _ in rows], [class_id for _, _, class_id in rows]
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(classes, np.int32)
    )


def test_the_quickest_that_agrees_is_preferred() -> None:
    slow, quick = candidate(name="slow", delay_s=0.03), candidate(name="quick")
    verdicts = try_out([slow, quick], fake_head)
    assert [verdict.agrees for verdict in verdicts] == [True, True]
    assert in_words(verdicts[0]).endswith("the others are compared with it")
    assert in_words(verdicts[1]).endswith("agrees with slow")
    assert ranking([slow, quick], verdicts) == (1, 0)


def test_what_cannot_run_says_why_and_comes_last() -> None:
    broken, good = candidate(name="broken", fault="wrong model"), candidate(name="good")
    verdicts = try_out([broken, good], fake_head)
    assert "this is a poem" in in_words(verdicts[0])
    assert verdicts[1].is_reference
    assert ranking([broken, good], verdicts) == (1, 0)


def test_an_accelerator_that_is_not_there_now_keeps_its_place() -> None:
    away = Candidate("away", candidate(fault="load").load, detachable=True)
    here = candidate(name="here")
    verdicts = try_out([away, here], fake_head)
    assert "not plugged in" in verdicts[0].says
    assert ranking([away, here], verdicts) == (0, 1)


def test_a_small_gain_changes_nothing() -> None:
    both = [candidate(name="one"), candidate(name="two")]
    verdicts = [Verdict("one", "f", True, 10.0, "", is_reference=True), Verdict("two", "f", True, 9.5, "")]
    assert ranking(both, verdicts) == (0, 1)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (found((0, 0.9, 1), (100, 0.5, 2)), ""),
        (found((100, 0.45, 2), (3, 0.85, 1), (200, 0.3, 1)), ""),
        (found(), "it finds nothing"),
        (found((0, 0.9, 2), (100, 0.5, 2)), "only 1 of 2 objects"),
        (found((0, 0.5, 1), (100, 0.5, 2)), "only 1 of 2 objects"),
        (found((60, 0.9, 1), (160, 0.5, 2)), "only 0 of 2 objects"),
    ],
)
def test_engines_agree_when_they_find_the_same(other: Detections, words: str) -> None:
    assert words in disagreement(found((0, 0.9, 1), (100, 0.5, 2)), other)
    assert bool(words) == bool(disagreement(found((0, 0.9, 1), (100, 0.5, 2)), other))


def test_where_nothing_is_nothing_may_be_found() -> None:
    assert disagreement(found((0, 0.03, 1)), found()) == ""
    assert "what is not there" in disagreement(found(), found((0, 0.9, 1)))


def test_the_outcome_is_remembered_for_this_model_and_these_engines() -> None:
    engines = [candidate(name="slow", delay_s=0.03), candidate(name="quick")]
    told: SimpleQueue[tuple[int, ...]] = SimpleQueue()
    first = Preference(MODEL, engines, automatic=True)
    assert first.order == (0, 1)
    first.find_out(lambda: True, fake_head, told.put)
    assert told.get(timeout=PATIENCE_S) == (1, 0)
    again = Preference(MODEL, engines, automatic=True)
    assert again.order == (1, 0)
    assert [row["engine"] for row in again.reasons()] == ["quick", "slow"]
    other = ModelFile("other", Path("other.model"), "1" * 64)
    assert Preference(other, engines, automatic=True).order == (0, 1)
    assert Preference(MODEL, engines[:1], automatic=True).order == (0,)
    assert Preference(MODEL, engines, automatic=False).order == (0, 1)


class Busy(FakeEngine):
    """Loads once the file is there that ``once`` names."""

    def __init__(self, options: FakeEngineOptions, model: Path) -> None:
        if options.once is not None and not options.once.exists():
            raise EngineError("there is no memory left", retriable=True)
        super().__init__(options, model)


def test_what_failed_for_a_passing_reason_is_tried_again_at_the_next_start(tmp_path: Path) -> None:
    """While that a model is none for an engine stays known, and is not found out at every start."""

    def start() -> Preference:
        preference = Preference(MODEL, engines, automatic=True)
        preference.find_out(lambda: True, fake_head, told.put)
        return preference

    told: SimpleQueue[tuple[int, ...]] = SimpleQueue()
    quick = FakeEngineOptions(name="quick", once=tmp_path / "memory")
    engines = [
        candidate(name="slow", delay_s=0.03),
        candidate(name="broken", fault="wrong model"),
        Candidate("quick", Load(Busy, quick, Path("fake.model"), SLOTS)),
    ]
    start()
    assert told.get(timeout=PATIENCE_S)[0] == 0
    (tmp_path / "memory").touch()
    assert start().order[0] == 0
    assert told.get(timeout=PATIENCE_S) == (2, 0, 1)
    last = start()
    assert last.order == (2, 0, 1)
    assert [row["engine"] for row in last.reasons()] == ["quick", "slow", "broken"]
    with pytest.raises(Empty):
        told.get(timeout=1.0)


def test_an_engine_that_crashes_is_not_tried_again_at_every_start() -> None:
    """But when the model is another one, as when its library or the device is."""

    def start(model: ModelFile) -> Preference:
        preference = Preference(model, engines, automatic=True)
        preference.find_out(lambda: True, fake_head, told.put)
        return preference

    told: SimpleQueue[tuple[int, ...]] = SimpleQueue()
    engines = [candidate(name="crashes", fault="crash on load"), candidate(name="sound")]
    start(MODEL)
    assert told.get(timeout=PATIENCE_S) == (1, 0)
    again = start(MODEL)
    assert again.order == (1, 0)
    assert "was killed by SIGSEGV" in str(again.reasons()[1]["says"])
    with pytest.raises(Empty):
        told.get(timeout=1.0)
    start(ModelFile("other", Path("other.model"), "1" * 64))
    assert told.get(timeout=PATIENCE_S) == (1, 0)


def test_a_trial_in_which_no_engine_ran_is_no_trial() -> None:
    """As that of `edgerun devices --model` without the labels which tell the head, and which the daemon has."""

    def headless(io: ModelIO) -> Head:
        raise ModelError("several heads fit; give the labels")

    engines = [candidate(name="slow", delay_s=0.03), candidate(name="quick")]
    preference.remember(MODEL, engines, try_out(engines, headless))
    told: SimpleQueue[tuple[int, ...]] = SimpleQueue()
    daemons = Preference(MODEL, engines, automatic=True)
    assert [row["says"] for row in daemons.reasons()] == ["not tried out"] * 2
    daemons.find_out(lambda: True, fake_head, told.put)
    assert told.get(timeout=PATIENCE_S) == (1, 0)


def test_a_damaged_memory_is_as_good_as_none(cache: Path) -> None:
    cache.mkdir()
    (cache / "engines.json").write_text('{"x": [')
    engines = [candidate(name="one"), candidate(name="two")]
    assert Preference(MODEL, engines, automatic=True).order == (0, 1)
    preference.remember(MODEL, engines, [Verdict("one", "f", False, None, "no"), Verdict("two", "f", True, 1.0, "")])
    assert Preference(MODEL, engines, automatic=True).order == (1, 0)
    whole = (cache / "engines.json").read_text()
    for damaged in (whole.replace("1.0", '"fast"'), whole.replace("1.0", "[" * 100_000)):
        (cache / "engines.json").write_text(damaged)
        assert Preference(MODEL, engines, automatic=True).order == (0, 1)


def test_a_running_worker_changes_to_what_is_preferred_now() -> None:
    with working(candidate(name="one"), candidate(name="two", size=4)) as (worker, heard):
        loaded(heard)
        assert worker.candidate.name == "one"
        worker.prefer((1, 0))
        loaded(heard)
        assert worker.candidate.name == "two"
        assert not worker.fallback
        assert ask(worker, heard, 3).reason == ""
