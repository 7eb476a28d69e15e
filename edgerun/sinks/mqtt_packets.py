"""What goes into packets: paho's property lists, and a whole packet where paho is too slow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgerun.types import Message

if TYPE_CHECKING:
    from paho.mqtt.properties import Properties

_LARGEST_REQUEST = 64 * 1024


def connect_properties(*, requests_only: bool) -> Properties:
    """Nobody sends us more than a request's size at a time, if that is all that we are to hear."""
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's
    if requests_only:
        properties.MaximumPacketSize = _LARGEST_REQUEST
    return properties


def publish_properties(expiry_s: int, correlation: bytes) -> Properties:
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's
    if expiry_s:
        properties.MessageExpiryInterval = expiry_s
    if correlation:
        properties.CorrelationData = correlation
    return properties


def publish_packet(message: Message, v5: bool) -> bytes:
    """A PUBLISH with QoS 0 (MQTT 5.0, section 3.3; 3.1.1, section 3.3)."""
    topic = message.topic.encode()
    properties = b""
    if v5:
        properties = b"\x05\x02" + message.expiry_s.to_bytes(4, "big") if message.expiry_s else b"\x00"
    body = len(topic).to_bytes(2, "big") + topic + properties + message.payload
    left, size = len(body), bytearray([0x30 | message.retain])
    while left > 0x7F:
        size.append(left & 0x7F | 0x80)
        left >>= 7
    size.append(left)
    return bytes(size) + body
