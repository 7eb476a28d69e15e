"""MQTT: a thread that connects, keeps the connection, and comes back by itself."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import random
import socket
import threading
import time
from dataclasses import replace
from typing import Annotated, Literal, TypeAlias, get_args

from edgerun.errors import SinkError
from edgerun.limits import NOT_EMPTY, Interval
from edgerun.records import dataclass
from edgerun.secrets import NO_SECRET, Secret
from edgerun.sinks import mqtt_words as words
from edgerun.sinks.mqtt_connection import Connection
from edgerun.sinks.mqtt_endpoint import Endpoint, TlsOptions
from edgerun.sinks.mqtt_suspects import Suspects
from edgerun.stages import SinkListener
from edgerun.topics import is_topic
from edgerun.types import Message

log = logging.getLogger(__name__)

Verb: TypeAlias = Literal["ping", "reload", "pause", "resume", "snapshot", "set", "replay", "test_alert"]

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 3.0
"""With the connect timeout, edgerun is back well within 5 s of the broker."""
_REFUSED_PAUSE_S = 10.0
_STEADY_S = 10.0
_LONGEST_PREFIX = 1000
_LONGEST_TEXT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttOptions:
    """The broker, and what is published there."""

    host: Annotated[str, NOT_EMPTY] = "127.0.0.1"
    """Name or address of the broker; with `embedded`, the address that the own broker listens at."""
    port: Annotated[int, Interval(ge=1, le=65535)] = 1883
    """Port of the broker; brokers with TLS mostly listen at 8883."""
    embedded: bool = False
    """Run a broker inside edgerun, in a process of its own (`pip install edgerun[demo]`). It keeps nothing over a
    restart and speaks MQTT 3.1.1 alone, so a broker of its own (Mosquitto) is better where alerts must arrive, and for
    Home Assistant, which gives 3.1.1 up with its release 2027.1."""
    username: str = ""
    """User name at the broker. Empty: none is given."""
    password: Secret = NO_SECRET
    """Its password: a literal, `{env: NAME}` or `{file: NAME}`."""
    tls: TlsOptions | None = None
    """Encrypt the connection; `tls: {}` trusts the system's certificates."""
    version: Literal["5", "3.1.1"] = "5"
    """MQTT version. With 3.1.1 a broker cannot say that it refused an alert or that nobody listened."""
    client_id: str = ""
    """Name of the MQTT client; no two devices may share one. Default: `edgerun-<device>`."""
    keepalive_s: Annotated[int, Interval(ge=5, le=300)] = 15
    """The broker counts the device as offline after one and a half times so long without a sign of life."""
    prefix: Annotated[str, NOT_EMPTY] = "edgerun"
    """First part of all topics."""
    home_assistant: bool = False
    """Announce cameras, zones and counts to Home Assistant."""
    discovery_prefix: Annotated[str, NOT_EMPTY] = "homeassistant"
    """Home Assistant's own prefix."""
    commands: bool | tuple[Verb, ...] = False
    """Take commands at `<prefix>/<device>/cmd/<verb>`: all of them, or those listed. Whoever may publish there can
    give them, so set the broker's access rules first."""

    def __post_init__(self) -> None:
        if "/" in self.host or (":" in self.host and not _is_ipv6(self.host)):
            raise ValueError(
                "has a host that is more than a name or an address; write host and port apart, without mqtt://"
            )
        for name in ("prefix", "discovery_prefix"):
            text: str = getattr(self, name)
            if not is_topic(text, _LONGEST_PREFIX) or not all(text.split("/")):
                raise ValueError(
                    f"has a {name} that is no topic: no + or #, no empty level, no $ at the start, no control "
                    f"characters, at most {_LONGEST_PREFIX} characters"
                )
        for name, text in (
            ("client_id", self.client_id),
            ("username", self.username),
            ("password", self.password.value),
        ):
            try:
                size = len(text.encode())
            except UnicodeEncodeError:  # of an argument or a variable whose bytes Python holds as surrogates
                raise ValueError(f"has a {name} that is not UTF-8 text") from None
            if size > _LONGEST_TEXT:
                raise ValueError(f"has a {name} of more than the {_LONGEST_TEXT} bytes that MQTT allows")
        if self.embedded and self.tls is not None:
            raise ValueError("has both embedded and tls; the embedded broker has no TLS, use Mosquitto for that")
        if self.password and not self.username:
            raise ValueError("has a password without a username")

    @property
    def verbs(self) -> tuple[str, ...]:
        """The commands that are taken."""
        if isinstance(self.commands, bool):
            return get_args(Verb) if self.commands else ()
        return self.commands


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False


