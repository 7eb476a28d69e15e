"""paho's client as one connection wants it: named, with its login and its last will, and without what paho imports for
nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgerun.sinks._incoming import client_type
from edgerun.sinks._late import put_off
from edgerun.sinks.mqtt_endpoint import Endpoint

if TYPE_CHECKING:
    from paho.mqtt.client import Client

_CONNECT_S = 4.0


class _NeverError(Exception):
    """Raised by nobody."""


def new_client(endpoint: Endpoint) -> Client:
    """Connects nowhere yet, and never again by itself."""
    put_off("urllib.request")  # paho wants it for proxies, which are PySocks' matter
    put_off("hashlib")  # for websockets
    put_off("ssl", SSLWantReadError=_NeverError, SSLWantWriteError=_NeverError)  # to ask whether an error is TLS's
    from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

    client = client_type(requests_only=endpoint.requests_only)(
        CallbackAPIVersion.VERSION2,
        endpoint.client_id,
        clean_session=None if endpoint.v5 else True,
        protocol=MQTTProtocolVersion.MQTTv5 if endpoint.v5 else MQTTProtocolVersion.MQTTv311,
        reconnect_on_failure=False,
    )
    client.connect_timeout = _CONNECT_S
    if endpoint.username:
        client.username_pw_set(endpoint.username, endpoint.password)
    if endpoint.will is not None:
        client.will_set(endpoint.will.topic, endpoint.will.payload, endpoint.will.qos, endpoint.will.retain)
    return client
