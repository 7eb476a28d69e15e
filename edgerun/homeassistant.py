"""Home Assistant's device discovery: one message that tells it of all cameras, zones and counts.

The form is that of Home Assistant's MQTT integration (``device``, ``origin``, ``components``); what is listed there by
id and platform alone is taken away.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, TypeAlias
from zlib import crc32

from edgerun import __version__
from edgerun.messages import CAMERA_STATES, to_json
from edgerun.records import dataclass
from edgerun.topics import Topics
from edgerun.types import Message

Component: TypeAlias = dict[str, Any]

_SERVED = "{{ 'online' if value_json.state == 'ok' else 'offline' }}"
_ATTRIBUTES = "{{ dict(value_json, event_type=value_json.kind) | to_json }}"


@dataclass(frozen=True, slots=True)
class CameraView:
    """What of a camera is worth an entity: its counts as (zone, label), and the kinds of its rules."""

    counts: Collection[tuple[str, str]] = ()
    kinds: Collection[str] = ()
    zones: Collection[str] = ()
    """All that are configured, also those that nothing was counted in yet."""
    labels: Collection[str] = ()
    """All that may be counted there, also those that were not seen yet. Empty: whichever."""

    def may_count(self, zone: str, label: str) -> bool:
        return zone in self.zones and (not self.labels or label in self.labels)


def birth_topic(discovery_prefix: str) -> str:
    """Where Home Assistant says ``online`` when it has started."""
    return f"{discovery_prefix}/status"


def discovery(
    topics: Topics,
    discovery_prefix: str,
    cameras: Mapping[str, CameraView],
    *,
    verbs: Collection[str] = (),
    before: Mapping[str, str] | None = None,
) -> Message:
    """The message for one device. ``verbs`` are the commands that are enabled; ``before`` is what ``platforms`` gave
    for the message before, so that what is gone is taken away."""
    components = _told_apart(_all_components(topics, cameras, verbs))
    for name, component in components.items():
        component["unique_id"] = f"edgerun_{topics.device}_{name}"
        component["default_entity_id"] = f"{component['platform']}.{_entity(f'{topics.device}_{name}')}"
    gone = {name: {"platform": platform} for name, platform in (before or {}).items() if name not in components}
    payload = {
        "device": {
            "identifiers": [f"edgerun_{topics.device}"],
            "name": topics.device,
            "manufacturer": "edgerun",
            "model": "edgerun",
            "sw_version": __version__,
        },
        "origin": {"name": "edgerun", "sw_version": __version__},
        "components": {**components, **gone},
        "qos": 1,
    }
    return _announcement(discovery_prefix, f"edgerun_{topics.device}", to_json(payload))


def withdrawal(discovery_prefix: str, before: bytes) -> Message | None:
    """What takes the whole device of an earlier message away; None when that was no such message."""
    try:
        (name,) = json.loads(before)["device"]["identifiers"]
    except (ValueError, TypeError, KeyError):
        return None
    return _announcement(discovery_prefix, name, b"")


def _announcement(discovery_prefix: str, name: str, payload: bytes) -> Message:
    return Message(f"{discovery_prefix}/device/{name}/config", payload, qos=1, retain=True)


def platforms(payload: bytes) -> dict[str, str]:
    """The components of an earlier message and their platforms; nothing of what it took away, and nothing at all of
    what is no such message."""
    try:
        components = json.loads(payload)["components"]
        return {name: component["platform"] for name, component in components.items() if len(component) > 1}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


def _all_components(
    topics: Topics, cameras: Mapping[str, CameraView], verbs: Collection[str]
) -> Iterator[dict[str, Component]]:
    """In groups with names that are unique in each; in another, ``a_b_c`` may be of camera ``a_b`` and not of ``a``."""
    yield _device_components(topics)
    for camera, view in cameras.items():
        yield _camera_components(topics, camera, view)
        for zone, label in sorted(set(view.counts)):
            yield _count_components(topics, camera, zone, label)
        yield _controls(topics, camera, verbs)


def _told_apart(groups: Iterable[dict[str, Component]]) -> dict[str, Component]:
    """All groups as one. Whoever finds its name taken adds a mark of its topic, the same from run to run."""
    found: dict[str, Component] = {}
    for name, component in (pair for group in groups for pair in group.items()):
        if name in found:
            topic: str = component.get("state_topic") or component["image_topic"]
            name = f"{name}_{crc32(topic.encode()):08x}"
        found[name] = component
    return found


def _device_components(topics: Topics) -> dict[str, Component]:
    online = [{"topic": topics.status}]
    return {
        "connection": {
            "platform": "binary_sensor",
            "name": "Connection",
            "device_class": "connectivity",
            "entity_category": "diagnostic",
            "state_topic": topics.status,
            "payload_on": "online",
            "payload_off": "offline",
        },
        "waiting_alerts": {
            "platform": "sensor",
            "name": "Waiting alerts",
            "entity_category": "diagnostic",
            "state_class": "measurement",
            "icon": "mdi:tray-full",
            "state_topic": topics.state,
            "value_template": "{{ value_json.outbox.depth }}",
            "availability": online,
        },
    }


def _camera_components(topics: Topics, camera: str, view: CameraView) -> dict[str, Component]:
    """Alerts and their picture have no ``availability``: what has happened stays true when the device is away. Alerts
    that waited come before its status is back, and Home Assistant has no event for those of an unavailable entity."""
    online = [{"topic": topics.status}]
    found: dict[str, Component] = {
        f"{camera}_state": {
            "platform": "sensor",
            "name": f"{camera} state",
            "device_class": "enum",
            "options": CAMERA_STATES,
            "entity_category": "diagnostic",
            "state_topic": topics.camera_state(camera),
            "value_template": "{{ value_json.state }}",
            "availability": online,
        },
        f"{camera}_fps": {
            "platform": "sensor",
            "name": f"{camera} fps",
            "entity_category": "diagnostic",
            "state_class": "measurement",
            "unit_of_measurement": "fps",
            "suggested_display_precision": 1,
            "state_topic": topics.camera_state(camera),
            "value_template": "{{ value_json.fps }}",
            "availability": online,
        },
        f"{camera}_last_alert": {
            "platform": "image",
            "name": f"{camera} last alert",
            "image_topic": topics.snapshot(camera),
            "content_type": "image/jpeg",
        },
    }
    if view.kinds:
        found[f"{camera}_alert"] = {
            "platform": "event",
            "name": f"{camera} alert",
            "event_types": sorted({*view.kinds, "test"}),
            "state_topic": topics.alerts(camera),
            "value_template": _ATTRIBUTES,
        }
    return found


def _count_components(topics: Topics, camera: str, zone: str, label: str) -> dict[str, Component]:
    stem = f"{camera}_{zone}_{_slug(label)}"
    seen: Component = {
        "state_topic": topics.occupancy(camera, zone, label),
        "availability": [
            {"topic": topics.status},
            {"topic": topics.camera_state(camera), "value_template": _SERVED},
        ],
        "availability_mode": "all",
    }
    return {
        f"{stem}_occupancy": {
            "platform": "binary_sensor",
            "name": f"{camera} {zone} {label}",
            "device_class": "occupancy",
            "value_template": "{{ 'ON' if value | int(0) > 0 else 'OFF' }}",
            **seen,
        },
        f"{stem}_count": {
            "platform": "sensor",
            "name": f"{camera} {zone} {label} count",
            "state_class": "measurement",
            **seen,
        },
    }


def _controls(topics: Topics, camera: str, verbs: Collection[str]) -> dict[str, Component]:
    """Switches and numbers, as far as their commands are enabled."""
    online = [{"topic": topics.status}]
    found: dict[str, Component] = {}
    if "pause" in verbs:
        found[f"{camera}_looking"] = {
            "platform": "switch",
            "name": f"{camera} looking",
            "icon": "mdi:cctv",
            "command_topic": topics.command("pause"),
            "payload_on": json.dumps({"camera": camera, "paused": False}),
            "payload_off": json.dumps({"camera": camera, "paused": True}),
            "state_topic": topics.camera_state(camera),
            "value_template": "{{ 'OFF' if value_json.paused else 'ON' }}",
            "state_on": "ON",
            "state_off": "OFF",
            "availability": online,
        }
    if "set" in verbs:
        found[f"{camera}_score"] = {
            "platform": "number",
            "name": f"{camera} lowest score",
            "entity_category": "config",
            "min": 0,
            "max": 1,
            "step": 0.05,
            "mode": "slider",
            "command_topic": topics.command("set"),
            "command_template": f'{{"camera": "{camera}", "score": {{{{ value }}}}}}',
            "state_topic": topics.camera_state(camera),
            "value_template": "{{ value_json.score | default('None') }}",
            "availability": online,
        }
    return found


def _slug(text: str) -> str:
    """Home Assistant's ids take letters, digits, ``_`` and ``-``."""
    return re.sub(r"[^a-zA-Z0-9_-]", "_", text)


def _entity(text: str) -> str:
    """Its entities' names take small letters, digits and ``_``."""
    return re.sub(r"[^a-z0-9_]", "_", text.lower())
