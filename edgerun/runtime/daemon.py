"""The daemon: what the configuration asks for, assembled, watched over, reloaded and taken down."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Collection, Iterable
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType

from edgerun import logs
from edgerun.config import Config, load_isolated, secrets_of
from edgerun.errors import ConfigError, ModelError
from edgerun.notify import Notifier
from edgerun.remembered import note_load
from edgerun.runtime.cameras.assembly import difference, sees_on
from edgerun.runtime.cameras.fleet import Fleet
from edgerun.runtime.delivery.delivery import Delivery
from edgerun.runtime.early import Early
from edgerun.runtime.exchange.exchange import Exchange, made_of
from edgerun.runtime.health.control import Control
from edgerun.runtime.health.memory import share_arenas
from edgerun.runtime.health.metrics import Metrics
from edgerun.runtime.health.report import Report
from edgerun.runtime.health.upkeep import Upkeep
from edgerun.runtime.health.watch import Watch
from edgerun.runtime.inference.detector import Detector, asked_fps
from edgerun.runtime.places import claimed, control_socket, made_state_dir
from edgerun.runtime.reload import Reload, from_before, from_file
from edgerun.runtime.rollout import Rollout

log = logging.getLogger(__name__)

_TICK_S = 0.5
_STARTING_TICK_S = 0.05
_SWITCH_INTERVAL_S = 0.0001
"""Short, so that one thread's long stretch of Python does not hold up another's frame."""
_READY_ANYWAY_S = 60.0
"""Cameras may be down when a device boots; after so long without a frame the service manager is told to go on."""
_DRAIN_S = 1.5
"""For the cameras to end, and then for the alerts to go: with both, SIGTERM is obeyed well within 5 s."""


class Daemon:
    """One configuration file at work."""

    def __init__(self, path: Path, early: Early) -> None:
        self._path = path
        self._early = early
        self._notifier = Notifier()
        self._wake: SimpleQueue[None] = SimpleQueue()  # may be filled in a signal's handler, as no lock may be taken
        self._stopping = False
        self._reload_asked = False
        self._reload: Reload | None = None
        self._reload_error = ""
        self._crash: BaseException | None = None
        self._serving = False
        """The model is loaded and the cameras are started."""
        self._ready = False
        self._started = time.monotonic()
        self._fleet = Fleet(_DRAIN_S)
        self._metrics = Metrics(lambda: self._latest)
        self._rollout = Rollout()

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT, then return the exit status.

        Raises ConfigError or ModelError when the configuration cannot be served at all.
        """
        os.umask(0o077)  # what alerts tell is nobody else's business
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        share_arenas()
        threading.excepthook = self._thread_died
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        self._set_up(load_isolated(self._path, reader=self._early.reader))
        self._state_dir_as_written = self._config.state_dir
        self._state_dir = made_state_dir(self._config.state_dir)
        self._claim = claimed(self._state_dir)
        self._upkeep = Upkeep(self._state_dir, self._config.supervision)
        self._set_up(self._upkeep.begin(self._path, self._config))
        try:
            self._detector = Detector(self._config.model, asked_fps(self._config), self._early.engine)
            self._exchange = self._new_exchange()
            self._exchange.start()
            self._watch = Watch(self._loops)
            self._watch_over()
            self._control = Control(control_socket(self._state_dir), lambda: self._latest.health())
            self._metrics.apply(self._config.metrics)
            if self._wait_for_model():
                with self._fleet.changing:
                    self._start_cameras()
                self._serving = True
                gc.freeze()
                self._supervise()
        except (ConfigError, ModelError):
            self._upkeep.end()
            raise
        finally:
            self._take_down()
        if self._crash is not None:
            log.critical("an internal loop crashed; the service manager starts the daemon again", exc_info=self._crash)
            return 1
        self._upkeep.end()
        if self._upkeep.overgrown:
            log.critical("%s; the service manager starts it again", self._upkeep.overgrown)
            return 1
        return 0

    # Assembly

    def _set_up(self, config: Config) -> None:
        self._config = config
        self._redactor = logs.set_up(config.log, secrets_of(config))

    def _new_exchange(self, before: Delivery | None = None) -> Exchange:
        return Exchange(self._config, self._state_dir, self._fleet.settled, self._ask_reload, before)

    def _renew_exchange(self) -> None:
        """While cameras go on: what they tell waits for the new one from before the old one closes."""
        old, new = self._exchange, self._new_exchange(self._exchange.delivery)
        self._fleet.tell_through(self._detector, new.topics, new.delivery)
        old.close(_DRAIN_S)
        new.start()
        self._exchange = new

    def _wait_for_model(self) -> bool:
        """True once it is loaded, False when told to stop before. Raises EngineError or ModelError."""
        until = time.monotonic() + self._detector.start_s
        while self._detector.dispatcher.wait_loaded(_STARTING_TICK_S) is None:
            if self._stopping or self._crash is not None:
                return False
            if time.monotonic() > until:
                self._detector.wait(0.0)
            self._watch_over()
        return True

    def _start_cameras(self, paused: Collection[str] = ()) -> None:
        exchange = self._exchange
        self._fleet.start(self._config, self._detector, exchange.topics, exchange.delivery, paused)
        self._metrics.attach(self._fleet.running, exchange.delivery)

    # Watching over

    def _supervise(self) -> None:
        while not (self._stopping or self._upkeep.overgrown) and self._crash is None:
            self._tick()
            with contextlib.suppress(Empty):
                self._wake.get(timeout=_TICK_S if self._ready else _STARTING_TICK_S)
        if self._ready:  # the next run is to know what is retained, though a reload moved all of it a moment ago
            self._exchange.tell(self._latest, self._fleet.views(self._config))

    def _tick(self) -> None:
        self._watch_over()
        self._watch_rollout()  # before a switch, after which the report is still of the model before
        if self._reload is not None and self._reload.done:
            self._switch(self._reload)
            self._reload = None
        if self._reload is None and self._detector.is_outdated():
            log.warning("the model's file was replaced; it is taken over as by a reload")
            served = self._config, self._upkeep.text
            self._reload = Reload(lambda: served, self._config, self._detector, self._fleet.running, anew=True)
        if self._reload_asked and self._reload is None:
            self._reload_asked = False
            self._notifier.reloading()
            read = partial(from_file, self._path)
            self._reload = Reload(read, self._config, self._detector, self._fleet.running)

    def _watch_rollout(self) -> None:
        """Go back to the configuration before, when a new model serves badly."""
        reason = self._rollout.wrong(self._latest, sum(camera.looks for camera in self._fleet.running.values()))
        if reason and self._reload is None and (before := self._rollout.before) is not None:
            log.error("the new model is taken back: %s", reason)
            self._rollout.reason = reason
            self._reload = Reload(partial(from_before, *before), self._config, self._detector, None)

    def _watch_over(self) -> None:
        news = self._get_ready()
        self._latest = self._assess()
        if news:  # only now, as whoever waits for it may ask for the health at once
            self._notifier.ready(news)
        if not self._latest.stalled_loops:
            self._notifier.watchdog()
        sound = self._ready and not self._latest.stalled_loops and not any(self._detector.dispatcher.reasons)
        self._detector.keep_up(any(camera.overloaded for camera in self._latest.cameras.values()))
        self._upkeep.tick(self._fleet.running.values(), self._detector.dispatcher.workers, sound=sound)
        self._exchange.tell(self._latest, self._fleet.views(self._config) if self._ready else None)

    def _get_ready(self) -> str:
        """What to tell the service manager when it has just become ready: the first frame went through the engine; but
        cameras that are down hold nobody up."""
        if self._ready:
            return ""
        waited_s = time.monotonic() - self._started
        if any(camera.inferred for camera in self._fleet.running.values()):
            self._ready = True
            note_load(self._path, pickle.dumps(self._detector.dispatcher.workers[0].candidate.load))
            log.info("looking: first frame after %.1f s", waited_s)
            return "looking"
        if self._serving and (not self._fleet.running or waited_s > _READY_ANYWAY_S):
            self._ready = True
            return "no frame from any camera yet" if self._fleet.running else "no camera is enabled"
        self._notifier.extend(2 * _TICK_S + 10)
        return ""

    def _loops(self) -> dict[str, int]:
        """Progress counters of the internal loops. A camera's is not among them: it may be down for good reason."""
        loops = {"delivery": self._exchange.delivery.progress}
        for worker in self._detector.dispatcher.workers:
            loops[f"worker {worker.number}"] = worker.progress
        return loops

    def _assess(self) -> Report:
        return Report(
            detector=self._detector,
            cameras={name: camera.report() for name, camera in self._fleet.running.items()},
            delivery=self._exchange.delivery.snapshot(),
            stalled_loops=self._watch.stuck(),
            reload_error=self._reload_error,
            ready=self._ready,
            at=time.monotonic(),
            hide=self._redactor.hide,
            vitals=self._upkeep.vitals,
            fallback=self._upkeep.fallback,
            previous_end=self._upkeep.previous_end,
            latency_ms=self._metrics.summary(),
            metrics_error=self._metrics.error,
            rollout=self._rollout.payload(),
        )

    # Reloading

    def _switch(self, reload: Reload) -> None:
        """Take over what a reload prepared. A file that cannot be served changes nothing."""
        if reload.error is not None:
            self._reload_error = str(reload.error)
            if not reload.watched:
                self._rollout.stuck(str(reload.error))
            elif reload.refused:
                self._rollout.refused(reload.refused, str(reload.error), reload.proof)
            log.error("the configuration stays as it was: %s", reload.error)
            self._notifier.ready("reload refused, running on the configuration before")
            return
        self._reload_error = ""
        before = self._config
        if not reload.watched:
            self._rollout.gone_back(self._detector.model.name)
        else:
            if reload.detector is not None:
                way_back = before, self._upkeep.text, self._detector.model
                self._rollout.switched(reload.detector, reload.proof, way_back)
            self._rollout.tuned(reload.config)
        self._set_up(reload.config)
        wanted = self._config.enabled_cameras
        self._exchange.delivery.cameras = self._fleet.running.keys() & wanted.keys()  # those to come it may never know
        self._upkeep.adopt(reload.text, self._config.supervision)
        self._metrics.apply(self._config.metrics)
        if self._config.state_dir not in (before.state_dir, self._state_dir_as_written):
            log.warning("state_dir is taken over when the daemon is started the next time")
        with self._fleet.changing:  # a pause commanded of one that is about to go would be forgotten with it
            started, anew = self._renew(before, reload.detector)
        gc.collect()  # cameras lie in cycles, and the collector does not know how large their pictures are
        log.info("the configuration was reloaded; cameras started again: %s; looked at anew: %s", started, anew)
        self._notifier.ready("looking")

    def _renew(self, before: Config, detector: Detector | None) -> tuple[str, str]:
        """Make anew what the configuration changed, and all cameras for a ``detector`` that is new. Which cameras were
        started, and which look another way."""
        now, wanted = self._config, self._config.enabled_cameras
        changes = {} if detector else {name: difference(name, before, now) for name in self._fleet.running}
        kept = {name for name, what in changes.items() if what != "camera"}
        paused = [name for name, camera in self._fleet.running.items() if camera.paused]
        self._fleet.keep(kept, [name for name in self._fleet.running if sees_on(name, before, now)])
        if detector is not None:
            self._detector.close()
            self._detector = detector
        self._detector.choice = now.model
        if made_of(before) != made_of(now):
            self._renew_exchange()
        self._exchange.delivery.cameras = wanted.keys()
        self._start_cameras(paused)
        anew = {name for name in kept if changes[name] == "pipeline"}
        self._fleet.look_anew(anew, now, self._detector)
        self._fleet.tune(kept, now)
        return _listed(wanted.keys() - kept), _listed(anew)

    # Ending

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self._ask_reload()
        else:
            self._stopping = True
            self._wake.put(None)

    def _ask_reload(self) -> None:
        self._reload_asked = True
        self._wake.put(None)

    def _thread_died(self, death: threading.ExceptHookArgs) -> None:
        self._crash = death.exc_value
        self._wake.put(None)

    def _take_down(self) -> None:
        self._notifier.stopping()
        self._metrics.close()
        self._fleet.keep(())
        for part in ("_detector", "_control"):
            if hasattr(self, part):
                getattr(self, part).close()
        if hasattr(self, "_exchange"):
            self._exchange.close(_DRAIN_S)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
