"""Real servers to test against, each with a start, a stop and an address."""

from __future__ import annotations

import functools
import signal
import subprocess
from pathlib import Path
from types import TracebackType

import pytest

_SYSTEM_PYTHON = "/usr/bin/python3"
_PROBE = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst, GstRtspServer"


@functools.cache
def has_rtsp_server() -> bool:
    """Whether the system's Python can run GStreamer's RTSP server."""
    if not Path(_SYSTEM_PYTHON).exists():
        return False
    return subprocess.run([_SYSTEM_PYTHON, "-c", _PROBE], capture_output=True, check=False).returncode == 0


needs_rtsp_server = pytest.mark.skipif(
    "not __import__('tests.servers').servers.has_rtsp_server()",
    reason="GStreamer's RTSP server is not there (apt install python3-gi gir1.2-gst-rtsp-server-1.0)",
)


class RtspServer:
    """GStreamer's RTSP server on loopback, in a process of its own; use it as a context manager.

    ``clip``: an H.264 mp4 to loop; without one a ball moves over a picture of ``size`` at ``rate`` fps.
    ``start`` after ``stop`` keeps the port, so that a camera can go away and come back.
    """

    def __init__(
        self,
        clip: Path | None = None,
        *,
        size: tuple[int, int] = (320, 240),
        rate: int = 15,
        login: tuple[str, str] | None = None,
    ) -> None:
        self._arguments = ["--size", f"{size[0]}x{size[1]}", "--rate", str(rate)]
        if clip:
            self._arguments += ["--clip", str(clip)]
        if login:
            self._arguments += ["--user", login[0], "--password", login[1]]
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Without credentials."""
        return f"rtsp://127.0.0.1:{self.port}/stream"

    def start(self) -> None:
        """Returns once it listens."""
        script = Path(__file__).with_name("rtsp_server.py")
        self._process = subprocess.Popen(
            [_SYSTEM_PYTHON, str(script), "--port", str(self.port), *self._arguments],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        word, _, port = self._process.stdout.readline().partition(" ")
        assert word == "port", "the RTSP server did not start"
        self.port = int(port)

    def stop(self) -> None:
        """As when a camera loses power: nothing is said to the clients."""
        if self._process:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def freeze(self) -> None:
        """The connection stays open and nothing more comes."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> RtspServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
