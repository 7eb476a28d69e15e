"""Addresses of cameras in words that may be read by anyone."""

from __future__ import annotations

import re
import socket

from edgerun.secrets import hide_parameters

_ESCAPES = "in a password write # as %23, / as %2F and ? as %3F"


def redacted(url: str) -> str:
    """The URL without its secrets: ``rtsp://cam:***@host/path``, and ``***`` for what looks like one in its query.

    A password that holds an unescaped ``@`` is covered up to the last one.
    """
    head, at, tail = url.rpartition("@")
    if at and "://" in head:
        scheme, _, userinfo = head.partition("://")
        user, colon, _ = userinfo.partition(":")
        url = f"{scheme}://{user}{':***' if colon else ''}@{tail}"
    return hide_parameters(url)


def need_scheme(url: str, *schemes: str) -> None:
    """Raises ValueError unless the URL begins with one of the schemes and names a host. It may hold a password, so
    no more of it than a scheme is shown."""
    scheme, separator, _ = url.partition("://")
    if not separator or scheme.lower() not in schemes or not _host(url):
        wanted = " or ".join(f"{s}://" for s in schemes)
        found = f"this one begins with {scheme[:10]}://" if separator else "this one has no scheme"
        raise ValueError(f"the URL must begin with {wanted} and name a host; {found}")
    authority = _authority(url)
    if re.search(r":[^]:@$]*[^]:@$\d][^]:@$]*$", authority):  # no port, end of an IPv6 address or ${NAME}
        raise ValueError(f"the URL has a port that is no number; {_ESCAPES}")
    port = re.search(r":(\d+)$", authority)
    if port and not 1 <= int(port[1]) <= 65535:
        raise ValueError("the URL has a port that cannot be; they go from 1 to 65535")


def resolves(url: str) -> bool:
    """Whether the URL's host, if it has one, is known. Asks the name servers, which takes a while."""
    host = _host(url)
    try:
        return not host or bool(socket.getaddrinfo(host, None))
    except (socket.gaierror, UnicodeError):
        return False


def unescaped(url: str) -> str:
    """What to write otherwise in a URL whose host a password's own ``/`` may have ended; empty where none has."""
    return f"; {_ESCAPES}" if "@" in url.partition("://")[2].removeprefix(_authority(url)) else ""


def _host(url: str) -> str:
    return re.sub(r":\d*$", "", _authority(url).rpartition("@")[2]).strip("[]")


def _authority(url: str) -> str:
    """``user:password@host:port``, as FFmpeg finds it."""
    return re.split("[/?#]", url.partition("://")[2], maxsplit=1)[0]
