"""Where everything is published, as CONTRACT describes it, and what a topic may hold."""

from __future__ import annotations

from collections.abc import Iterable

from edgerun.records import dataclass

NAME = r"[a-z0-9_-]{1,32}"
"""What devices, cameras, zones and lines are called: names that become levels of a topic."""
_LONGEST_LABEL = 200
"""Characters; a whole topic may have 65,535 bytes."""


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one device. ``camera`` and ``zone`` are each a ``NAME``."""

    prefix: str
    device: str

    @property
    def base(self) -> str:
        return f"{self.prefix}/{self.device}"

    @property
    def status(self) -> str:
        return f"{self.base}/status"

    @property
    def state(self) -> str:
        return f"{self.base}/state"

    @property
    def ack(self) -> str:
        return f"{self.base}/ack"

    def command(self, verb: str) -> str:
        """Where a command comes in; ``#`` for all of them."""
        return f"{self.base}/cmd/{verb}"

    def camera_state(self, camera: str) -> str:
        return f"{self.base}/{camera}/state"

    def detections(self, camera: str) -> str:
        return f"{self.base}/{camera}/detections"

    def alerts(self, camera: str) -> str:
        return f"{self.base}/{camera}/alerts"

    def last_alert(self, camera: str) -> str:
        return f"{self.base}/{camera}/alerts/last"

    def gaps(self, camera: str) -> str:
        """Where the ranges of ``seq`` stand that will never be delivered."""
        return f"{self.base}/{camera}/alerts/gaps"

    def snapshot(self, camera: str) -> str:
        return f"{self.base}/{camera}/snapshot"

    def occupancy(self, camera: str, zone: str, label: str) -> str:
        return f"{self.base}/{camera}/{zone}/{_level(label)}"


def sharing(labels: Iterable[str]) -> list[set[str]]:
    """Those of the labels that are told at one and the same topic, in groups."""
    levels: dict[str, set[str]] = {}
    for label in labels:
        levels.setdefault(_level(label), set()).add(label)
    return [group for group in levels.values() if len(group) > 1]


def is_topic(text: str, longest: int) -> bool:
    """Whether messages may be published there: of so many characters at most, and none of a broker's own topics."""
    return len(text) <= longest and not text.startswith("$") and all(map(_may_stand, text))


def _level(label: str) -> str:
    """Characters that a topic level may not hold become ``_``."""
    return "".join(sign if _may_stand(sign) and sign != "/" else "_" for sign in label[:_LONGEST_LABEL])


def _may_stand(sign: str) -> bool:
    """Wildcards may not, nor control characters: brokers end the connection at them."""
    return sign not in "+#" and sign.isprintable()
