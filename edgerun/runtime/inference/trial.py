"""Trying engines out: a real inference of the model in each one's own process, compared and timed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace

import numpy as np

from edgerun.boxes import likeness
from edgerun.errors import EdgerunError
from edgerun.pipeline import Look
from edgerun.records import dataclass
from edgerun.runtime.inference.dispatch import Dispatcher
from edgerun.runtime.inference.inquiry import Inquiry, soon_loaded
from edgerun.runtime.inference.jobs import Job
from edgerun.stages import FixedInputs, Head
from edgerun.types import Array, Detections, Fit, Frame, ModelIO
from edgerun.worker.terms import Candidate, Terms

_FRAME = (640, 480)
_TIMED = 12
_WARM_UP = 3
_FLOOR_SCORE = 0.02
"""Low, since a picture of nothing has to give something to compare."""
_COMPARED_SCORE = 0.05
_SAME_IOU = 0.5
_SAME_SCORE = 0.1
"""What INT8 roundings of two engines may differ by."""
_SAME_PART = 0.8
_CRASHES = ("SIGSEGV", "SIGBUS", "SIGFPE")
"""What kills a process by its own fault, and will do so again with the same model and the same library."""
_WORTH_IT = 1.15
"""By so much another engine must be quicker than the reference to be preferred: a change must not hang on chance."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one engine with one file. ``ms`` is its quickest inference; None: it was not run, or failed."""

    engine: str
    file: str
    agrees: bool
    ms: float | None
    says: str
    is_reference: bool = False
    passing: bool = False
    """It failed for a reason that need not last, as a want of memory."""


@dataclass(frozen=True, slots=True)
class _Answer:
    found: Detections
    ms: float


def picture_of_nothing() -> Frame:
    """Rectangles in random places and colours, the same every time: a picture with edges and areas."""
    random = np.random.default_rng(7)
    width, height = _FRAME
    picture = np.full((height, width, 3), 110, np.uint8)
    for _ in range(60):
        x, y = int(random.integers(width)), int(random.integers(height))
        w, h = (int(side) for side in random.integers(10, 200, 2))
        picture[y : y + h, x : x + w] = random.integers(0, 256, 3)
    return Frame.of_bgr(picture, "trial")


def try_out(candidates: Sequence[Candidate], head_for: Callable[[ModelIO], Head]) -> list[Verdict]:
    """Run each candidate; the reference is the first that runs on the processor. Takes some seconds for each."""
    with ExitStack() as open_ones:
        begun = [_begin(one, head_for, open_ones) for one in candidates]
        for _ in range(_WARM_UP + _TIMED):  # in turns, so that what else the machine does weighs on all of them
            begun = [_next(one) for one in begun]
        answers: list[_Answer | EdgerunError] = [one.answer() if isinstance(one, _Contender) else one for one in begun]
    on_processor = [n for n, one in enumerate(candidates) if not one.detachable]
    given = {number: answer for number, answer in enumerate(answers) if isinstance(answer, _Answer)}
    reference = next((number for number in [*on_processor, *given] if number in given), None)
    return [_judge(candidates, number, answers[number], reference, given) for number in range(len(candidates))]


def ranking(candidates: Sequence[Candidate], verdicts: Sequence[Verdict]) -> tuple[int, ...]:
    """Numbers of candidates, best first: those that agree by their speed; what can go away and is not there now keeps
    its place before them; what fails or disagrees comes last."""

    def rank(number: int) -> tuple[int, float]:
        verdict = verdicts[number]
        if verdict.agrees and verdict.ms is not None:
            return 1, verdict.ms * (1 if verdict.is_reference else _WORTH_IT)
        away = candidates[number].detachable and verdict.ms is None
        return (0, 0.0) if away else (2, 0.0)

    return tuple(sorted(range(len(candidates)), key=rank))


