"""Keeps Home Assistant told of the cameras and counts that there are."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from edgerun.homeassistant import CameraView, discovery, platforms, withdrawal
from edgerun.messages import Topics
from edgerun.runtime.delivery import Delivery
from edgerun.sinks.mqtt import MqttOptions


class Announcer:
    """``remembered`` is a file with what was announced last, so that what is gone is taken back over a restart, too."""

    def __init__(self, topics: Topics, options: MqttOptions, delivery: Delivery, remembered: Path) -> None:
        self._topics = topics
        self._options = options
        self._delivery = delivery
        self._remembered = remembered
        self._told: Mapping[str, CameraView] | None = None

    def tell(self, cameras: Mapping[str, CameraView]) -> None:
        """Announce them if anything changed; what was announced for another device, or is to be no more, is taken
        away."""
        if cameras == self._told:
            return
        self._told = cameras
        before = self._read()
        message = None
        if self._options.home_assistant:
            message = discovery(
                self._topics,
                self._options.discovery_prefix,
                cameras,
                verbs=self._options.verbs,
                before=platforms(before),
            )
        gone = withdrawal(self._options.discovery_prefix, before)
        if gone is not None and (message is None or gone.topic != message.topic):
            self._delivery.retain(gone)
        if message is not None:
            self._delivery.retain(message)
        self._write(message.payload if message else b"")

    def _read(self) -> bytes:
        try:
            return self._remembered.read_bytes()
        except OSError:
            return b""

    def _write(self, payload: bytes) -> None:
        """A disk that refuses costs no more than that something stays announced."""
        with contextlib.suppress(OSError):
            if payload:
                self._remembered.write_bytes(payload)
            else:
                self._remembered.unlink(missing_ok=True)
