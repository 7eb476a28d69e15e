"""Keeps subscribers told of what there is: Home Assistant of the cameras and counts, and nobody of those that are no
more."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path

from edgerun.folders import write_whole
from edgerun.homeassistant import CameraView, discovery, platforms, withdrawal
from edgerun.messages import occupancy
from edgerun.records import dataclass
from edgerun.runtime.delivery.delivery import Delivery
from edgerun.sinks.mqtt import MqttOptions
from edgerun.topics import Topics
from edgerun.types import Message

_BYTES_A_S = 10_000
"""As slowly as this all is told anew because there is one count more: with many cameras it is megabytes, and in their
first days there may be thousands."""


@dataclass(frozen=True, slots=True)
class _Memory:
    """What was told last: where, the counts of each camera, and the discovery message; ``leaving`` are the topics that
    the broker has yet to be told to forget."""

    base: str = ""
    counts: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    prefix: str = ""
    discovery: str = ""
    leaving: tuple[str, ...] = ()


class Announcer:
    """``remembered`` is a file with what was told last, so that what is gone is taken back over a restart, too."""

    def __init__(self, topics: Topics, options: MqttOptions, delivery: Delivery, remembered: Path) -> None:
        self._topics = topics
        self._options = options
        self._delivery = delivery
        self._remembered = remembered
        self._told: Mapping[str, CameraView] | None = None
        self._memory = _Memory()
        self._is_noted = True
        """The file tells of all that is in memory."""
        self._due_at = -math.inf

    def tell(self, cameras: Mapping[str, CameraView], now: float) -> None:
        """Tell of the cameras that run, if anything changed; of new counts not at once. ``now``: monotonic seconds."""
        memory = self._memory if self._told is not None else self._read()
        waits = now < self._due_at and self._has_only_more(cameras)
        if waits:
            seen = {name: {*view.counts} | memory.counts.get(name, set()) for name, view in cameras.items()}
            memory = replace(memory, counts=seen)
        elif cameras != self._told:
            known = {name: self._with_remembered(name, view, memory) for name, view in cameras.items()}
            # first: empty messages are errors to the entities that Home Assistant still has
            said = self._announce(memory, known)
            if self._told is None:
                for topic in memory.leaving:
                    self._delivery.withdraw(topic)
            self._take_away(memory, known)
            self._told = cameras
            counts = {name: set(view.counts) for name, view in known.items()}
            memory = _Memory(self._topics.base, counts, self._options.discovery_prefix, said)
            self._due_at = now + len(said) / _BYTES_A_S
        memory = replace(memory, leaving=self._delivery.leaving())
        if memory != self._memory:
            self._memory, self._is_noted = memory, False
        if not waits:
            self.close()

    def close(self) -> None:
        """Note what is not yet in the file."""
        if not self._is_noted:
            self._is_noted = True
            self._write(self._memory)

    def _has_only_more(self, cameras: Mapping[str, CameraView]) -> bool:
        """Whether all is as it was told, but for counts that came since."""
        told = self._told or {}
        return cameras.keys() == told.keys() and all(
            {*view.counts} >= {*told[name].counts} and replace(view, counts=told[name].counts) == told[name]
            for name, view in cameras.items()
        )

    def _with_remembered(self, name: str, view: CameraView, before: _Memory) -> CameraView:
        """Counts of before stay, at 0, as long as their zone and label do: a camera that is not back yet, or a label
        that was not seen yet, is no reason to make Home Assistant forget what its user set for them."""
        asleep = {pair for pair in before.counts.get(name, ()) if view.may_count(*pair)} - {*view.counts}
        for zone, label in asleep:
            self._delivery.retain(occupancy(self._topics, name, zone, label, 0))
        return replace(view, counts={*view.counts, *asleep})

    def _take_away(self, before: _Memory, known: Mapping[str, CameraView]) -> None:
        """The retained messages of what is gone; of a device with another name or prefix now, all at the old one."""
        topics, moved, addresses = self._topics, before.base not in ("", self._topics.base), []
        if moved:
            prefix, _, device = before.base.rpartition("/")
            topics = Topics(prefix, device)
        for name, counts in before.counts.items():
            if name in known:  # also where it moved to: until its next frame a camera counts by its zones of before
                gone = counts - {*known[name].counts}
                addresses += [self._topics.occupancy(name, zone, label) for zone, label in gone]
            if moved or name not in known:
                addresses += [topics.occupancy(name, zone, label) for zone, label in counts]
                addresses += [topics.camera_state(name), topics.snapshot(name)]
                addresses += [topics.last_alert(name), topics.gaps(name)]
        if moved:  # the status last: another device of that name says everything again then (see Delivery)
            addresses += [topics.state, topics.status]
        for address in addresses:
            self._delivery.retain(Message(address, b"", qos=1, retain=True))

    def _announce(self, before: _Memory, known: Mapping[str, CameraView]) -> str:
        """Home Assistant's message, if it is to be told. What was told elsewhere before, under another name or prefix,
        is taken away."""
        options, said = self._options, before.discovery.encode()
        message = None
        if options.home_assistant:
            message = discovery(
                self._topics, options.discovery_prefix, known, verbs=options.verbs, before=platforms(said)
            )
        gone = withdrawal(before.prefix, said)
        if gone is not None and (message is None or gone.topic != message.topic):
            self._delivery.retain(gone)
        if message is None:
            return ""
        self._delivery.retain(message)
        return message.payload.decode()

    def _read(self) -> _Memory:
        try:
            found = json.loads(self._remembered.read_bytes())
            counts = {name: {(str(zone), str(label)) for zone, label in told} for name, told in found["counts"].items()}
            prefix = str(found.get("prefix", self._options.discovery_prefix))
            leaving = tuple(map(str, found.get("leaving", ())))
            return _Memory(str(found["base"]), counts, prefix, str(found["discovery"]), leaving)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):  # not there, or damaged
            return _Memory()

    def _write(self, memory: _Memory) -> None:
        """A disk that refuses costs no more than that something stays announced."""
        counts = {name: sorted(pairs) for name, pairs in memory.counts.items()}
        kept = {
            "base": memory.base,
            "counts": counts,
            "prefix": memory.prefix,
            "discovery": memory.discovery,
            "leaving": memory.leaving,
        }
        with contextlib.suppress(OSError):
            write_whole(self._remembered, json.dumps(kept).encode())
