"""``engine: auto``: which engine is preferred for a model on this device, tried out once and remembered."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict

from edgerun.corals import corals
from edgerun.devices import installed, processor
from edgerun.hashing import sha256
from edgerun.models import ModelFile
from edgerun.notes import Notes
from edgerun.runtime.inference.trial import Verdict, ranking, try_out
from edgerun.stages import Head
from edgerun.types import ModelIO
from edgerun.worker.terms import Candidate

log = logging.getLogger(__name__)

_NOTES = Notes("engines.json")
_CALM_S = 5.0
"""The daemon serves this long before other engines are tried beside it."""


def key_of(model: ModelFile, candidates: Sequence[Candidate]) -> str:
    """A digest of all that a trial depends on: the files, the engines and their versions, the device."""
    machine = processor()
    told = [model.sha256, machine.name, machine.says, [coral.name for coral in corals()]]
    told += [[one.name, installed(one.name), one.load.model.name, repr(one.load.options)] for one in candidates]
    return sha256(json.dumps(told).encode()).hexdigest()[:32]


def recall(model: ModelFile, candidates: Sequence[Candidate]) -> list[Verdict]:
    """What an earlier trial came to, one verdict for each candidate; none when there was no such trial, or no engine
    ran in it: then it was made with another head, or without the labels, and tells of those."""
    try:
        verdicts = [Verdict(**row) for row in _NOTES.get(key_of(model, candidates))]
    except TypeError:
        return []
    sound = len(verdicts) == len(candidates) and all(isinstance(one.ms, float | int | None) for one in verdicts)
    return verdicts if sound and any(one.agrees for one in verdicts) else []


def remember(model: ModelFile, candidates: Sequence[Candidate], verdicts: Sequence[Verdict]) -> None:
    """Keep it for later starts."""
    _NOTES.put(key_of(model, candidates), [asdict(verdict) for verdict in verdicts])


class Preference:
    """The order of a model's candidates. Where no trial is remembered, or one of them failed in it for a reason that
    need not last, one is made beside the daemon's work."""

    def __init__(self, model: ModelFile, candidates: Sequence[Candidate], *, automatic: bool) -> None:
        self.verdicts = recall(model, candidates) if automatic and len(candidates) > 1 else []
        self.order = ranking(candidates, self.verdicts) if self.verdicts else tuple(range(len(candidates)))
        self._model = model
        self._candidates = candidates
        here = [number for number, one in enumerate(candidates) if not one.detachable]
        due = not self.verdicts or any(self.verdicts[number].passing for number in here)
        self._wants_trial = automatic and due and len(here) > 1
        self._closed = threading.Event()

    def reasons(self) -> list[dict[str, object]]:
        """Each engine and why it stands where it does, best first."""
        if not self.verdicts:
            return [{"engine": self._candidates[number].name, "says": "not tried out"} for number in self.order]
        return [asdict(self.verdicts[number]) for number in self.order]

    def find_out(
        self,
        serves: Callable[[], bool],
        head_for: Callable[[ModelIO], Head],
        changed: Callable[[tuple[int, ...]], None],
    ) -> None:
        """Try the processor's engines out, in a thread of its own and once the daemon ``serves``, and tell the order.

        Accelerators are not tried: only one process can have them. They are preferred while they are there.
        """
        if self._wants_trial:
            self._wants_trial = False
            threading.Thread(
                target=self._try, args=(serves, head_for, changed), name="engine-trial", daemon=True
            ).start()

    def close(self) -> None:
        self._closed.set()

    def _try(
        self,
        serves: Callable[[], bool],
        head_for: Callable[[ModelIO], Head],
        changed: Callable[[tuple[int, ...]], None],
    ) -> None:
        while not self._closed.wait(_CALM_S):
            if serves():
                break
        else:
            return
        tried = [one for one in self._candidates if not one.detachable]
        found = dict(zip(map(id, tried), try_out(tried, head_for), strict=True))
        if self._closed.is_set():
            return
        self.verdicts = [found.get(id(one)) or _untried(one) for one in self._candidates]
        self.order = ranking(self._candidates, self.verdicts)
        remember(self._model, self._candidates, self.verdicts)
        for verdict in self.verdicts:
            log.info("engine %s: %s", verdict.engine, in_words(verdict))
        changed(self.order)


def in_words(verdict: Verdict) -> str:
    return verdict.says if verdict.ms is None else f"{verdict.ms:.1f} ms, {verdict.says}"


def _untried(one: Candidate) -> Verdict:
    return Verdict(one.name, one.load.model.name, False, None, "preferred while it is there")
