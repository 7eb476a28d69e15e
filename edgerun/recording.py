"""Pictures to files that a person opens: an MP4, a contact sheet, or one picture for each moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from edgerun.drawing import contact_sheet
from edgerun.errors import SinkError
from edgerun.images import jpeg, png
from edgerun.types import U8

if TYPE_CHECKING:
    from av.video.stream import VideoStream

_CLOCK_HZ = 10_000
"""MP4 counts the ticks from one picture to the next with 31 bits: at 90 kHz, those are seven hours, and recordings put
together in an MPEG stream may be 26 apart."""
_ENCODERS = ({"name": "libx264", "crf": "23", "preset": "veryfast"}, {"name": "mpeg4", "qscale": "4"})
_MOST_ON_A_SHEET = 60
_QUALITY = 90


class Recording(Protocol):
    """Takes a replay's pictures (H,W,3) in BGR, one after the other, all of one size."""

    def add(self, picture: U8, time_s: float, eventful: bool) -> None:
        """``time_s`` on the clip's clock; ``eventful`` where something was alerted. Raises SinkError."""
        ...

    def close(self) -> None:
        """Finish the file. Raises SinkError."""
        ...


@contextmanager
def recording(path: Path) -> Iterator[Recording]:
    """What the path asks for: ``.mp4`` a clip, ``.jpg`` or ``.png`` a contact sheet of the moments with events, a
    folder one picture for each of them. What came until an error is kept. Raises SinkError where it cannot be written.
    """
    kind = _KINDS.get(path.suffix.lower(), Folder)
    if kind is Folder and _is_of_a_file(path.suffix) and not path.is_dir():
        known = ", ".join(_KINDS)
        raise SinkError(f"{path}: pictures are saved as {known}, or one by one in a folder", retriable=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(kind(path)) as made:
            yield made
    except BrokenPipeError:  # not of this file, but of whoever reads what is printed meanwhile
        raise
    except OSError as error:
        raise SinkError(f"{path} cannot be written: {error.strerror or error}", retriable=False) from error


def _is_of_a_file(suffix: str) -> bool:
    """Whether it names a kind of file, such as ``.m4v``; a number is rather a part of a folder's name."""
    return suffix[1:].isalnum() and not suffix[1:].isdecimal()


class Clip:
    """An MP4 with every picture at its own time."""

    def __init__(self, path: Path) -> None:
        import av

        whole = str(path.absolute())  # what stands before a colon would be a protocol
        self._file = av.open(whole, "w", format="mp4", options={"movflags": "+faststart"})
        self._stream: VideoStream | None = None
        self._pts = -1

    def add(self, picture: U8, time_s: float, eventful: bool) -> None:
        import av

        height, width = (side - side % 2 for side in picture.shape[:2])  # chroma comes in pairs of pixels
        if self._stream is None:
            self._stream = self._open(width, height)
        frame = av.VideoFrame.from_ndarray(picture[:height, :width], "bgr24")
        self._pts = max(round(time_s * _CLOCK_HZ), self._pts + 1)  # of two of one time a player could show one alone
        frame.pts, frame.time_base = self._pts, Fraction(1, _CLOCK_HZ)
        self._file.mux(self._stream.encode(frame))

    def _open(self, width: int, height: int) -> VideoStream:
        """A stream of the best encoder that this build of FFmpeg has."""
        import av
        from av.video.stream import VideoStream

        for encoder in _ENCODERS:
            options = dict(encoder)
            try:
                stream = self._file.add_stream(options.pop("name"), options=options)
            except (av.FFmpegError, ValueError):
                continue
            assert isinstance(stream, VideoStream)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.time_base = stream.codec_context.time_base = Fraction(1, _CLOCK_HZ)
            return stream
        raise SinkError("PyAV has neither libx264 nor mpeg4; pip install av brings both", retriable=False)

    def close(self) -> None:
        if self._stream is not None:
            self._file.mux(self._stream.encode(None))
        self._file.close()


class Sheet:
    """One picture with the first moments that have events."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pictures: list[U8] = []
        self._last: U8 | None = None

    def add(self, picture: U8, time_s: float, eventful: bool) -> None:
        self._last = picture
        if eventful and len(self._pictures) < _MOST_ON_A_SHEET:
            self._pictures.append(picture)

    def close(self) -> None:
        """Without any event the last picture shows at least the zones."""
        shown = self._pictures or ([self._last] if self._last is not None else [])
        if shown:
            save(self._path, contact_sheet(shown))


class Folder:
    """A JPEG for each moment with events, named by its time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.mkdir(parents=True, exist_ok=True)

    def add(self, picture: U8, time_s: float, eventful: bool) -> None:
        if eventful:
            save(self._path / f"{time_s:09.2f}s.jpg", picture)

    def close(self) -> None:
        """Nothing is left to do."""


_KINDS: dict[str, Callable[[Path], Recording]] = {".mp4": Clip, ".jpg": Sheet, ".jpeg": Sheet, ".png": Sheet}


def save(path: Path, picture: U8) -> None:
    """A picture (H,W,3) in BGR as PNG or JPEG, by the path's ending. Raises OSError."""
    path.write_bytes(png(picture) if path.suffix.lower() == ".png" else jpeg(picture, _QUALITY))
