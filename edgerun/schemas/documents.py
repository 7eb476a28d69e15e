"""The documents that tools read: one with all schemas, one in AsyncAPI 3."""

from __future__ import annotations

from typing import Any

from edgerun import __version__
from edgerun.messages import DETECTIONS_EXPIRY_S
from edgerun.schemas.parts import Schema
from edgerun.schemas.payloads import COMMANDS, PAYLOADS
from edgerun.topics import Topics

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_BINDING = "0.2.0"
_PARAMETERS = {
    "prefix": "`mqtt.prefix` of the configuration; `edgerun` by default.",
    "device": "`device` of the configuration.",
    "camera": "A camera's name in the configuration.",
    "zone": "A zone's name in the configuration.",
    "label": "A label of the model; characters that topics may not hold are `_`.",
}
_TOPICS = Topics("{prefix}", "{device}")
_SCHEMAS = {**PAYLOADS, **{f"cmd_{verb}": schema for verb, schema in COMMANDS.items()}}
"""Of all messages, out and in, by kind."""
_ONCE, _KEPT = {"qos": 1, "retain": False}, {"qos": 1, "retain": True}
_ADDRESSES: dict[str, tuple[str, Schema]] = {
    "status": (_TOPICS.status, _KEPT),
    "state": (_TOPICS.state, _KEPT),
    "camera_state": (_TOPICS.camera_state("{camera}"), _KEPT),
    "detections": (_TOPICS.detections("{camera}"), {"qos": 0, "retain": False}),
    "alert": (_TOPICS.alerts("{camera}"), _ONCE),
    "last_alert": (_TOPICS.last_alert("{camera}"), _KEPT),
    "gaps": (_TOPICS.gaps("{camera}"), _KEPT),
    "occupancy": (_TOPICS.occupancy("{camera}", "{zone}", "{label}"), _KEPT),
    "snapshot": (_TOPICS.snapshot("{camera}"), {"qos": 0, "retain": True}),
    "ack": (_TOPICS.ack, _ONCE),
}
"""Where each kind of payload is published, with its QoS and whether it is retained."""
_CONTENT_TYPES = {"status": "text/plain", "snapshot": "image/jpeg"}


def mqtt_schemas() -> Schema:
    """One document with the schema of every payload under ``$defs``, and where each is published."""
    published = {
        kind: {"topic": address, **terms, "schema": {"$ref": f"#/$defs/{kind}"}}
        for kind, (address, terms) in _ADDRESSES.items()
    }
    commands = {verb: {"topic": _TOPICS.command(verb), "schema": {"$ref": f"#/$defs/cmd_{verb}"}} for verb in COMMANDS}
    title = "edgerun over MQTT"
    return {"$schema": _DRAFT, "title": title, "published": published, "commands": commands, "$defs": _SCHEMAS}


def asyncapi() -> Schema:
    """The AsyncAPI 3 document, from the device's side: it sends what it publishes and receives commands."""
    channels = {kind: _channel(kind, address) for kind, (address, _) in _ADDRESSES.items()}
    channels |= {f"cmd_{verb}": _channel(f"cmd_{verb}", _TOPICS.command(verb)) for verb in COMMANDS}
    operations = {f"send_{kind}": _operation("send", kind, terms) for kind, (_, terms) in _ADDRESSES.items()}
    operations |= {f"receive_cmd_{verb}": _command(verb) for verb in COMMANDS}
    messages = {
        kind: {
            "name": kind,
            "contentType": _CONTENT_TYPES.get(kind, "application/json"),
            "payload": {"schemaFormat": "application/schema+json;version=draft-2020-12", "schema": schema},
        }
        for kind, schema in _SCHEMAS.items()
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "edgerun",
            "version": __version__,
            "description": "Detections and alerts of cameras. Alerts arrive at least once: drop what repeats an `id`.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"broker": {"host": "{host}:{port}", "protocol": "mqtt", "variables": _server_variables()}},
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    }


def _server_variables() -> Schema:
    return {"host": {"default": "127.0.0.1"}, "port": {"default": "1883"}}


def _channel(kind: str, address: str) -> Schema:
    names = [level[1:-1] for level in address.split("/") if level.startswith("{")]
    return {
        "address": address,
        "parameters": {name: {"description": _PARAMETERS[name]} for name in names},
        "messages": {kind: {"$ref": f"#/components/messages/{kind}"}},
    }


def _operation(action: str, kind: str, terms: dict[str, Any]) -> Schema:
    binding = {**terms, "bindingVersion": _BINDING}
    if kind == "detections":
        binding["messageExpiryInterval"] = DETECTIONS_EXPIRY_S
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{kind}"},
        "messages": [{"$ref": f"#/channels/{kind}/messages/{kind}"}],
        "bindings": {"mqtt": binding},
    }


def _command(verb: str) -> Schema:
    """The answer goes to the request's response topic, else to ``ack``."""
    operation = _operation("receive", f"cmd_{verb}", {"qos": 1})
    reply = {"channel": {"$ref": "#/channels/ack"}, "messages": [{"$ref": "#/channels/ack/messages/ack"}]}
    return {**operation, "reply": reply}
