"""GStreamer pipelines, through the system's PyGObject where this Python can load it."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgerun.errors import SourceError
from edgerun.sources.gstreamer import Gstreamer, GstreamerOptions
from edgerun.stages import Feed

_ROOT = Path(__file__).resolve().parents[2]
_ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{_ROOT}:/usr/lib/python3/dist-packages"}


@functools.cache
def has_bindings() -> bool:
    probe = "import gi; gi.require_version('GstVideo', '1.0'); from gi.repository import GstVideo"
    return (
        subprocess.run([sys.executable, "-c", probe], env=_ENVIRONMENT, capture_output=True, check=False).returncode
        == 0
    )


needs_bindings = pytest.mark.skipif(
    not has_bindings(), reason="no PyGObject with GStreamer for this Python (apt install python3-gi)"
)


def taken(pipeline: str, count: int = 3) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "tests.sources.gstreamer_child", pipeline, str(count)]
    done = subprocess.run(command, env=_ENVIRONMENT, cwd=_ROOT, capture_output=True, text=True, check=True, timeout=60)
    return [json.loads(line) for line in done.stdout.splitlines()]


@needs_bindings
@pytest.mark.parametrize(("width", "height"), [(320, 240), (322, 242), (321, 241)])
def test_a_pipeline_gives_its_pictures_in_planes(width: int, height: int) -> None:
    caps = f"video/x-raw,width={width},height={height},framerate=30/1"
    frames = taken(f"videotestsrc is-live=true pattern=white ! {caps}")
    half = [(height + 1) // 2, (width + 1) // 2]
    assert [frame["seq"] for frame in frames] == [0, 1, 2]
    for frame in frames:
        assert frame["size"] == [width, height] and frame["shapes"] == [[height, width], half, half]
        assert frame["means"] == [235, 128, 128]


@needs_bindings
def test_a_pipeline_that_ends_or_falls_silent_is_given_up() -> None:
    assert taken("videotestsrc num-buffers=1 is-live=true ! video/x-raw,width=64,height=48", 9)[-1] == {
        "error": "the GStreamer pipeline ended",
        "retriable": True,
    }
    silent = taken("appsrc ! video/x-raw,format=I420,width=64,height=48,framerate=5/1", 9)[-1]
    assert silent["error"] == "the GStreamer pipeline gave no picture for 3 s"


@needs_bindings
def test_a_pipeline_that_cannot_be_built_or_fails_is_told_in_words() -> None:
    assert taken("nosuchelement")[0]["error"] == 'the GStreamer pipeline cannot be built: no element "nosuchelement"'
    failed = taken("filesrc location=/nowhere/clip.mp4 ! decodebin")[0]["error"]
    assert failed.startswith("the GStreamer pipeline failed: Resource not found")


@pytest.mark.skipif("gi" in sys.modules, reason="PyGObject is there")
def test_without_the_bindings_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gi", None)
    with pytest.raises(SourceError, match="install python3-gi") as caught:
        next(Gstreamer(GstreamerOptions(pipeline="videotestsrc"), Feed("csi", 0)).frames())
    assert not caught.value.retriable
