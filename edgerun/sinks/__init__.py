"""Where messages go."""

from edgerun.plugins import Plugin
from edgerun.sinks.mqtt import MqttOptions, MqttSink
from edgerun.sinks.stdout import StdoutOptions, StdoutSink
from edgerun.stages import Sink

SINKS: dict[str, Plugin[Sink]] = {
    "mqtt": Plugin(MqttOptions, MqttSink),
    "stdout": Plugin(StdoutOptions, StdoutSink),
}
