"""Where a camera's web server leads on to."""

from __future__ import annotations

from email.message import Message
from typing import IO
from urllib.request import HTTPRedirectHandler, Request


class Leading(HTTPRedirectHandler):
    """Follows without a look at what comes beside the new address: Python reads all of it first, and it may have no
    end."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> Request | None:
        fp.close()
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]  # typeshed's own
