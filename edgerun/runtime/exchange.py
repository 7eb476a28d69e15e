"""All that the daemon and its broker say to one another: made as a whole, and anew where a reload changes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from edgerun.config import Config
from edgerun.homeassistant import CameraView
from edgerun.runtime.actions import CameraActions
from edgerun.runtime.announcer import Announcer
from edgerun.runtime.assembly import delivery_for
from edgerun.runtime.broker import EmbeddedBroker
from edgerun.runtime.camera import Camera
from edgerun.runtime.commands import Commands
from edgerun.runtime.delivery import Delivery
from edgerun.runtime.report import Bulletin, Report
from edgerun.topics import Topics

_BROKER_S = 5.0


class Exchange:
    """What must outlast it lies in ``state_dir``; commands act on ``cameras()``, or ``reload``. The alerts are those of
    the one ``before``, which is closed when this starts; what cameras tell it waits until then."""

    def __init__(
        self,
        config: Config,
        state_dir: Path,
        cameras: Callable[[], Mapping[str, Camera]],
        reload: Callable[[], None],
        before: Delivery | None = None,
    ) -> None:
        self._broker = EmbeddedBroker(config.mqtt) if config.mqtt.embedded else None
        self.topics = Topics(config.mqtt.prefix, config.device)
        self.delivery = delivery_for(config, self.topics, state_dir / "outbox.db", before)
        self._bulletin = Bulletin(self.topics, self.delivery)
        self._announcer = Announcer(self.topics, config.mqtt, self.delivery, state_dir / "announced.json")
        actions = CameraActions(cameras, self.delivery, reload)
        self._commands = Commands(self.topics, config.mqtt.verbs, self.delivery, actions)

    def start(self) -> None:
        if self._broker is not None:
            self._broker.start()
            self._broker.wait(_BROKER_S)
        self.delivery.start()
        self._commands.start()

    def tell(self, report: Report, views: Mapping[str, CameraView] | None) -> None:
        """How all is, and what of the cameras there is to subscribe to (None: not known yet)."""
        self._bulletin.tell(report)
        if views is not None:
            self._announcer.tell(views)

    def close(self, drain_s: float) -> None:
        """After ``drain_s`` at the latest for what can still be delivered."""
        self._commands.close()
        self.delivery.close(drain_s)
        if self._broker is not None:
            self._broker.close()


def made_of(config: Config) -> tuple[object, ...]:
    """What of a configuration an Exchange depends on, but for the cameras."""
    return config.mqtt, config.device, config.outbox, config.stdout
