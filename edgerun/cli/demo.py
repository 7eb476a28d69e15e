"""``edgerun demo``: the real daemon on the bundled clip, and a subscriber in this process that prints what arrives."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from edgerun.bench.service import free_port
from edgerun.children import die_with_parent
from edgerun.cli.arguments import above_zero, literal
from edgerun.cli.view import clock
from edgerun.errors import EdgerunError, SinkError
from edgerun.models.store import BUNDLED

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

_CONFIG = """\
device: demo
state_dir: {state_dir}
mqtt:
  embedded: true
  host: 127.0.0.1
  port: {port}
cameras:
  plaza:
    source: {{type: file, path: {clip}, loop: true}}
    fps: 10
    zones:
      path: {{polygon: [[0.0, 0.33], [0.42, 0.34], [0.47, 0.56], [0.0, 0.44]]}}
      corner: {{polygon: [[0.62, 0.22], [0.93, 0.24], [0.97, 0.62], [0.58, 0.6]]}}
    lines:
      crossing: {{from: [0.52, 0.28], to: [0.52, 0.85]}}
    rules:
      - {{name: visitor, when: enter, zone: path, labels: [person]}}
      - {{name: loiterer, when: dwell, zone: corner, labels: [person], seconds: 4}}
      - {{name: passer-by, when: cross, line: crossing, labels: [person]}}
"""
_START_S = 60.0
_STOP_S = 10.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=above_zero, metavar="N", help="end after N seconds (default: Ctrl-C)")
    parser.add_argument("--json", action="store_true", help='one line per message: {"topic","payload"}')


def run(args: argparse.Namespace) -> int:
    arrived: SimpleQueue[MQTTMessage] = SimpleQueue()
    seen: Counter[str] = Counter()
    show = _print_json if args.json else _Printer()
    with tempfile.TemporaryDirectory(prefix="edgerun-demo-") as folder:
        port = free_port()
        config = Path(folder) / "demo.yaml"
        text = _CONFIG.format(state_dir=literal(folder), port=port, clip=literal(str(BUNDLED / "demo.mp4")))
        config.write_text(text, encoding="utf-8")
        print(f"starting the daemon with a broker of its own on port {port}", file=sys.stderr)
        daemon = subprocess.Popen(
            [sys.executable, "-m", "edgerun", "run", "-c", str(config)],
            preexec_fn=partial(die_with_parent, signal.SIGTERM),  # safe, as there is no thread yet
        )
        try:
            _subscribe(port, arrived, daemon)
            _show(arrived, seen, show, daemon, args.seconds)
        finally:
            _stop(daemon)
    alerts = ", ".join(f"{count} {kind}" for kind, count in seen.items() if kind != "detections") or "none"
    print(f"{seen['detections']} frames of detections; alerts: {alerts}", file=sys.stderr)
    return 0 if seen["detections"] else 1


def _subscribe(port: int, arrived: SimpleQueue[MQTTMessage], daemon: subprocess.Popen[bytes]) -> None:
    """Connect as any subscriber would, once the broker is there. Raises EdgerunError when that never happens."""
    from paho.mqtt.client import Client, MQTTv311
    from paho.mqtt.enums import CallbackAPIVersion

    client = Client(CallbackAPIVersion.VERSION2, "edgerun-demo-subscriber", protocol=MQTTv311)
    client.on_connect = lambda client, *_: client.subscribe("edgerun/#", qos=1)
    client.on_message = lambda _client, _context, message: arrived.put(message)
    until = time.monotonic() + _START_S
    while True:
        _still_running(daemon)
        try:
            client.connect("127.0.0.1", port)
            break
        except OSError as error:
            if time.monotonic() > until:
                raise SinkError(f"the embedded broker does not answer on port {port}: {error}") from error
            time.sleep(0.1)
    client.loop_start()


def _show(
    arrived: SimpleQueue[MQTTMessage],
    seen: Counter[str],
    show: Callable[[str, Any], None],
    daemon: subprocess.Popen[bytes],
    seconds: float | None,
) -> None:
    until = time.monotonic() + seconds if seconds else float("inf")
    try:
        while time.monotonic() < until:
            _still_running(daemon)
            try:
                message = arrived.get(timeout=0.2)
            except Empty:
                continue
            if message.topic.endswith("/snapshot"):
                continue
            text = message.payload.decode("utf-8", "replace")
            payload: Any = json.loads(text) if text[:1] in "{[0123456789" else text
            if message.topic.endswith("/detections"):
                seen["detections"] += 1
            elif message.topic.endswith("/alerts"):
                seen[payload["kind"]] += 1
            show(message.topic, payload)
    except KeyboardInterrupt:
        return


def _still_running(daemon: subprocess.Popen[bytes]) -> None:
    if daemon.poll() is not None:
        raise EdgerunError(f"the daemon ended with status {daemon.returncode}; what it said stands above")


def _stop(daemon: subprocess.Popen[bytes]) -> None:
    daemon.send_signal(signal.SIGTERM)
    try:
        daemon.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def _print_json(topic: str, payload: Any) -> None:
    print(json.dumps({"topic": topic, "payload": payload}), flush=True)


class _Printer:
    """Alerts as they come; detections once a second, as nobody reads ten lines a second."""

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, topic: str, payload: Any) -> None:
        if topic.endswith("/detections"):
            if time.monotonic() - self._last < 1.0:
                return
            self._last = time.monotonic()
            tracked = [thing for thing in payload["objects"] if thing["track_id"] is not None]
            names = "  ".join(f"{thing['label']} #{thing['track_id']} {thing['score']:.2f}" for thing in tracked)
            spent = payload["inference_ms"]
            took = f"{spent:.1f} ms" if spent is not None else "nothing moved"
            print(f"{clock(payload['captured'])}  {payload['camera']}  {took}  {names}", flush=True)
        elif topic.endswith("/alerts"):
            where = payload["zone"] or payload["line"] or ""
            who = ", ".join(f"{thing['label']} #{thing['track_id']}" for thing in payload["objects"])
            what = f"{payload['rule']} ({payload['kind']} {payload['type']})"
            line = f"{what} at {where}: {who} {payload['direction'] or ''}"
            bold, plain = ("\033[1;33m", "\033[0m") if sys.stdout.isatty() else ("", "")
            print(f"{clock(payload['captured'])}  {bold}ALERT  {line.rstrip()}{plain}", flush=True)
        elif topic.endswith(("/status", "/state")) and not isinstance(payload, dict):
            print(f"          {topic}: {payload}", flush=True)
