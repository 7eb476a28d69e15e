"""Commands from MQTT: an allow-list of verbs, small and checked arguments, one answer each.

Nothing here takes a path, a URL or a name that is not a camera's. What is no command is answered or dropped; it never
ends the thread.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from edgerun import messages
from edgerun.errors import EdgerunError
from edgerun.records import dataclass
from edgerun.runtime.delivery.delivery import Delivery
from edgerun.stages import Request
from edgerun.topics import Topics, is_topic

log = logging.getLogger(__name__)

LARGEST = 4096
_PER_SECOND = 5.0
_BURST = 20.0
_LONGEST_TOPIC = 256
_TAKEN = {"status", "state", "detections", "alerts", "last", "gaps", "snapshot", "config"}


class Actions(Protocol):
    """What the daemon can be told to do. Called from the commands' thread; returns soon. ``camera`` is one of
    ``cameras()``, or empty for all of them. Raises EdgerunError when it cannot be done."""

    def cameras(self) -> Collection[str]: ...

    def reload(self) -> None: ...

    def pause(self, camera: str, paused: bool) -> None: ...

    def snapshot(self, camera: str) -> None: ...

    def set(self, camera: str, score: float | None, fps: float | None) -> None: ...

    def test_alert(self, camera: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _Command:
    """What a verb takes; a field that is not required is None, ``camera`` empty, when it is not given."""

    do: Callable[[Mapping[str, Any]], object]
    fields: tuple[str, ...] = ()
    required: tuple[str, ...] = ()


class Commands:
    """A thread that takes ``delivery.commands`` and does what the allowed ``verbs`` say."""

    def __init__(self, topics: Topics, verbs: Collection[str], delivery: Delivery, actions: Actions) -> None:
        self._topics = topics
        self._delivery = delivery
        self._actions = actions
        self._allowance = _BURST
        self._allowance_at = time.monotonic()
        self._closing = False
        known = {
            "ping": _Command(lambda given: None),
            "reload": _Command(lambda given: actions.reload()),
            "pause": _Command(  # ``paused: false`` resumes, so that a switch needs one topic only
                lambda given: actions.pause(given["camera"], given.get("paused", True)), ("camera", "paused")
            ),
            "resume": _Command(lambda given: actions.pause(given["camera"], False), ("camera",)),
            "snapshot": _Command(lambda given: actions.snapshot(given["camera"]), ("camera",)),
            "set": _Command(self._set, ("camera", "score", "fps")),
            "replay": _Command(
                lambda given: delivery.replay(given["since_seq"], given["camera"]),
                ("camera", "since_seq"),
                ("since_seq",),
            ),
            "test_alert": _Command(lambda given: actions.test_alert(given["camera"]), ("camera",)),
        }
        self._commands = {verb: known[verb] for verb in verbs}
        self._thread = threading.Thread(target=self._run, name="commands", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closing = True
        self._delivery.commands.put(Request("", b""))
        self._thread.join(1.0)

    def _run(self) -> None:
        while True:
            request = self._delivery.commands.get()
            if self._closing:
                return
            if not self._allowed():
                continue
            if request.retained:
                log.info("ignored a retained command at %r", request.topic)
            else:
                self._guarded(request)

    def _guarded(self, request: Request) -> None:
        """The last line of defence: whatever a command brings about, the thread takes the next one."""
        try:
            self._handle(request)
        except Exception:
            log.exception("a mistake in a command; others are taken")

    def _allowed(self) -> bool:
        now = time.monotonic()
        self._allowance = min(_BURST, self._allowance + (now - self._allowance_at) * _PER_SECOND)
        self._allowance_at = now
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True

    def _handle(self, request: Request) -> None:
        verb = request.topic.rpartition("/")[2]
        error = self._do(verb, request.payload)
        if error:
            log.warning("refused a command %.40r: %s", verb, error)
        else:
            log.info("did as commanded: %s", verb)
        to = request.response_topic or self._topics.ack
        if self._may_answer_to(to):
            answer = messages.ack(to, verb[:40], error=error, correlation=request.correlation[:LARGEST])
            self._delivery.answer(answer)

    def _do(self, verb: str, payload: bytes) -> str:
        """Why it was not done; empty when it was."""
        command = self._commands.get(verb)
        if command is None:
            return f"it is not among the commands that are enabled: {', '.join(self._commands)}"
        try:
            command.do(self._arguments(command, payload))
        except (EdgerunError, ValueError) as error:
            return str(error)
        return ""

    def _arguments(self, command: _Command, payload: bytes) -> dict[str, Any]:
        given = parse(payload)
        unknown = given.keys() - set(command.fields)
        if unknown:
            raise ValueError(f"it takes {', '.join(command.fields) or 'nothing'}, not {sorted(unknown)[0][:40]!r}")
        missing = set(command.required) - given.keys()
        if missing:
            raise ValueError(f"it needs {sorted(missing)[0]}")
        for name, value in given.items():
            _CHECKS[name](value)
        camera = given.setdefault("camera", "")
        if camera and camera not in self._actions.cameras():
            raise ValueError(f"there is no camera {camera[:40]!r}")
        return given

    def _set(self, given: Mapping[str, Any]) -> None:
        score, fps = given.get("score"), given.get("fps")
        if score is None and fps is None:
            raise ValueError("it needs score or fps")
        self._actions.set(given["camera"], score, fps)

    def _may_answer_to(self, topic: str) -> bool:
        """Anywhere but where somebody would take the answer for a message of ours, or for a command."""
        if topic == self._topics.ack:
            return True
        if not is_topic(topic, _LONGEST_TOPIC):
            return False
        levels = topic.split("/")
        within = topic.removeprefix(f"{self._topics.base}/").split("/")[0]
        return "cmd" not in levels and levels[-1] not in _TAKEN and within not in self._actions.cameras()


def parse(payload: bytes) -> dict[str, Any]:
    """A command's arguments: nothing, or one JSON object of some plain values. Raises ValueError."""
    if len(payload) > LARGEST:
        raise ValueError(f"it is larger than {LARGEST} bytes")
    if not payload.strip():
        return {}
    try:
        given = json.loads(payload.decode("utf-8"), parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"it is not JSON: {error}"[:200]) from None
    if not isinstance(given, dict):
        raise ValueError("it is not a JSON object")
    return given


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _check_camera(value: object) -> None:
    if not isinstance(value, str):
        raise ValueError("camera must be a camera's name")


def _check_flag(value: object) -> None:
    if not isinstance(value, bool):
        raise ValueError("paused must be true or false")


def _check_number(name: str, low: float, high: float) -> Callable[[object], None]:
    def check(value: object) -> None:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not low <= value <= high:  # type: ignore[operator]  # a number, or it was refused before
            raise ValueError(f"{name} must be a number from {low:g} to {high:g}")

    return check


def _check_seq(value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 53:
        raise ValueError("since_seq must be a whole number from 0 on")


_CHECKS: Mapping[str, Callable[[object], None]] = {
    "camera": _check_camera,
    "paused": _check_flag,
    "score": _check_number("score", 0.0, 1.0),
    "fps": _check_number("fps", 0.1, 240.0),
    "since_seq": _check_seq,
}
