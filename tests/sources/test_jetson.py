"""NVIDIA's jetson_utils, played by a module with the same names, signatures and bad manners."""

from __future__ import annotations

import itertools
import sys
import types
from typing import Any

import numpy as np
import pytest

from edgerun.errors import SourceError
from edgerun.sources.jetson import Jetson, JetsonOptions
from edgerun.stages import Feed
from edgerun.types import U8


class CudaImage:
    def __init__(self, pixels: U8) -> None:
        self.pixels = pixels
        self.height, self.width, self.channels = pixels.shape
        self.format = "rgb8"


class VideoSource:
    """As the bindings have it: ``script`` holds pictures, None for a timeout, and strings for what is raised."""

    script: list[U8 | str | None] = []  # noqa: RUF012 - set anew by each test
    made: list[VideoSource] = []  # noqa: RUF012 - as above

    def __init__(
        self,
        uri: str,
        argv: list[str] | None = None,
        positionArg: int = -1,  # noqa: N803 - NVIDIA's name
        options: dict[str, Any] | None = None,
    ) -> None:
        if uri == "csi://9":
            raise Exception("jetson.utils -- failed to create videoSource device")
        self.uri, self.options = uri, options or {}
        self.closed = False
        self.ring = np.zeros((4, 6, 8, 3), np.uint8)
        self.next = itertools.count()
        VideoSource.made.append(self)

    def Capture(self, format: str = "rgb8", timeout: int = 1000, stream: int = 0) -> CudaImage | None:  # noqa: N802
        assert format == "rgb8" and timeout > 0
        now = VideoSource.script.pop(0) if VideoSource.script else None
        if isinstance(now, str):
            raise Exception(now)
        if now is None:
            return None
        slot = self.ring[next(self.next) % 4]
        slot[...] = now
        return CudaImage(slot)

    def IsStreaming(self) -> bool:  # noqa: N802
        return not self.closed

    def Close(self) -> None:  # noqa: N802
        self.closed = True


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType("jetson_utils")
    synchronized: list[bool] = []

    def to_numpy(image: CudaImage) -> U8:
        assert synchronized, "the GPU may still be writing"
        synchronized.clear()
        return image.pixels

    module.videoSource = VideoSource  # type: ignore[attr-defined]  # a module made here
    module.cudaToNumpy = to_numpy  # type: ignore[attr-defined]  # as above
    module.cudaDeviceSynchronize = lambda: synchronized.append(True)  # type: ignore[attr-defined]  # as above
    module.HAS_JETSON_UTILS_EXT = True  # type: ignore[attr-defined]  # as above
    monkeypatch.setitem(sys.modules, "jetson_utils", module)
    VideoSource.script, VideoSource.made = [], []
    return module


def picture(value: int) -> U8:
    return np.full((6, 8, 3), value, np.uint8)


def jetson(**options: Any) -> Jetson:
    return Jetson(JetsonOptions(**options), Feed("dock", 0))


@pytest.mark.usefixtures("library")
def test_pictures_are_copied_out_of_the_ring() -> None:
    """The library reuses four buffers; frames kept longer must not change."""
    VideoSource.script = [None, *(picture(n) for n in range(8))]
    frames = list(itertools.islice(jetson().frames(), 8))
    assert [int(frame.planes[0][0, 0, 0]) for frame in frames] == list(range(8))
    assert {(f.pixel_format, f.stamp.width, f.stamp.height) for f in frames} == {("rgb24", 8, 6)}
    assert [frame.stamp.seq for frame in frames] == list(range(8))


@pytest.mark.usefixtures("library")
def test_what_the_camera_is_asked_for() -> None:
    VideoSource.script = [picture(0)]
    frames = jetson(uri="rtp://@:1234", width=1280, height=720, rate_fps=15.0, codec="h264").frames()
    next(frames)
    assert VideoSource.made[0].options == {
        "width": 1280,
        "height": 720,
        "framerate": 15.0,
        "codec": "h264",
        "flipMethod": "none",
        "latency": 200,
    }
    frames.close()  # type: ignore[attr-defined]  # a generator
    assert VideoSource.made[0].closed


@pytest.mark.usefixtures("library")
def test_its_bare_exceptions_become_words_without_passwords() -> None:
    VideoSource.script = [picture(0), "rtsp://cam:s3cret@host -- videoSource failed to capture image"]
    frames = jetson(uri="rtsp://cam:s3cret@host/x").frames()
    next(frames)
    with pytest.raises(SourceError, match=r"rtsp://cam:\*\*\*@host/x ended the stream or failed"):
        next(frames)
    with pytest.raises(SourceError, match="csi://9 cannot be opened"):
        next(jetson(uri="csi://9").frames())


@pytest.mark.usefixtures("library")
def test_a_silent_camera_is_given_up() -> None:
    with pytest.raises(SourceError, match=r"no answer within 0\.01 s"):
        next(jetson(open_timeout_s=0.01).frames())


@pytest.mark.usefixtures("library")
def test_closing_ends_it() -> None:
    source = jetson()
    VideoSource.script = [picture(n) for n in range(9)]
    frames = source.frames()
    next(frames)
    source.close()
    assert list(frames) == []


def test_the_namesake_from_the_package_index_is_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jetson_utils", types.ModuleType("jetson_utils"))
    with pytest.raises(SourceError, match="another package of that name is installed") as caught:
        next(jetson().frames())
    assert not caught.value.retriable


def test_without_it_the_error_says_where_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jetson_utils", None)
    with pytest.raises(SourceError, match="built by jetson-inference on the Jetson itself; it is not installed"):
        next(jetson().frames())


def test_a_missing_compiled_half_is_noticed(library: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "HAS_JETSON_UTILS_EXT", False)
    with pytest.raises(SourceError, match="NVIDIA's jetson_utils"):
        next(jetson().frames())
