"""paho's client, which takes an answer with a reason that MQTT 5 lists for other packets alone: Mosquitto says "packet
too large" (0x95) where it should say something else. paho calls that malformed and ends the connection, in which the
same message would follow, and so on for ever."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from paho.mqtt.client import Client
    from paho.mqtt.enums import MQTTErrorCode

_REASON = 2
"""Where it stands in a PUBACK, behind the message's number (MQTT 5.0, section 3.4.2)."""
_FAILURE = 0x80
_LISTED = frozenset({0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99})
"""Failures that a PUBACK may tell (MQTT 5.0, table 3-4)."""


@lru_cache(maxsize=1)
def client_type() -> type[Client]:
    """``unlisted`` is the failure that the newest answer told and should not have; 0: none."""
    from paho.mqtt.client import Client

    class Tolerant(Client):
        unlisted = 0

        def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
            packet = self._in_packet["packet"]
            told = packet[_REASON] if len(packet) > _REASON else 0
            self.unlisted = told if told >= _FAILURE and told not in _LISTED else 0
            if self.unlisted:
                packet[_REASON] = _FAILURE
            return super()._handle_pubackcomp(cmd)

    return Tolerant
