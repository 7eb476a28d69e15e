"""One connection to a broker, from its first packet to its last.

Every connection has a paho client of its own, so that nothing of the last one is repeated behind our back: at a
reconnect paho sends all it holds, past the limit that the broker set. All calls to paho are made under one lock;
a message is written to the socket by the thread that brings it, with no hop in between, and what the socket does not
take is written later by ``serve``.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from edgerun.sinks import mqtt_words as words
from edgerun.sinks.mqtt_client import new_client
from edgerun.sinks.mqtt_endpoint import Endpoint, tls_context, tune
from edgerun.sinks.mqtt_packets import connect_properties, publish_packet, publish_properties
from edgerun.sinks.mqtt_subscriptions import Subscriptions
from edgerun.sinks.mqtt_suspects import Suspects
from edgerun.stages import Request, SinkListener, Verdict
from edgerun.types import Message

if TYPE_CHECKING:
    from ssl import SSLSocket

    from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

_CONNACK_S = 5.0
_NO_SUBSCRIBERS = 0x10
_TOPIC_ROOM = 256
"""Bytes a packet needs beside topic and payload, at the most."""


class Connection:
    """``open``, then ``serve`` until it ends, then ``drop``: in one thread. The rest from any thread.

    ``rouser`` is written to when ``serve`` must look up from its wait for the other end of it.
    """

    def __init__(
        self, endpoint: Endpoint, session: int, listener: SinkListener, rouser: socket.socket, suspects: Suspects
    ) -> None:
        self._endpoint = endpoint
        self._session = session
        self._listener = listener
        self._rouser = rouser
        self._suspects = suspects
        self._lock = threading.Lock()
        self._client = new_client(endpoint)
        self._subscriptions = Subscriptions(endpoint, self._client, suspects)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._up = False
        self._end = ""
        self._connack: tuple[ReasonCode, Properties] | None = None
        self._tokens: dict[int, int] = {}
        self._rest = b""
        """What the socket has not yet taken of a packet that went past paho."""
        self._largest = 1 << 28
        self._not_now: tuple[type[OSError], ...] = (BlockingIOError,)
        """What the socket raises that takes nothing just now."""

    def open(self) -> None:
        """Connect and send the first packet. Raises SinkError with a sentence on what stood against it."""
        endpoint = self._endpoint
        try:
            if endpoint.tls is not None:
                self._client.tls_set_context(tls_context(endpoint.tls))
                import ssl

                self._not_now += ssl.SSLWantReadError, ssl.SSLWantWriteError
            if endpoint.v5:
                self._client.connect(
                    endpoint.host,
                    endpoint.port,
                    endpoint.keepalive_s,
                    clean_start=True,
                    properties=connect_properties(requests_only=endpoint.requests_only),
                )
            else:
                self._client.connect(endpoint.host, endpoint.port, endpoint.keepalive_s)
            sock = self._client.socket()
            if sock is None:
                raise words.hung_up(endpoint)
            self._socket = cast(socket.socket, sock)
            tune(self._socket)
        except (OSError, ValueError) as error:
            raise words.unreachable(error, endpoint.host, endpoint.port) from error

    def serve(self, roused: socket.socket) -> str:
        """Read, write and keep alive until the connection ends; why it did. Raises SinkError when the broker turned
        us away."""
        endpoint, poll = self._endpoint, select.poll()
        poll.register(roused, select.POLLIN)
        opened = time.monotonic()
        while not self._end:
            with self._lock:
                if self._client.socket() is None:
                    break
                waits = select.POLLOUT if self._rest or self._client.want_write() else 0
                # Nothing is read while there is a rest: what came would end the wait at once, over and over.
                poll.register(self._socket, waits if self._rest else select.POLLIN | waits)
            ready = dict(poll.poll(1000))
            if ready.pop(roused.fileno(), 0):
                with contextlib.suppress(BlockingIOError):
                    roused.recv(4096)
            self._turn(*ready.values())
            self._after_connack()
            if self._up:
                self._subscribe()
            if not self._up and time.monotonic() - opened > _CONNACK_S:
                raise words.silent(endpoint)
        if not self._up and self._connack is None and self._end in ("", words.LOST):
            raise words.hung_up(endpoint)
        self._up = False
        return self._end or words.LOST

    @property
    def was_taken(self) -> bool:
        """The broker has let us in."""
        return self._connack is not None and not self._connack[0].is_failure

    def _turn(self, events: int = 0) -> None:
        try:
            with self._lock:
                if not self._has_written_rest():
                    return
                if events & ~select.POLLOUT:
                    self._client.loop_read()
                    while self._endpoint.tls is not None and self._is_pending():
                        self._client.loop_read()
                if events & select.POLLOUT:
                    self._client.loop_write()
                self._client.loop_misc()
        except (ValueError, LookupError, TypeError, AttributeError, struct.error, OSError) as error:
            # What paho raises on a packet that is no MQTT; there is no telling in advance.
            self._end = f"the broker sent what is no MQTT ({error})"

    def _is_pending(self) -> bool:
        """Whether TLS has read bytes from the socket, of which poll knows nothing."""
        sock = self._client.socket()
        return sock is not None and cast("SSLSocket", sock).pending() > 0

    def _after_connack(self) -> None:
        if self._up or self._connack is None:
            return
        reason, properties = self._connack
        if reason.is_failure:
            raise words.refused(reason.value, str(reason), self._endpoint.v5, self._endpoint.username)
        self._largest = getattr(properties, "MaximumPacketSize", self._largest)
        self._subscribe()
        self._up = True
        self._listener.connected(getattr(properties, "ReceiveMaximum", 65535), self._session)

    def _subscribe(self) -> None:
        with self._lock:
            if self._has_written_rest():
                self._subscriptions.ask(time.monotonic())
        for topic, reason in self._subscriptions.refusals():
            self._listener.denied(topic, words.denied(topic, reason))

    def send(self, message: Message) -> bool:
        """False when it is too large, or when earlier messages still wait for the socket.

        With QoS 0 the packet is made and written here: through paho that takes several times as long.
        """
        if not self._up or not self._fits(message):
            return False
        with self._lock:
            if not self._has_written_rest() or self._client.want_write():
                return False
            if message.qos or message.correlation:
                return self._publish(message) is not None
            written = self._write(publish_packet(message, self._endpoint.v5))
            if self._rest:
                self._rouse()
            return written

    def offer(self, message: Message, token: int) -> bool:
        if not self._up:
            return False
        if not self._fits(message):
            self._listener.answered(token, "oversized", f"it is larger than the {self._largest} bytes the broker takes")
            return True
        now = time.monotonic()
        if self._suspects.barred(message.topic, now):
            self._listener.answered(token, "refused", words.ENDED_BY_MESSAGE)
            return True
        if self._suspects.must_wait(message.topic, now):
            return False
        if not message.qos and self._suspects.is_suspect(message.topic):
            message = replace(message, qos=1)  # so that an answer says that it is not the cause
        if not message.qos:
            sent = self.send(message)
            if sent:
                self._suspects.ask(message.topic, now)
                self._listener.answered(token, "taken", "")
            return sent
        with self._lock:
            mid = self._publish(message) if self._has_written_rest() else None
            if mid is not None:
                self._tokens[mid] = token
                self._suspects.ask(message.topic, now, mid)
        return mid is not None

    def _has_written_rest(self) -> bool:
        """Tries to. False while the socket does not take it all, and when the connection is gone."""
        return not self._rest or (self._write(self._rest) and not self._rest)

    def _write(self, packet: bytes) -> bool:
        """Write past paho, which must write nothing itself while there is a rest. False when the connection is gone."""
        try:
            sent = self._socket.send(packet)
        except self._not_now:
            sent = 0
        except OSError:
            self.give_up(words.LOST)
            return False
        self._rest = packet[sent:]
        return True

    def _publish(self, message: Message) -> int | None:
        client = self._client
        sent = client.publish(message.topic, message.payload, message.qos, message.retain, self._properties(message))
        if sent.rc != 0:
            return None
        if client.want_write():
            self._rouse()
        return sent.mid

    def _fits(self, message: Message) -> bool:
        return len(message.payload) + len(message.topic) * 4 + _TOPIC_ROOM <= self._largest

    def _properties(self, message: Message) -> Properties | None:
        if not self._endpoint.v5 or not (message.expiry_s or message.correlation):
            return None
        return publish_properties(message.expiry_s, message.correlation)

    def give_up(self, reason: str) -> None:
        self._end = reason
        self._rouse()

    def say_goodbye(self) -> None:
        self._up = False
        with self._lock:
            if not self._rest:
                self._client.disconnect()
        self._end = "closed"

    def drop(self) -> None:
        """Close the socket, whatever state it is in."""
        self._suspects.ended(time.monotonic())
        with self._lock:  # who is about to write would reach what is opened next under the same number
            sock = self._client.socket()
            if sock is not None:
                sock.close()

    def _rouse(self) -> None:
        with contextlib.suppress(OSError):
            self._rouser.send(b"x")

    # paho calls these with its own locks held, so they take notes and nothing else.

    def _on_connect(
        self, _: Client, __: object, ___: ConnectFlags, reason: ReasonCode, found: Properties | None
    ) -> None:
        self._connack = reason, found  # type: ignore[assignment]  # paho always gives properties

    def _on_disconnect(
        self, _: Client, __: object, flags: DisconnectFlags, reason: ReasonCode, ___: Properties | None
    ) -> None:
        self._end = self._end or words.lost(reason.value, str(reason), flags.is_disconnect_packet_from_server)

    def _on_publish(self, client: Client, _: object, mid: int, reason: ReasonCode, __: Properties) -> None:
        token = self._tokens.pop(mid, None)
        if token is None:
            return
        verdict: Verdict = "taken"
        unlisted: int = getattr(client, "unlisted", 0)
        if reason.is_failure:
            verdict = "oversized" if unlisted == words.TOO_LARGE else "refused"
        else:
            self._suspects.grant(mid)
            if reason.value == _NO_SUBSCRIBERS:
                verdict = "unclaimed"
        self._listener.answered(token, verdict, words.answer(unlisted, str(reason)))

    def _on_subscribe(self, _: Client, __: object, mid: int, reasons: list[ReasonCode], ___: Properties) -> None:
        self._subscriptions.answered(mid, [str(reason) for reason in reasons if reason.is_failure])

    def _on_message(self, _: Client, __: object, message: MQTTMessage) -> None:
        found = message.properties
        self._listener.received(
            Request(
                message.topic,
                bytes(message.payload),
                message.retain,
                getattr(found, "ResponseTopic", ""),
                getattr(found, "CorrelationData", b""),
            )
        )