class MqttSink:
    """``will`` is what the broker says when we are gone; ``subscriptions`` are the topics that requests come at;
    ``as_published`` more of them, where a request that is to be retained says so at once. With ``any_version`` a broker
    that does not answer to the options' version is spoken to in 3.1.1. Unless ``any_size``, the broker is told to send
    nothing that is larger than a request."""

    def __init__(
        self,
        options: MqttOptions,
        device: str,
        will: Message | None = None,
        subscriptions: tuple[str, ...] = (),
        as_published: tuple[str, ...] = (),
        any_version: bool = False,
        any_size: bool = False,
    ) -> None:
        self._any_version = any_version
        self._endpoint = Endpoint(
            host=reachable(options.host) if options.embedded else options.host,
            port=options.port,
            client_id=options.client_id or f"edgerun-{device}",
            username=options.username,
            password=options.password.value,
            tls=options.tls,
            v5=options.version == "5" and not options.embedded,
            keepalive_s=options.keepalive_s,
            will=will,
            subscriptions=subscriptions,
            as_published=as_published,
            requests_only=not any_size,
        )
        if options.version != "5" and not options.embedded:
            log.warning("MQTT 3.1.1: the broker cannot say that it refused an alert, or that nobody listens")
        self._connection: Connection | None = None
        self._session = 0
        self._suspects = Suspects()
        self._closing = threading.Event()
        self._roused, self._rouser = socket.socketpair()
        for end in (self._roused, self._rouser):
            end.setblocking(False)
        self._thread: threading.Thread | None = None

    def open(self, listener: SinkListener) -> None:
        self._thread = threading.Thread(target=self._run, args=(listener,), name="mqtt", daemon=True)
        self._thread.start()

    def send(self, message: Message) -> bool:
        connection = self._connection
        return connection is not None and connection.send(message)

    def offer(self, message: Message, token: int, session: int) -> bool:
        connection = self._connection
        return connection is not None and session == self._session and connection.offer(message, token)

    def reconnect(self, reason: str) -> None:
        connection = self._connection
        if connection is not None:
            connection.give_up(reason)

    def close(self) -> None:
        """Say goodbye, so that the last will stays unsaid. Waits for the thread, but not for a hanging connect."""
        self._closing.set()
        connection = self._connection
        if connection is not None:
            connection.say_goodbye()
        with contextlib.suppress(OSError):
            self._rouser.send(b"x")
        if self._thread is not None:
            self._thread.join(1.0)

    def _run(self, listener: SinkListener) -> None:
        pause, said, short = _FIRST_PAUSE_S, "", 0
        while not self._closing.is_set():
            began = time.monotonic()
            reason, retriable = self._serve(listener)
            if self._closing.is_set():
                break
            if not reason:
                continue
            steady = time.monotonic() - began > _STEADY_S
            short = 0 if steady or reason != words.LOST else short + 1
            if short > 1:
                reason = words.lost_again(self._endpoint.client_id)
            listener.disconnected(reason)
            if steady:
                pause, said = _FIRST_PAUSE_S, ""
            if reason != said:
                log.warning("MQTT: %s", reason)
                said = reason
            self._closing.wait(random.uniform(0.5, 1.0) * (pause if retriable else _REFUSED_PAUSE_S))
            pause = min(pause * 2, _LONGEST_PAUSE_S)
        self._roused.close()
        self._rouser.close()

    def _serve(self, listener: SinkListener) -> tuple[str, bool]:
        """One connection from its beginning to its end: why it ended, and whether to come back soon. Empty: at once,
        in another version."""
        self._session += 1
        connection = Connection(self._endpoint, self._session, listener, self._rouser, self._suspects)
        try:
            connection.open()
            self._connection = connection
            if self._closing.is_set():  # meanwhile, when there was no connection to take leave of
                connection.say_goodbye()
            return connection.serve(self._roused), True
        except SinkError as error:
            if self._any_version and not self._endpoint.met and isinstance(error, words.VersionError):
                self._endpoint = replace(self._endpoint, v5=not self._endpoint.v5)
                if not self._endpoint.v5:
                    return "", True
            return str(error), error.retriable
        finally:
            self._connection = None
            connection.drop()
            if connection.was_taken and not self._endpoint.met:
                self._endpoint = replace(self._endpoint, met=True)


def reachable(host: str) -> str:
    """Where a broker answers that listens at ``host``."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
