"""How it looks what devices publish: message by message, alert by alert, or as a table of their cameras."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from edgerun.logs import plain
from edgerun.records import dataclass
from edgerun.stages import Request

if TYPE_CHECKING:
    from rich.console import RenderableType

_ALERTS = 15
_RATE_S = 5.0


def _payload(request: Request) -> Any:
    """JSON where it is, else text; a picture as its size."""
    try:
        text = request.payload.decode()
    except UnicodeDecodeError:
        return f"{len(request.payload)} bytes"
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def print_json(request: Request) -> None:
    """Whatever it is, as one line of JSON."""
    payload = _payload(request)
    try:
        line = json.dumps({"topic": request.topic, "payload": payload}, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):  # Python reads some that is no JSON, such as NaN
        line = json.dumps({"topic": request.topic, "payload": request.payload.decode()}, ensure_ascii=False)
    print(line, flush=True)


def clock(told: str) -> str:
    """The time of day, on this machine's clock as its log has it, of a time in a message, which is UTC."""
    try:
        return datetime.fromisoformat(told.replace("Z", "+00:00")).astimezone().strftime("%H:%M:%S")
    except (ValueError, OverflowError):
        return told[11:19]


class Alerts:
    """The newest alert of each camera, as a line."""

    def __init__(self) -> None:
        self._seqs: dict[tuple[object, object], int] = {}

    def line(self, alert: dict[str, Any]) -> str:
        """Empty when it was told already; tells how many others a burst brought since."""
        camera, seq = (alert.get("device"), alert.get("camera")), alert.get("seq", 0)
        told = f"{clock(alert.get('captured', ''))}  {_in_words(alert)}"
        before = self._seqs.get(camera, seq - 1)
        if seq == before:
            return ""
        self._seqs[camera] = seq
        others = f"  (and {seq - before - 1} before it)" if seq > before + 1 else ""
        return plain(told + others)


def print_line(alerts: Alerts, request: Request) -> None:
    """For files, and terminals without rich: alerts and changes of state, a line each."""
    kind = request.topic.rpartition("/")[2]
    payload = _payload(request)
    if kind == "last" and isinstance(payload, dict):
        if line := alerts.line(payload):
            print(line, flush=True)
    elif kind in ("status", "state") and not request.retained:
        state = payload.get("state", "") if isinstance(payload, dict) else payload
        print(plain(f"          {request.topic}: {state}"), flush=True)


def _in_words(alert: dict[str, Any]) -> str:
    """An alert in one line."""
    things = ", ".join(f"{thing['label']} {thing['score']:.0%}" for thing in alert.get("objects", ()))
    where = alert.get("zone") or alert.get("line") or ""
    parts = [alert.get("camera", ""), alert.get("rule", ""), f"{alert.get('kind', '')} {alert.get('type', '')}", where]
    again = " (again)" if alert.get("replayed") else ""
    return "  ".join(part for part in [*parts, alert.get("direction", ""), things] if part) + again


@dataclass
class _Camera:
    state: str = ""
    frames: list[float] = field(default_factory=list)
    objects: str = ""
    inference: str = ""


class View:
    """What is known of all devices, and how it looks."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._cameras: dict[tuple[str, str], _Camera] = {}
        self._alerts = Alerts()
        self._lines: list[str] = []
        self._status: dict[str, str] = {}
        self.news = "connecting"

    def take(self, request: Request) -> None:
        levels = request.topic.removeprefix(f"{self._prefix}/").split("/")
        payload = _payload(request)
        if len(levels) == 2 and levels[1] == "status":
            self._status[levels[0]] = str(payload)
        if len(levels) < 3 or not isinstance(payload, dict):
            return
        device, camera, kind = levels[:3]
        if kind == "alerts":
            if line := self._alerts.line(payload):
                self._lines = [*self._lines, line][-_ALERTS:]
            return
        row = self._cameras.setdefault((device, camera), _Camera())
        if kind == "state":
            row.state = str(payload.get("state", ""))
        else:
            now, spent = time.monotonic(), payload.get("inference_ms")
            row.frames = [at for at in row.frames if now - at < _RATE_S] + [now]
            row.inference = f"{spent:.1f} ms" if spent is not None else ""
            row.objects = _seen(payload.get("objects", ()))

    def render(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(expand=True)
        for name in ("device", "camera", "state", "fps", "inference", "sees now"):
            table.add_column(name)
        now = time.monotonic()
        for (device, camera), row in sorted(self._cameras.items()):
            fps = sum(now - at < _RATE_S for at in row.frames) / _RATE_S
            status = self._status.get(device, "")
            name = device if status in ("", "online") else f"{device} ({status})"
            cells = (name, camera, row.state, f"{fps:.1f}", row.inference, row.objects)
            table.add_row(*(Text(plain(cell)) for cell in cells))
        alerts = Text("\n".join(reversed(self._lines)) or "no alert yet")
        return Group(table, Text(self.news, style="red"), Text("Alerts", style="bold"), alerts)


def _seen(objects: Any) -> str:
    counts = Counter(thing["label"] for thing in objects if thing.get("track_id") is not None)
    return ", ".join(f"{count} {label}" for label, count in sorted(counts.items()))
