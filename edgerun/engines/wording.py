"""A vendor's complaint as part of one sentence."""

from __future__ import annotations


def one_line(error: BaseException, most: int = 300) -> str:
    """The message of an exception on one line of at most ``most`` characters; its type where it has none."""
    text = " ".join(str(error).split()).rstrip(".:")
    return (text if len(text) <= most else text[: most - 3] + "...") or type(error).__name__
