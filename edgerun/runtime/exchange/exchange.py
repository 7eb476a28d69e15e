"""All that the daemon and its broker say to one another: made as a whole, and anew where a reload changes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from edgerun.config import Config
from edgerun.homeassistant import CameraView, birth_topic
from edgerun.messages import status
from edgerun.runtime.delivery.delivery import Delivery
from edgerun.runtime.exchange.actions import CameraActions, Settled
from edgerun.runtime.exchange.announcer import Announcer
from edgerun.runtime.exchange.broker import EmbeddedBroker
from edgerun.runtime.exchange.commands import Commands
from edgerun.runtime.health.report import Bulletin, Report
from edgerun.sinks.mqtt import MqttSink
from edgerun.sinks.stdout import StdoutSink
from edgerun.topics import Topics

_BROKER_S = 5.0


class Exchange:
    """What must outlast it lies in ``state_dir``; commands act on the ``settled`` cameras, or ``reload``. The alerts
    are those of the one ``before``, which is closed when this starts; what cameras tell it waits until then."""

    def __init__(
        self,
        config: Config,
        state_dir: Path,
        settled: Settled,
        reload: Callable[[], None],
        before: Delivery | None,
    ) -> None:
        self._broker = EmbeddedBroker(config.mqtt) if config.mqtt.embedded else None
        self.topics = Topics(config.mqtt.prefix, config.device)
        self.delivery = _delivery_for(config, self.topics, state_dir / "outbox.db", before)
        self._bulletin = Bulletin(self.topics, self.delivery)
        self._announcer = Announcer(self.topics, config.mqtt, self.delivery, state_dir / "announced.json")
        actions = CameraActions(settled, self.delivery, reload)
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
            self._announcer.tell(views, report.at)

    def close(self, drain_s: float) -> None:
        """After ``drain_s`` at the latest for what can still be delivered."""
        self._commands.close()
        self.delivery.close(drain_s)
        self._announcer.close()
        if self._broker is not None:
            self._broker.close()


def _delivery_for(config: Config, topics: Topics, outbox: Path, before: Delivery | None) -> Delivery:
    """To the broker, and as lines to the standard output where that is asked for; with the alerts of ``before``."""
    birth = birth_topic(config.mqtt.discovery_prefix) if config.mqtt.home_assistant else ""
    will, heard = status(topics, online=False), (topics.status, *filter(None, [birth]))
    commands = (topics.command("+"),) if config.mqtt.verbs else ()
    sink = MqttSink(config.mqtt, config.device, will, heard, as_published=commands)
    copies = [StdoutSink(config.stdout)] if config.stdout else []
    cameras = config.enabled_cameras.keys()
    return Delivery(
        topics, sink, outbox, config.outbox, copies=copies, birth_topic=birth, cameras=cameras, before=before
    )


def made_of(config: Config) -> tuple[object, ...]:
    """What of a configuration an Exchange depends on, but for the cameras."""
    return config.mqtt, config.device, config.outbox, config.stdout
