"""How the embedded broker tells friend from stranger; amqtt loads this by its name."""

from __future__ import annotations

import hmac

from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import Session

from edgerun.records import dataclass


class Login(BaseAuthPlugin):  # type: ignore[misc]  # amqtt has no type hints
    """One user name and its password for everybody; with no user name, nobody is asked."""

    @dataclass
    class Config:
        """The login. amqtt fills it in."""

        username: str = ""
        password: str = ""

    async def authenticate(self, *, session: Session) -> bool | None:
        wanted: tuple[str, str] = self.config.username, self.config.password
        given = session.username or "", session.password or ""
        return not wanted[0] or hmac.compare_digest(repr(given).encode(), repr(wanted).encode())
