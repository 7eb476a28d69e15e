"""paho-mqtt: python with_paho.py PORT"""

from __future__ import annotations

import json
import sys

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


def on_connect(client: Client, *_: object) -> None:
    client.subscribe("edgerun/+/+/alerts", 1)


def on_message(_: Client, __: object, message: MQTTMessage) -> None:
    print(json.dumps(json.loads(message.payload)), flush=True)


client = Client(CallbackAPIVersion.VERSION2, "paho", protocol=MQTTProtocolVersion.MQTTv5)
client.on_connect = on_connect
client.on_message = on_message
client.reconnect_delay_set(1, 1)
session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's
session.SessionExpiryInterval = 3600
client.connect("127.0.0.1", int(sys.argv[1]), clean_start=False, properties=session)
client.loop_forever()
