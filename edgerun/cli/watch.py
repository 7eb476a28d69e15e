"""``edgerun watch``: a live, readable view of what devices publish.

It reads the newest alert of each camera (``alerts/last``) and not ``alerts`` itself: whoever subscribes to that claims
the alerts, and one who is away would never get them. With ``--json`` everything is asked for, as by any subscriber.
"""

from __future__ import annotations

import argparse
import getpass
import logging
import os
import queue
import re
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from edgerun.cli.arguments import above_zero, port
from edgerun.cli.view import Alerts, View, print_json, print_line
from edgerun.errors import ConfigError
from edgerun.secrets import Secret
from edgerun.sinks.mqtt import MqttOptions, MqttSink
from edgerun.sinks.mqtt_endpoint import TlsOptions
from edgerun.stages import Request, Verdict
from edgerun.topics import NAME

_REDRAW_S = 0.25
_SHOWN = ("status", "+/state", "+/detections", "+/alerts/last")
_ARGUMENTS = {
    "mqtt.host": "--host",
    "mqtt.port": "--port",
    "mqtt.username": "--username",
    "mqtt.password": "EDGERUN_MQTT_PASSWORD",
    "mqtt.tls": "--tls",
    "mqtt.tls.ca": "--ca",
    'mqtt.version: "3.1.1"': "--mqtt 3.1.1",
}
"""What is called otherwise here than in the configuration."""
_OF_ANOTHER_FORM = (AttributeError, KeyError, TypeError, ValueError)
"""What comes of reading a payload that is none of ours: anybody may publish at these topics."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="the broker (default: %(default)s)")
    parser.add_argument("--port", type=port, help="default: 1883, with --tls 8883")
    parser.add_argument("--username", default="", help="its password: from $EDGERUN_MQTT_PASSWORD, or asked for")
    parser.add_argument("--tls", action="store_true", help="encrypt the connection")
    parser.add_argument("--ca", default="", metavar="FILE", help="certificates to trust; implies --tls")
    parser.add_argument("--mqtt", choices=["5", "3.1.1"], help="MQTT version (default: 5, else 3.1.1)")
    parser.add_argument("--prefix", default="edgerun")
    parser.add_argument("--device", type=_device, default="+", help="one device (default: all)")
    parser.add_argument("--seconds", type=above_zero, metavar="S", help="end after so long")
    parser.add_argument("--json", action="store_true", help='one line per message: {"topic","payload"}; claims alerts')


def run(args: argparse.Namespace) -> int:
    inbox: queue.SimpleQueue[Request | str] = queue.SimpleQueue()
    topics = ("#",) if args.json else _SHOWN
    subscriptions = tuple(f"{args.prefix}/{args.device}/{topic}" for topic in topics)
    logging.getLogger("edgerun").addHandler(logging.NullHandler())  # what goes wrong is told by the view itself
    sink = MqttSink(
        _options(args), f"watch-{os.getpid()}", None, subscriptions, any_version=args.mqtt is None, any_size=True
    )
    sink.open(_Inbox(inbox))
    until = time.monotonic() + args.seconds if args.seconds else float("inf")
    try:
        if args.json:
            _follow(inbox, until, print_json)
        elif not (sys.stdout.isatty() and _show_table(inbox, until, args.prefix)):
            _follow(inbox, until, partial(print_line, Alerts()))
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
            version=args.mqtt or "5",
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
        self._inbox.put(re.sub("`(mqtt[^`]*)`", lambda key: f"`{_ARGUMENTS.get(key[1], key[1])}`", reason))

    def denied(self, topic: str, reason: str) -> None:
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


def _show_table(inbox: queue.SimpleQueue[Request | str], until: float, prefix: str) -> bool:
    """Show it with rich; False without rich."""
    try:
        from rich.live import Live
    except ImportError:
        return False
    view = View(prefix)
    with Live(view.render(), refresh_per_second=4) as live:
        while time.monotonic() < until:
            _take_all(inbox, view)
            live.update(view.render())
    return True


def _take_all(inbox: queue.SimpleQueue[Request | str], view: View) -> None:
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
