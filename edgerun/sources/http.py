"""A network camera over HTTP: an MJPEG stream (multipart), or a JPEG picture fetched again and again.

Which of the two a URL gives is seen from the Content-Type of its answer.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import field
from typing import TYPE_CHECKING, Annotated

from edgerun.errors import SourceError
from edgerun.limits import POSITIVE
from edgerun.records import dataclass
from edgerun.sources._address import need_scheme, redacted
from edgerun.sources._av import MEGAPIXELS, JpegReader
from edgerun.sources._pace import Limiter
from edgerun.stages import Feed
from edgerun.tls import trusting
from edgerun.types import Frame

if TYPE_CHECKING:
    from http.client import HTTPResponse
    from urllib.request import OpenerDirector

_JPEG = b"\xff\xd8"
"""What each JPEG begins with."""
_LARGEST_JPEG = 32 << 20
_CHUNK = 64 << 10
_DAMAGED_IN_A_ROW = 10
_LONGEST_ADDRESS = 200
_LONGEST_WORDS = 80
"""Of the camera's own, which may be of any length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    url: str = field(repr=False)
    """``http://user:password@host/stream.mjpg`` or the address of a single JPEG, which is then fetched at the
    camera's ``fps``. Basic and digest login are known."""
    verify_tls: bool = True
    """Refuse ``https://`` cameras whose certificate nobody vouches for."""
    timeout_s: Annotated[float, POSITIVE] = 5.0
    """How long connecting, and then each picture, may take before the camera counts as unreachable."""

    def __post_init__(self) -> None:
        need_scheme(self.url, "http", "https")


class Http:
    """Frames are stamped when they have arrived; ``seq`` counts the frames given."""

    def __init__(self, options: HttpOptions, feed: Feed) -> None:
        self._options = options
        self._feed = feed
        self._name = redacted(options.url)
        self._closed = threading.Event()
        self._seq = itertools.count()
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None
        """A duplicate of what is being read, as the thread that reads may close its own at any time."""

    def frames(self) -> Iterator[Frame]:
        reader = JpegReader()
        damaged = 0
        for encoded in self._jpegs():
            picture = reader.read(encoded)
            damaged = 0 if picture else damaged + 1
            if damaged > _DAMAGED_IN_A_ROW:
                raise SourceError(f"{self._name} sends no JPEG picture of {MEGAPIXELS} megapixels at most")
            if picture and not self._closed.is_set():
                yield picture.frame(self._feed.camera, next(self._seq), time.monotonic(), time.time())

    def close(self) -> None:
        """Wakes a reader that waits for the camera."""
        self._closed.set()
        with self._lock, contextlib.suppress(OSError):
            if self._connection is not None:
                self._connection.shutdown(socket.SHUT_RDWR)

    def _jpegs(self) -> Iterator[bytes]:
        """Each JPEG that is due, until closed. Raises SourceError."""
        from http.client import HTTPException

        from edgerun.sources._digest import UnknownLoginError

        try:
            opener, address = _opener(self._options)
            while not self._closed.is_set():
                asked = time.monotonic()
                with opener.open(address, timeout=self._options.timeout_s) as response:
                    yield from self._answer(response)
                self._closed.wait(max(asked + 1 / (self._feed.fps or 1.0) - time.monotonic(), 0))
        except UnknownLoginError:
            raise SourceError(f"{self._name} asks for a kind of login that is not known here") from None
        except (OSError, ValueError, OverflowError, HTTPException) as error:
            if not self._closed.is_set():
                raise SourceError(f"{self._name} {_words(error, self._options)}") from None

    def _answer(self, response: HTTPResponse) -> Iterator[bytes]:
        with socket.socket(fileno=os.dup(response.fileno())) as connection:
            with self._lock:
                self._connection = connection
            try:
                if not self._closed.is_set():  # meanwhile, when there was nothing to end
                    yield from self._pictures(response)
            finally:
                with self._lock:
                    self._connection = None

    def _pictures(self, response: HTTPResponse) -> Iterator[bytes]:
        body = _Body(response, self._options.timeout_s)
        kind = response.headers.get_content_type()[:_LONGEST_WORDS]
        if kind.startswith("multipart/"):
            limiter = Limiter(self._feed.fps)
            for jpeg in body.parts():
                if limiter.due(time.monotonic()):
                    yield jpeg
            if not self._closed.is_set():
                raise SourceError(f"{self._name} ended the stream")
        elif kind.startswith("image/"):
            whole = body.whole()
            if "jp" not in kind and not whole.startswith(_JPEG):
                raise SourceError(f"{self._name} gives {kind}; choose JPEG in the camera, or another URL")
            yield whole
        else:
            raise SourceError(f"{self._name} gives {kind}, which is neither a JPEG picture nor an MJPEG stream")


