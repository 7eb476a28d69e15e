"""Addresses of cameras in words that may be read by anyone."""

from __future__ import annotations

from edgerun.secrets import hide_parameters


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
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in schemes or not rest.strip("/"):
        wanted = " or ".join(f"{s}://" for s in schemes)
        found = f"this one begins with {scheme[:10]}://" if separator else "this one has no scheme"
        raise ValueError(f"the URL must begin with {wanted} and name a host; {found}")
