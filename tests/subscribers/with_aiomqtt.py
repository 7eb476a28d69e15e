"""aiomqtt: python with_aiomqtt.py PORT"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys

from aiomqtt import Client, MqttError, ProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


async def follow(port: int) -> None:
    """Until the connection is lost."""
    session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's
    session.SessionExpiryInterval = 3600
    client = Client(
        "127.0.0.1", port, identifier="aio", protocol=ProtocolVersion.V5, clean_start=False, properties=session
    )
    with contextlib.suppress(MqttError):
        async with client:
            await client.subscribe("edgerun/+/+/alerts", qos=1)
            async for message in client.messages:
                print(json.dumps(json.loads(message.payload)), flush=True)


async def main() -> None:
    while True:
        await follow(int(sys.argv[1]))
        await asyncio.sleep(0.3)


asyncio.run(main())
