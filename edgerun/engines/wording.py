"""A vendor's complaint as part of one sentence."""

from __future__ import annotations

_MOST = 300


def one_line(error: BaseException) -> str:
    """The message of an exception on one line of some hundred characters at most; its type where it has none."""
    text = " ".join(str(error).split()).rstrip(".:")
    return (text if len(text) <= _MOST else text[: _MOST - 3] + "...") or type(error).__name__
