"""``edgerun watch``: a live, readable view of what devices publish.

It reads the newest alert of each camera (``alerts/last``) and not ``alerts`` itself: whoever subscribes to that claims
the alerts, and one who is away would never get them. With ``--json`` everything is asked for, as by any subscriber.
"""

from __future__ import annotations

import argparse
import getpass
import json
import logging
import os
import queue
import re
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, Any

from edgerun.cli.arguments import above_zero, port
from edgerun.errors import ConfigError
from edgerun.records import dataclass
from edgerun.secrets import Secret
from edgerun.sinks.mqtt import MqttOptions, MqttSink
from edgerun.sinks.mqtt_endpoint import TlsOptions
from edgerun.stages import Request, Verdict
from edgerun.topics import NAME

if TYPE_CHECKING:
    from rich.console import RenderableType

_ALERTS = 15
_REDRAW_S = 0.25
_RATE_S = 5.0
_SHOWN = ("status", "+/state", "+/detections", "+/alerts/last")
_OF_ANOTHER_FORM = (AttributeError, KeyError, TypeError, ValueError)
"""What comes of reading a payload that is none of ours: anybody may publish at these topics."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="the broker (default: %(default)s)")
    parser.add_argument("--port", type=port, help="default: 1883, with --tls 8883")
    parser.add_argument("--username", default="", help="its password: from $EDGERUN_MQTT_PASSWORD, or asked for")
    parser.add_argument("--tls", action="store_true", help="encrypt the connection")
    parser.add_argument("--ca", default="", metavar="FILE", help="certificates to trust; implies --tls")
    parser.add_argument("--mqtt", choices=["5", "3.1.1"], default="5", help="MQTT version (embedded broker: 3.1.1)")
    parser.add_argument("--prefix", default="edgerun")
    parser.add_argument("--device", type=_device, default="+", help="one device (default: all)")
    parser.add_argument("--seconds", type=above_zero, metavar="S", help="end after so long")
    parser.add_argument("--json", action="store_true", help='one line per message: {"topic","payload"}; claims alerts')


def run(args: argparse.Namespace) -> int:
    inbox: queue.SimpleQueue[Request | str] = queue.SimpleQueue()
    topics = ("#",) if args.json else _SHOWN
    subscriptions = tuple(f"{args.prefix}/{args.device}/{topic}" for topic in topics)
    logging.getLogger("edgerun").addHandler(logging.NullHandler())  # what goes wrong is told by the view itself
    sink = MqttSink(_options(args), f"watch-{os.getpid()}", None, subscriptions)
    sink.open(_Inbox(inbox))
    until = time.monotonic() + args.seconds if args.seconds else float("inf")
    try:
        if args.json:
            _follow(inbox, until, _print_json)
        elif not (sys.stdout.isatty() and _view(inbox, until, args.prefix)):
            _follow(inbox, until, partial(_print_line, _Alerts()))
    finally:
        sink.close()
    return 0


def _device(text: str) -> str:
    if text != "+" and not re.fullmatch(NAME, text):
        raise argparse.ArgumentTypeError(f"must be the name of a device, not {text!r}")
    return text


def _options(args: argparse.Namespace) -> MqttOptions:
    tls = TlsOptions(ca=args.ca) if args.tls or args.ca else None
    try:
        return MqttOptions(
            host=args.host,
            port=args.port or (8883 if tls else 1883),
            username=args.username,
            password=Secret(_password(args.username)),
            tls=tls,
            version=args.mqtt,
            prefix=args.prefix,
            client_id=f"edgerun-watch-{os.getpid()}",
        )
    except ValueError as error:
        raise ConfigError(f"the connection asked for {error}") from error


def _password(username: str) -> str:
    """Never an argument, which every user of the machine can see."""
    known = os.environ.get("EDGERUN_MQTT_PASSWORD", "")
    if known or not username or not sys.stdin.isatty():
        return known
    try:
        return getpass.getpass(f"Password of {username}: ")
    except EOFError:
        raise ConfigError("no password was given") from None


class _Inbox:
    """Passes on what the sink tells: messages, and connection news as text."""

    def __init__(self, inbox: queue.SimpleQueue[Request | str]) -> None:
        self._inbox = inbox

    def connected(self, window: int, session: int) -> None:
        self._inbox.put("")

    def disconnected(self, reason: str) -> None:
        self._inbox.put(reason)

    def answered(self, token: int, verdict: Verdict, reason: str) -> None:
        """Nothing is offered here."""

    def received(self, request: Request) -> None:
        self._inbox.put(request)


def _follow(inbox: queue.SimpleQueue[Request | str], until: float, show: Callable[[Request], None]) -> None:
    said: str | None = None
    while (left := until - time.monotonic()) > 0:
        try:
            item = inbox.get(timeout=min(left, 1.0))
        except queue.Empty:
            continue
        if isinstance(item, Request):
            with suppress(*_OF_ANOTHER_FORM):
                show(item)
        elif item != said:
            print(f"edgerun: {item or 'connected'}", file=sys.stderr)
            said = item


def payload_of(request: Request) -> Any:
    """JSON where it is, else text; a picture as its size."""
    try:
        text = request.payload.decode()
    except UnicodeDecodeError:
        return f"{len(request.payload)} bytes"
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _print_json(request: Request) -> None:
    payload = payload_of(request)
    try:
        line = json.dumps({"topic": request.topic, "payload": payload}, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):  # Python reads some that is no JSON, such as NaN
        line = json.dumps({"topic": request.topic, "payload": request.payload.decode()}, ensure_ascii=False)
    print(line, flush=True)


def _plain(text: str) -> str:
    """Without characters that a terminal would take for orders to itself."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