class _Body:
    """Reads an answer's body; each picture has ``timeout_s``, however its bytes trickle in."""

    def __init__(self, response: HTTPResponse, timeout_s: float) -> None:
        self._response = response
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s

    def whole(self) -> bytes:
        return self._exactly(self._response.length) if self._response.length else b"".join(self._chunks(_LARGEST_JPEG))

    def parts(self) -> Iterator[bytes]:
        """The parts of a multipart body, until it ends.

        A part begins after a line that starts with ``--``, since cameras differ in what they announce as boundary,
        and ends by its Content-Length or at the next such line.
        """
        line = self._line()
        while line:
            self._deadline = time.monotonic() + self._timeout_s
            while line and not line.startswith(b"--"):
                line = self._line()
            boundary, length = line.strip(), None
            while line := self._line().strip():
                header, _, value = line.partition(b":")
                if header.strip().lower() == b"content-length" and value.strip().isdigit():
                    length = int(value)
            if length is not None:
                part, line = self._exactly(length), self._line()
            else:
                part, line = self._until(boundary)
            if part:
                yield part

    def _exactly(self, length: int) -> bytes:
        """Raises IncompleteRead where the connection breaks before: half a picture would be filled up with another."""
        from http.client import IncompleteRead

        found = b"".join(self._chunks(min(length, _LARGEST_JPEG)))
        if len(found) < length:
            raise IncompleteRead(found, length - len(found))
        return found

    def _until(self, boundary: bytes) -> tuple[bytes, bytes]:
        """What comes before the next boundary, and the boundary's line."""
        part = bytearray()
        while (line := self._line()) and len(part) < _LARGEST_JPEG:
            if line.startswith(boundary):
                break
            part += line
        return bytes(part), line

    def _chunks(self, count: int) -> Iterator[bytes]:
        while count > 0 and (chunk := self._response.read1(min(count, _CHUNK))):
            count -= len(chunk)
            self._check()
            yield chunk

    def _line(self) -> bytes:
        line = self._response.readline(_CHUNK)
        self._check()
        return line

    def _check(self) -> None:
        if time.monotonic() > self._deadline:
            raise TimeoutError


def _opener(options: HttpOptions) -> tuple[OpenerDirector, str]:
    """What opens the URL, and the URL without its user and password."""
    from urllib import parse, request

    from edgerun.sources._digest import Digest
    from edgerun.sources._leading import Leading

    parts = parse.urlsplit(options.url)
    netloc = parts.netloc.rpartition("@")[2]
    address = parts._replace(netloc=netloc).geturl()
    handlers: list[request.BaseHandler] = [  # no proxies, as cameras are on this network; no FTP for one to lead to
        request.HTTPHandler(),
        request.HTTPSHandler(context=trusting(insecure=not options.verify_tls)),
        request.HTTPErrorProcessor(),
        Leading(),
        request.HTTPDefaultErrorHandler(),
        request.UnknownHandler(),
    ]
    if parts.username is not None:
        logins = request.HTTPPasswordMgrWithDefaultRealm()
        server = parts._replace(netloc=netloc, path="").geturl()  # whatever page it leads us to
        logins.add_password(None, server, parse.unquote(parts.username), parse.unquote(parts.password or ""))
        handlers += [request.HTTPBasicAuthHandler(logins), Digest(logins)]
    opener = request.OpenerDirector()
    for handler in handlers:
        opener.add_handler(handler)
    return opener, address


def _server(url: str) -> tuple[str | None, int]:
    """Host and port, by which it is known who may see a login."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def _words(error: Exception, options: HttpOptions) -> str:
    import ssl
    from http.client import IncompleteRead, InvalidURL
    from urllib.error import HTTPError, URLError

    if isinstance(error, HTTPError):
        if error.code in (401, 403) and _server(error.geturl()) != _server(options.url):
            other = redacted(error.geturl())[:_LONGEST_ADDRESS]
            return f"leads to another address, to which no login is sent: {other}; write that one in `url`"
        known = {
            401: "refuses the user name or password",
            403: "refuses the user name or password",
            404: "has no such page; check the path in its URL",
        }
        if error.code // 100 != 3:
            return known.get(error.code, f"answers {error.code} {error.reason[:_LONGEST_WORDS]}")
    if isinstance(error, URLError) and isinstance(error.reason, str):
        return "leads on to what is no address over HTTP, or round in a circle; check its URL"
    cause = error.reason if isinstance(error, URLError) and isinstance(error.reason, Exception) else error
    if isinstance(cause, TimeoutError):
        return f"gives no picture within {options.timeout_s:g} s"
    if isinstance(cause, IncompleteRead):
        return "broke off in the middle of a picture"
    if isinstance(cause, ConnectionRefusedError):
        return "refuses the connection; check host and port"
    if isinstance(cause, socket.gaierror) and cause.errno != socket.EAI_SERVICE:
        return "has a host name that nobody knows; check the URL"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "has a certificate that nobody vouches for; `verify_tls: false` accepts it"
    # a port beyond all numbers is the one or the other, by Python's version; their own words may hold the address
    if isinstance(cause, ValueError | OverflowError | socket.gaierror | InvalidURL):
        return "has a URL that cannot be, or does not answer as HTTP wants it"
    return f"cannot be read: {getattr(cause, 'strerror', None) or type(cause).__name__}"
