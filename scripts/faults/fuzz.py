"""Row 19: nonsense in configuration and commands, and a secret that must be found nowhere."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import random
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from edgerun.config import problems
from edgerun.errors import ConfigError
from edgerun.runtime.exchange.commands import Commands
from edgerun.runtime.health.footprint import processes
from edgerun.stages import Request
from edgerun.topics import Topics
from edgerun.types import Message
from faults.row import Outcome, Row, Terms
from tests.daemon_process import REPOSITORY, DaemonProcess, wait_for
from tests.outages import camera, clip
from tests.servers.mosquitto import Mosquitto
from tests.subscriber import Subscriber

_LIMIT_S = 0.1
_TRIES = 3
_SHARDS = 16
"""Each with its own chance, so that the cases are the same on any number of processors."""
_VERBS = ("ping", "reload", "pause", "resume", "snapshot", "set", "replay", "test_alert")
_CANARY = "canary-b7c1e4"
_SCRAPS = (
    b"{", b"}", b"[", b"]", b":", b",", b'"', b"null", b"true", b"NaN", b"1e999", b"-1", b"\xff\xfe", b"\0",
    b"&a", b"*a", b"<<: *a", b"!!python/object:os.system", b"${HOME}", b"../../etc/passwd", b"\xf0\x9f\x98\x80",
    b" " * 50, b"[" * 200, b"{a: " * 60, b"9" * 400, b"\n", b"\t", b"- ", b"? ", b"|",
    b"camera", b"fps", b"since_seq", b"score", b"porch",
)  # fmt: skip


class _Nowhere:
    """Stands where the delivery and the cameras stand; takes everything."""

    def __init__(self) -> None:
        self.commands: SimpleQueue[Request] = SimpleQueue()
        self.answers = 0

    def answer(self, message: Message) -> None:
        self.answers += bool(json.loads(message.payload))

    def replay(self, since_seq: int, camera: str = "") -> None: ...

    def cameras(self) -> tuple[str, ...]:
        return ("porch",)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def mutated(chance: random.Random, text: bytes) -> bytes:
    """The text with some of it gone, doubled, turned or replaced by scraps."""
    content = bytearray(text)
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(content) + 1)
        end = min(len(content), at + chance.randrange(0, 12))
        match chance.randrange(4):
            case 0:
                del content[at:end]
            case 1:
                content[at:at] = chance.choice(_SCRAPS)
            case 2:
                content[at:at] = content[at:end] * chance.randrange(1, 4)
            case _:
                content[at:end] = chance.randbytes(end - at)
    return bytes(content)


def _commands(chance: random.Random, count: int) -> tuple[int, int]:
    """How many failed in any way but a refusal in words, and how many took too long."""
    nowhere = _Nowhere()
    actor: Any = nowhere
    commands = Commands(Topics("edgerun", "pi"), _VERBS, actor, actor)
    good = [b"{}", b'{"camera":"porch"}', b'{"camera":"porch","fps":5,"score":0.5}', b'{"since_seq":17}', b""]
    failed = slow = 0
    for n in range(count):
        verb = chance.choice(_VERBS) if n % 4 else mutated(chance, b"reload").decode("latin-1")
        topic = chance.choice(
            ["", "a/b", "edgerun/pi/cmd/reload", "$SYS/x", "#", mutated(chance, b"a/b").decode("latin-1")]
        )
        request = Request(f"edgerun/pi/cmd/{verb}", mutated(chance, chance.choice(good)), False, topic, b"c")
        wrong, late = _tried(lambda: commands._handle(request))  # noqa: B023  called at once
        failed += wrong
        slow += late
    return failed, slow


def _configs(chance: random.Random, count: int, folder: Path) -> tuple[int, int]:
    """The same of configuration files."""
    samples = [path.read_bytes() for path in sorted((REPOSITORY / "configs").rglob("*.yaml"))]
    file = folder / "fuzzed.yaml"
    file.write_bytes(samples[0])
    problems(file)  # what is imported once takes its time
    failed = slow = 0
    for _ in range(count):
        file.write_bytes(mutated(chance, chance.choice(samples)))
        wrong, late = _tried(lambda: problems(file))
        failed += wrong
        slow += late
    return failed, slow


def _tried(deed: Callable[[], object]) -> tuple[bool, bool]:
    """Whether it failed otherwise than in words, and whether it takes too long each time: once, and the machine was
    busy with something else."""
    late = 0
    for _ in range(_TRIES):
        began = time.perf_counter()
        try:
            deed()
        except ConfigError:
            pass
        except Exception:  # noqa: BLE001  any other ends a thread, or is a traceback for the user: that is looked for
            return True, False
        if time.perf_counter() - began < _LIMIT_S:
            break
        late += 1
    return False, late == _TRIES


def _shard(number: int, seed: str, commands: int, configs: int, folder: Path) -> tuple[int, int, int, int]:
    """A part of all cases, in a process of its own: failed and slow commands, failed and slow configurations."""
    logging.disable(logging.CRITICAL)
    own = folder / str(number)
    own.mkdir()
    os.environ["XDG_CACHE_HOME"] = str(own / "cache")
    chance = random.Random(f"{seed}/{number}")
    return *_commands(chance, commands), *_configs(chance, configs, own)


def _canaries(terms: Terms) -> list[str]:
    """Where the secret was found."""
    config = {
        "device": "pi",
        "log": {"level": "debug"},
        "cameras": {
            "good": camera(clip()),
            "rtsp": camera({"type": "rtsp", "url": f"rtsp://cam:{_CANARY}@127.0.0.1:1/stream"}),
            "http": camera({"type": "http", "url": f"http://cam:{_CANARY}@127.0.0.1:1/video"}),
        },
    }
    with (
        Mosquitto(terms.folder / "broker") as broker,
        Subscriber(broker.port, topic="#") as subscriber,
        DaemonProcess(terms.folder / "daemon", config) as daemon,
    ):
        mqtt = {"host": "127.0.0.1", "port": broker.port, "username": "pi", "password": _CANARY}
        daemon.write({**config, "state_dir": str(terms.folder / "state"), "mqtt": {**mqtt, "home_assistant": True}})
        daemon.ready()
        wait_for(
            lambda: daemon.said("camera rtsp is offline") and daemon.said("camera http is offline"), 30, daemon.log
        )
        subscriber.wait("/good/alerts", 30)
        places = {
            "the log": daemon.log(),
            "health": json.dumps(daemon.health()),
            "process titles": " ".join(processes(daemon.pid).values()),
            "environments": "".join(_environment(pid) for pid in processes(daemon.pid)),
            "MQTT": "".join(found.topic + found.payload.decode("latin-1") for found in subscriber.arrivals),
        }
        daemon.stop()
        for file in (terms.folder / "state").rglob("*"):
            if file.is_file():
                places[f"the state's {file.name}"] = file.read_bytes().decode("latin-1")
    return [place for place, text in places.items() if _CANARY in text]


def _environment(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().decode("latin-1")
    except OSError:
        return ""


def _play(terms: Terms) -> Outcome:
    commands, configs = terms.times(900_000, 20_000), terms.times(100_000, 500)
    each = commands // _SHARDS + 1, configs // _SHARDS + 1
    shard = partial(_shard, seed=str(terms.chance.random()), commands=each[0], configs=each[1], folder=terms.folder)
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        parts = pool.map(shard, range(_SHARDS))
        failed, slow, bad, late = (sum(column) for column in zip(*parts, strict=True))
    found = _canaries(terms)
    limit = f"over {_LIMIT_S * 1000:g} ms"
    figure = (
        f"{each[0] * _SHARDS} commands: {failed} crashes, {slow} {limit}; {each[1] * _SHARDS} configurations: "
        f"{bad} crashes, {late} {limit}; the secret was found in {', '.join(found) or 'no place'}"
    )
    return Outcome(figure, not any((failed, slow, bad, late, *found)))


ROWS = [Row(19, "10^6 cases of nonsense, a secret", "0 crashes, 0 hangs over 100 ms, 0 hits", _play)]