class _Alerts:
    """The newest alert of each camera, as a line."""

    def __init__(self) -> None:
        self._seqs: dict[tuple[object, object], int] = {}

    def line(self, alert: dict[str, Any]) -> str:
        """Empty when it was told already; tells how many others a burst brought since."""
        camera, seq = (alert.get("device"), alert.get("camera")), alert.get("seq", 0)
        told = f"{alert.get('captured', '')[11:19]}  {describe(alert)}"
        before = self._seqs.get(camera, seq - 1)
        if seq == before:
            return ""
        self._seqs[camera] = seq
        others = f"  (and {seq - before - 1} before it)" if seq > before + 1 else ""
        return _plain(told + others)


def _print_line(alerts: _Alerts, request: Request) -> None:
    """For files, and terminals without rich: alerts and changes of state, a line each."""
    kind = request.topic.rpartition("/")[2]
    payload = payload_of(request)
    if kind == "last" and isinstance(payload, dict):
        if line := alerts.line(payload):
            print(line, flush=True)
    elif kind in ("status", "state") and not request.retained:
        state = payload.get("state", "") if isinstance(payload, dict) else payload
        print(_plain(f"          {request.topic}: {state}"), flush=True)


def describe(alert: dict[str, Any]) -> str:
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


class _View:
    """What is known of all devices, and how it looks."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._cameras: dict[tuple[str, str], _Camera] = {}
        self._alerts = _Alerts()
        self._lines: list[str] = []
        self._status: dict[str, str] = {}
        self.news = "connecting"

    def take(self, request: Request) -> None:
        levels = request.topic.removeprefix(f"{self._prefix}/").split("/")
        payload = payload_of(request)
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
            table.add_row(*(Text(_plain(cell)) for cell in cells))
        alerts = Text("\n".join(reversed(self._lines)) or "no alert yet")
        return Group(table, Text(self.news, style="red"), Text("Alerts", style="bold"), alerts)


def _seen(objects: Any) -> str:
    counts: dict[str, int] = {}
    for thing in objects:
        if thing.get("track_id") is not None:
            counts[thing["label"]] = counts.get(thing["label"], 0) + 1
    return ", ".join(f"{count} {label}" for label, count in sorted(counts.items()))


def _view(inbox: queue.SimpleQueue[Request | str], until: float, prefix: str) -> bool:
    """Show it with rich; False without rich."""
    try:
        from rich.live import Live
    except ImportError:
        return False
    view = _View(prefix)
    with Live(view.render(), refresh_per_second=4) as live:
        while time.monotonic() < until:
            _take_all(inbox, view)
            live.update(view.render())
    return True


def _take_all(inbox: queue.SimpleQueue[Request | str], view: _View) -> None:
    """Take what comes until it is time to draw again."""
    redraw = time.monotonic() + _REDRAW_S
    while (left := redraw - time.monotonic()) > 0:
        try:
            item = inbox.get(timeout=left)
        except queue.Empty:
            return
        if isinstance(item, Request):
            with suppress(*_OF_ANOTHER_FORM):
                view.take(item)
        else:
            view.news = item
