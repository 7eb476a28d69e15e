"""What stands between us and a broker, in sentences that say what to do."""

from __future__ import annotations

import errno
import socket

from edgerun.errors import SinkError
from edgerun.sinks.mqtt_endpoint import Endpoint

LOST = "the connection to the broker broke"
ENDED_BY_MESSAGE = "it ends the connection over it: do its access rules forbid it, or is it too large?"
ENDED_BY_SUBSCRIPTION = "it ends the connection when asked for it: do its access rules forbid it?"
TOO_LARGE = 0x95

_REASONS = {
    0x82: "the broker found a protocol error",
    0x85: "the broker does not take this client id: set another `mqtt.client_id`",
    0x88: "the broker is not available now",
    0x89: "the broker is busy",
    0x8A: "the broker has banned this client",
    0x8B: "the broker shuts down",
    0x8D: "the broker heard nothing from us for too long",
    0x8E: "another client came with the same id: give each device its own `device` name or `mqtt.client_id`",
    0x93: "the broker says we sent more than it takes at a time",
    TOO_LARGE: "the broker says a message was too large",
    0x97: "a quota at the broker is used up",
    0x98: "the broker's administrator ended the connection",
    0x9A: "the broker does not keep retained messages, which edgerun needs",
    0x9B: "the broker does not offer QoS 1, which alerts need",
    0x9D: "the broker says to use another server",
    0x9F: "the broker says we connect too often",
}
_BAD_LOGIN = (0x86, 0x87, 0x8C)
_BAD_VERSION = (0x84, 0x01)
_RETRY_SOON = (0x88, 0x89, 0x97, 0x9F)


class VersionError(SinkError):
    """It may be that the broker does not speak the version of MQTT that it was spoken to in."""


def unreachable(error: Exception, host: str, port: int) -> SinkError:
    """Why no connection came about."""
    place = f"{host}:{port}"
    if isinstance(error, socket.gaierror):
        return SinkError(f"the broker's name {host!r} cannot be resolved: check `mqtt.host` and the network's DNS")
    if isinstance(error, ConnectionRefusedError):
        return SinkError(f"nothing listens at {place}: is the broker running, is `mqtt.port` right?")
    if isinstance(error, TimeoutError):
        return SinkError(f"no answer from {place}: check the address, the network and firewalls")
    if isinstance(error, OSError) and error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN):
        return SinkError(f"there is no way to {place}: is the network up?")
    return _unencrypted(error, place) or SinkError(f"no connection to {place}: {error}")


def _unencrypted(error: Exception, place: str) -> SinkError | None:
    """Why TLS did not come about, if that is it."""
    import ssl

    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message
        return SinkError(f"the certificate of {place} is not trusted ({why}): set `mqtt.tls.ca`, check the host's name")
    if isinstance(error, ssl.SSLError | ConnectionResetError):
        cause = getattr(error, "reason", None) or error.strerror
        return SinkError(f"no TLS with {place} ({cause}): does it speak TLS there, are the files right?")
    return None


def silent(endpoint: Endpoint) -> VersionError:
    """The broker took the connection and says nothing."""
    place = f"{endpoint.host}:{endpoint.port}"
    if endpoint.met:
        return VersionError(
            f"the broker at {place} no longer answers: does it hang, or take nothing for want of memory or disk?"
        )
    hint = ' If it is one that does not speak MQTT 5, set `mqtt.version: "3.1.1"`' if endpoint.v5 else ""
    return VersionError(f"{place} took the connection but does not answer: is it an MQTT broker?{hint}")


def hung_up(endpoint: Endpoint) -> VersionError:
    """The broker ended the connection before it said anything."""
    if endpoint.met:
        hint = "is it just starting, or has it as many clients as it takes?"
    elif endpoint.tls is None:
        hint = "does it expect TLS (`mqtt.tls`), or websockets at this port?"
    elif endpoint.tls.cert:
        hint = "does it know the certificate in `mqtt.tls.cert`?"
    else:
        hint = "does it ask for a certificate (`mqtt.tls.cert` and `key`)?"
    if not endpoint.met:  # as RabbitMQ before 3.13 does, and ActiveMQ
        spoken, other = ("5", "3.1.1") if endpoint.v5 else ("3.1.1", "5")
        hint += f' Or does it not speak MQTT {spoken}? Then set `mqtt.version: "{other}"`'
    return VersionError(f"the broker ended the connection before it answered: {hint}")


def lost_again(client_id: str) -> str:
    """Older brokers do not say why they close a connection; these are the usual reasons if they do it repeatedly."""
    return (
        f"{LOST} again soon after it came about: does another client use the id {client_id!r}, or do the broker's "
        "access rules forbid what is sent?"
    )


def refused(code: int, reason: str, v5: bool, username: str) -> SinkError:
    """Why the broker turned us away."""
    if code in _BAD_LOGIN:
        who = f"the user {username!r} or its password" if username else "a client without a user name"
        return SinkError(f"the broker refuses {who}: check `mqtt.username` and `mqtt.password`", retriable=False)
    if code in _BAD_VERSION and v5:
        return VersionError('the broker does not speak MQTT 5: set `mqtt.version: "3.1.1"`', retriable=False)
    said = _REASONS.get(code, f"the broker refuses the connection ({reason})")
    return SinkError(said, retriable=code in _RETRY_SOON)


def answer(code: int, reason: str) -> str:
    """What a broker answered to a message."""
    return _REASONS.get(code, reason)


def denied(topic: str, reason: str) -> str:
    return f"the broker does not let us hear what comes at {topic}: {reason}"


def lost(code: int, reason: str, from_broker: bool) -> str:
    """Why a connection ended."""
    if from_broker:
        return _REASONS.get(code, f"the broker ended the connection ({reason})")
    return "the broker no longer answers" if code == 0x8D else LOST