def _judge(
    candidates: Sequence[Candidate],
    number: int,
    answer: _Answer | EdgerunError,
    reference: int | None,
    given: dict[int, _Answer],
) -> Verdict:
    one = candidates[number]
    verdict = Verdict(one.name, one.load.model.name, False, None, str(answer))
    if isinstance(answer, EdgerunError) or reference is None:
        crashed = any(name in verdict.says for name in _CRASHES)
        return replace(verdict, passing=isinstance(answer, EdgerunError) and answer.retriable and not crashed)
    verdict = replace(verdict, ms=round(answer.ms, 2))
    if number == reference:
        return replace(verdict, agrees=True, says="the others are compared with it", is_reference=True)
    difference = disagreement(given[reference].found, answer.found)
    if difference:
        return replace(verdict, says=f"disagrees with {candidates[reference].name}: {difference}")
    return replace(verdict, agrees=True, says=f"agrees with {candidates[reference].name}")


def disagreement(reference: Detections, found: Detections) -> str:
    """In words, where the stronger detections of one picture are not the same; else empty."""
    wanted = reference.take(reference.score >= _COMPARED_SCORE)
    if not len(wanted):
        loud = float(found.score.max(initial=0.0))
        return f"it finds what is not there (score {loud:.2f})" if loud > _COMPARED_SCORE + _SAME_SCORE else ""
    if not len(found):
        return "it finds nothing"
    same = likeness(wanted.xyxy, wanted.class_id, found.xyxy, found.class_id) >= _SAME_IOU
    same &= np.abs(wanted.score[:, None] - found.score) <= _SAME_SCORE
    matched = int(same.any(axis=1).sum())
    if matched >= _SAME_PART * len(wanted):
        return ""
    return f"only {matched} of {len(wanted)} objects in a test picture are the same"


class _Contender:
    """One engine loaded in a process of its own. Raises EngineError or ModelError where it cannot be."""

    def __init__(self, candidate: Candidate, head_for: Callable[[ModelIO], Head]) -> None:
        self._terms = Terms()
        self._dispatcher = Dispatcher([candidate], self._terms, 1, lambda io: _Sensitive(head_for(io)))
        self._look = Look.whole(picture_of_nothing())
        self._jobs: list[Job] = []
        self._inquiry = Inquiry(self._dispatcher)
        self._dispatcher.start()
        try:
            soon_loaded(self._dispatcher, self._terms.patience_s(candidate), failures=1)
        except EdgerunError:
            self.close()
            raise

    def ask(self) -> None:
        """One inference. Raises EngineError."""
        self._jobs.append(self._inquiry.ask(self._look, 2 * (self._terms.deadline_s + self._terms.start_s)))

    def answer(self) -> _Answer:
        quickest_s = min(job.inference_s for job in self._jobs[_WARM_UP:])
        return _Answer(self._jobs[-1].parts[0][0], quickest_s * 1000)

    def close(self) -> None:
        self._dispatcher.close()


def _begin(
    candidate: Candidate, head_for: Callable[[ModelIO], Head], open_ones: ExitStack
) -> _Contender | EdgerunError:
    try:
        return open_ones.enter_context(closing(_Contender(candidate, head_for)))
    except EdgerunError as error:
        return error


def _next(one: _Contender | EdgerunError) -> _Contender | EdgerunError:
    """The same after one more inference, or why there is none."""
    if isinstance(one, _Contender):
        try:
            one.ask()
        except EdgerunError as error:
            return error
    return one


class _Sensitive:
    """A head that also lets through what is hardly there."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self.layout = head.layout
        if isinstance(head, FixedInputs):  # set, for from Python 3.12 on no protocol sees what is only looked up
            self.extra_inputs = head.extra_inputs

    def decode(self, outputs: Sequence[Array], io: ModelIO, fit: Fit, min_score: float) -> Detections:
        return self._head.decode(outputs, io, fit, min(min_score, _FLOOR_SCORE))
