"""What runs in the embedded broker's process. Its settings come as one JSON line on standard input, which then stays
open: its end is the daemon's end, and this process's too."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from typing import Any

NOT_INSTALLED = 3
CANNOT_LISTEN = 4
_SHUTDOWN_S = 2.0


def main() -> int:
    """The exit status; why, on standard error."""
    settings = json.loads(sys.stdin.readline())
    logging.basicConfig(level=logging.CRITICAL)
    try:
        import amqtt.broker  # noqa: F401  only whether it is there
    except ImportError as error:
        print(f"it needs amqtt: pip install 'edgerun[demo]' ({error})", file=sys.stderr)
        return NOT_INSTALLED
    return asyncio.run(_serve(settings))


async def _serve(settings: dict[str, Any]) -> int:
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
        print(f"it cannot listen at {settings['bind']}: {error}", file=sys.stderr)
        return CANNOT_LISTEN
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    with contextlib.suppress(asyncio.TimeoutError):  # some clients it waits for without an end
        await asyncio.wait_for(broker.shutdown(), _SHUTDOWN_S)
    return 0


if __name__ == "__main__":
    sys.exit(main())
