"""The whole daemon under load: throughput, CPU for each frame, shares between cameras, faults, and idling."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable

from edgerun.bench.clips import still
from edgerun.bench.figures import Figure, Section, percentile
from edgerun.bench.processes import hold, let_go, machine_busy, spent
from edgerun.bench.service import Service, Setup, serving
from edgerun.bench.subscriber import Arrival, unix
from edgerun.bench.workplace import Workplace
from edgerun.runtime.health.footprint import engine_pids

_SETTLE_S = 1.0
_AFTER_HOLD_S = 0.3
_KILL_EVERY_S = 3.0
_STILL_FPS = 5
_ANY_FPS = 240.0


def saturated(place: Workplace) -> Section:
    """As fast as it goes, with one worker against the bare loop with one thread, and with all cores."""
    section = Section(f"Saturated: {place.conditions}")
    cores = max(2, len(os.sched_getaffinity(0)))
    for workers, goal, cpu_goal in ((1, "≥ 0.98", "≤ 1.08"), (cores, "≥ 0.90", "")):
        setup = place.setup(_ANY_FPS, pace=False).but(workers=workers)
        rounds = []
        with serving(setup, place.broker, place.folder) as service:
            time.sleep(_SETTLE_S)
            for _ in range(place.repeats):
                hold(service.pid)
                bare = place.floor.ask(do="bare", threads=workers, seconds=place.seconds)
                frames = place.floor.ask(do="frames", threads=1, seconds=place.seconds)
                let_go(service.pid)
                time.sleep(_AFTER_HOLD_S)
                rounds.append((bare["per_s"], frames["cpu_ms"], *_window(service, place.seconds)))
        per_s, cpu, served, cost, busy = zip(*rounds, strict=True)
        who = f"{workers} worker{'s' if workers > 1 else ''}"
        threads = f"bare engine, {workers} thread{'s' if workers > 1 else ''}"
        section.figures += [
            Figure(f"inferences published, {who}", "/s", served, per_s, threads, goal=goal),
            Figure(f"CPU per frame, {who}", "ms", cost, cpu, "decode, prepare, infer", goal=cpu_goal),
            Figure(f"machine's CPU in use, {who}", "%", busy, goal="≥ 95" if workers > 1 else ""),
        ]
    return section


def _window(service: Service, seconds: float) -> tuple[float, float, float]:
    """Frames published a second, CPU ms for each (all of the daemon's processes), and the machine's use in %."""
    count, before, (busy, had), began = len(service.subscriber), spent(service.pid), machine_busy(), time.perf_counter()
    time.sleep(seconds)
    count, after = len(service.subscriber) - count, spent(service.pid).since(before)
    took, (busy_now, had_now) = time.perf_counter() - began, machine_busy()
    return count / took, after.cpu_s / max(count, 1) * 1000, (busy_now - busy) / max(had_now - had, 1e-9) * 100


def latency(place: Workplace) -> Section:
    """From the decoded frame to the subscriber, against preparing and inferring alone at the same pace."""
    section = Section(f"Latency, decoded frame to subscriber: {place.conditions}")
    for fps in (10.0, 30.0):
        rounds = []
        with serving(place.setup(fps), place.broker, place.folder) as service:
            time.sleep(_SETTLE_S)
            for _ in range(place.repeats):
                hold(service.pid)
                floor = place.floor.ask(do="paced", threads=1, fps=fps, seconds=place.seconds * 2)
                let_go(service.pid)
                time.sleep(_AFTER_HOLD_S)
                took = _latencies(_watch(service, place.seconds * 2))
                rounds.append((floor["p50"], percentile(took, 50), floor["p99"], percentile(took, 99)))
        floor50, ours50, floor99, ours99 = zip(*rounds, strict=True)
        name = "paced prepare and infer"
        section.figures += [
            Figure(f"p50 at {fps:g} fps", "ms", ours50, floor50, name, "difference", "≤ floor + 1.5"),
            Figure(f"p99 at {fps:g} fps", "ms", ours99, floor99, f"{name}, p99", "difference", "≤ floor + 3"),
        ]
    return section


def _watch(service: Service, seconds: float) -> list[Arrival]:
    before = len(service.subscriber)
    time.sleep(seconds)
    return service.subscriber.since(before)


def _latencies(arrivals: list[Arrival]) -> list[float]:
    """Milliseconds from capture to arrival of the frames that were inferred."""
    return [(one.at - unix(told["captured"])) * 1000 for one in arrivals if (told := one.told)["inference_ms"]]


def cameras(place: Workplace) -> Section:
    """Several cameras that the engine has time for: all are served."""
    section = Section(f"Several cameras: {place.conditions}")
    for count in (4, 8):
        _together(section, place, count, 5.0, "within 5 %", "")
    return section


def overload(place: Workplace) -> Section:
    """More than the engine has time for: all give way alike, and the wait stays bounded. A round is a stretch of one
    run: with ``--seconds 60`` five of them show ten minutes."""
    section = Section(f"Overload: {place.conditions}")
    told = _together(section, place, 8, 30.0, "", "≤ {:.0f} (cameras × service time)")
    section.remarks.append(f"The state says, for the first: {told or 'nothing yet'}")
    return section


def _together(section: Section, place: Workplace, count: int, fps: float, rate_goal: str, p99_goal: str) -> str:
    """Add what ``count`` cameras get; what the state says of the first one's overload. ``p99_goal`` is given the time
    that each has to wait for the others, in ms."""
    with serving(place.setup(fps, cameras=count), place.broker, place.folder) as service:
        time.sleep(2 * _SETTLE_S)
        rounds = [_shares(service, place.seconds * 2, count) for _ in range(place.repeats)]
        told: str = next(iter(service.health()["cameras"].values()))["overloaded"]
    rates = tuple(rate for shares, _ in rounds for rate in shares)
    fairness, p99 = zip(*((jain(shares), percentile(took, 99)) for shares, took in rounds), strict=True)
    who, cycle_ms = f"{count} cameras at {fps:g} fps", count * place.repeats * 1000 / sum(rates)
    section.figures += [
        Figure(f"{who}: frames a second of each camera", "/s", rates, goal=rate_goal),
        Figure(f"{who}: Jain's fairness", "", fairness, goal="≥ 0.995"),
        Figure(f"{who}: p99 decoded frame to subscriber", "ms", p99, goal=p99_goal.format(cycle_ms)),
    ]
    return told


def _shares(service: Service, seconds: float, cameras: int) -> tuple[list[float], list[float]]:
    """Frames a second of each camera, and the latencies in ms."""
    arrivals = _watch(service, seconds)
    counts = Counter(one.topic for one in arrivals)
    return [count / seconds for count in counts.values()] + [0.0] * (cameras - len(counts)), _latencies(arrivals)


def jain(shares: list[float]) -> float:
    """Jain's fairness index, 1 when all shares are the same (R. Jain et al., DEC-TR-301, 1984)."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 0.0


def kills(place: Workplace) -> Section:
    """The engine's process killed in mid-run: when results come again, and how many frames are missing."""
    section = Section(f"kill -9 of the engine's process, one camera at 30 fps: {place.conditions}")
    for spare, goal, lost_goal in ((False, "≤ 200", "≤ 4"), (True, "≤ 30", "0")):
        with serving(place.setup(30.0).but(spare=spare), place.broker, place.folder) as service:
            time.sleep(_KILL_EVERY_S)
            rounds = [_kill(service) for _ in range(place.repeats)]
        again, engine, lost = zip(*rounds, strict=True)
        who = "with a hot spare" if spare else "started again"
        section.figures += [
            Figure(f"{who}: kill to first result captured after it", "ms", again, goal=goal),
            Figure(f"{who}: kill to first result of any frame", "ms", engine),
            Figure(f"{who}: frames lost", "", lost, goal=lost_goal),
        ]
    section.remarks.append("Without a spare the time holds a new process and the model's loading.")
    return section


def _kill(service: Service) -> tuple[float, float, float]:
    """Milliseconds to the first result of a frame captured after the kill, to the first result of all, frames lost."""
    time.sleep(0.01 + 0.033 * (time.time() % 1))  # at any point of a frame's way
    before = len(service.subscriber)
    victim = max(engine_pids(service.pid), key=lambda pid: spent(pid).cpu_s)  # a spare has spent less
    at = time.time()
    os.kill(victim, signal.SIGKILL)
    arrivals = _watch(service, _KILL_EVERY_S)
    after = [one for one in arrivals if one.at > at]
    fresh = next((one.at for one in after if unix(one.told["captured"]) >= at), math.inf)
    frames = [one.told["frame"] for one in service.subscriber.since(max(0, before - 1))]
    lost = frames[-1] - frames[0] + 1 - len(frames)
    return (fresh - at) * 1000, (after[0].at - at) * 1000 if after else math.inf, float(lost)


def idle(place: Workplace) -> Section:
    """A scene in which nothing moves: what looking at it costs."""
    clip = still(place.clip, place.folder, _STILL_FPS, 60)
    setup = Setup(clip=clip, model=place.model, labels=place.labels, fps=_STILL_FPS, motion=True)
    section = Section(f"A still scene at {_STILL_FPS} fps, H.264 with a sensor's noise, {place.conditions}")
    rounds = []
    home = place.folder / "idle"  # alerts that other scenes left would be offered again
    home.mkdir()
    with serving(setup, place.broker, home) as service:
        time.sleep(12)  # the gate learns the noise
        for _ in range(place.repeats):
            before, count, began = spent(service.pid), len(service.subscriber), time.monotonic()
            floor = place.floor.ask(do="decode", clip=str(clip), fps=_STILL_FPS, seconds=2 * place.seconds)
            used, seconds = spent(service.pid).since(before), time.monotonic() - began
            arrivals = service.subscriber.since(count)
            frames = max(1, len(arrivals))
            looked = sum(1 for one in arrivals if one.told["inference_ms"])
            rounds.append((used.cpu_s / frames * 1000, floor["cpu_ms"], used.wakeups / seconds, looked / frames * 100))
    cpu, decoding, wakeups, inferred = zip(*rounds, strict=True)
    section.remarks.append("The floor runs at the same time: a daemon held for so long would learn its scene anew.")
    section.figures = [
        Figure("CPU per frame, all processes", "ms", cpu, decoding, "decoded only, by PyAV", goal="≤ 1.5 in all"),
        Figure("wake-ups, all threads", "/s", wakeups, goal="≤ 40"),
        Figure("frames that were inferred all the same", "%", inferred),
    ]
    return section


def hog(place: Workplace) -> Section:
    """A thread of pure Python in the daemon's own process that never rests, as a bad plugin might start."""
    section = Section(f"A thread in the daemon that takes all the Python it gets, 30 fps: {place.conditions}")
    with serving(place.setup(30.0), place.broker, place.folder, _HOGGED) as service:
        time.sleep(2 * _SETTLE_S)
        rounds = [_latencies(_watch(service, place.seconds * 2)) for _ in range(place.repeats)]
    section.figures = [
        Figure("p50 decoded frame to subscriber", "ms", tuple(percentile(one, 50) for one in rounds)),
        Figure("p99 decoded frame to subscriber", "ms", tuple(percentile(one, 99) for one in rounds), goal="≤ 25"),
    ]
    return section


_HOGGED_PROGRAM = """
import sys, threading
def hog():
    while True:
        sum(range(50))
threading.Thread(target=hog, daemon=True).start()
from edgerun.cli import main
sys.exit(main(["run", *sys.argv[1:]]))
"""
_HOGGED = (sys.executable, "-c", _HOGGED_PROGRAM)

SCENES: dict[str, Callable[[Workplace], Section]] = {
    "saturated": saturated,
    "cameras": cameras,
    "overload": overload,
    "kills": kills,
    "idle": idle,
    "hog": hog,
}
