"""paho's client, but for two things that a broker may send.

An answer with a reason that MQTT 5 lists for other packets alone: Mosquitto says "packet too large" (0x95) where it
should say something else. paho calls that malformed and ends the connection, in which the same message would follow,
and so on for ever.

And a packet of up to 256 MB, which paho holds in memory three times over: with 3.1.1 no broker can be told what is too
large for us, and whoever may publish where we listen, retained, would do that to each of our connections.
"""

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
_CHUNK = 1 << 16
_LARGEST = 2 << 16
"""Bytes that are kept of a packet: the longest topic, and more than any request may have behind it."""


@lru_cache(maxsize=2)
def client_type(*, requests_only: bool) -> type[Client]:
    """``unlisted`` is the failure that the newest answer told and should not have; 0: none. With ``requests_only`` the
    end of what is larger than any request is left out."""
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

    class Brief(Tolerant):
        def _sock_recv(self, bufsize: int) -> bytes:
            """No more at a time; paho comes for the rest, of which nothing is kept."""
            del self._in_packet["packet"][_LARGEST:]
            return super()._sock_recv(min(bufsize, _CHUNK))

        def _packet_handle(self) -> MQTTErrorCode:
            del self._in_packet["packet"][_LARGEST:]
            return super()._packet_handle()

    return Brief if requests_only else Tolerant
