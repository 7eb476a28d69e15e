"""Digest login as cameras speak it (RFC 7616). Python's own knows the oldest kind alone, and of several that a camera
offers looks at the first."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, cast
from urllib.request import HTTPDigestAuthHandler, Request, parse_http_list, parse_keqv_list

_HASHES: Mapping[str, Callable[[bytes], Any]] = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


class UnknownLoginError(ValueError):
    """None of the kinds of login that are offered is known here."""


class Digest(HTTPDigestAuthHandler):
    """Answers the first challenge that it knows, and leaves it to others where basic login is offered instead."""

    def http_error_auth_reqed(self, auth_header: str, host: str, req: Request, headers: Any) -> Any:
        offered: list[str] = headers.get_all(auth_header) or []
        known = next((one for one in offered if _algorithm(one) in _HASHES), None)
        if known is not None:
            challenge = f"Digest {', '.join(_fields(known))}"
            return cast(Any, super()).http_error_auth_reqed(auth_header, host, req, {auth_header: challenge})
        if offered and not any(one.lower().startswith("basic") for one in offered):
            raise UnknownLoginError
        return None

    def get_algorithm_impls(self, algorithm: str) -> tuple[Callable[[str], str], Callable[[str, str], str]]:
        def digest(text: str) -> str:
            return str(_HASHES[algorithm.upper()](text.encode()).hexdigest())

        return digest, lambda secret, text: digest(f"{secret}:{text}")


def _algorithm(challenge: str) -> str:
    """Of a digest; empty for any other kind of login."""
    if not challenge.lower().startswith("digest "):
        return ""
    return parse_keqv_list(_fields(challenge)).get("algorithm", "MD5").upper()


def _fields(challenge: str) -> list[str]:
    """``name=value`` each; Python reads neither a name alone nor one with nothing after its ``=``."""
    fields = [field for field in parse_http_list(challenge.partition(" ")[2]) if "=" in field]
    return [f'{field}""' if field.endswith("=") else field for field in fields]
