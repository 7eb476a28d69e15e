"""Keeps Home Assistant told of the cameras and counts that there are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgerun.homeassistant import CameraView, discovery, platforms
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
        """Announce them if anything changed."""
        if not self._options.home_assistant or cameras == self._told:
            return
        self._told = cameras
        before = platforms(self._remembered.read_bytes()) if self._remembered.exists() else {}
        message = discovery(
            self._topics, self._options.discovery_prefix, cameras, verbs=self._options.verbs, before=before
        )
        self._delivery.retain(message)
        self._remembered.write_bytes(message.payload)
