"""What runs in the embedded broker's process. Its settings come as one JSON line on standard input, which then stays
open: its end is the daemon's end, and this process's too."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from typing import Any

_SHUTDOWN_S = 2.0


def main() -> str | None:
    """Why it could not serve."""
    settings = json.loads(sys.stdin.readline())
    logging.basicConfig(level=logging.CRITICAL)
    try:
        import amqtt.broker  # noqa: F401  only whether it is there
    except ImportError as error:
        return f"it needs amqtt: pip install 'edgerun[demo]' ({error})"
    return asyncio.run(_serve(settings))


async def _serve(settings: dict[str, Any]) -> str | None:
    from amqtt.broker import Broker
    from amqtt.errors import BrokerError

    login = {"username": settings["username"], "password": settings["password"]}
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": settings["bind"]}},
            "plugins": {"edgerun.runtime.exchange.broker_login.Login": login},
        }
    )
    try:
        await broker.start()
    except BrokerError as error:
        return f"it cannot listen at {settings['bind']}: {error}"
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    with contextlib.suppress(asyncio.TimeoutError):  # some clients it waits for without an end
        await asyncio.wait_for(broker.shutdown(), _SHUTDOWN_S)
    return None


if __name__ == "__main__":
    sys.exit(main())  # which writes a text to standard error
