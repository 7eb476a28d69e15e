"""Clips: the right pictures at the right times, again and again."""

from __future__ import annotations

import itertools
import struct
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from edgerun.errors import SourceError
from edgerun.sources._av import Opening, VideoInput
from edgerun.sources._pace import Limiter
from edgerun.sources.file import File, FileOptions
from edgerun.stages import Feed
from edgerun.types import Frame
from tests.shared_media import SHARED, needs_shared
from tests.sources import level, levels, near, write_clip


def unpaced(path: Path, fps: float = 0.0, *, loop: bool = False, recorded_at_s: float = 0.0) -> File:
    options = FileOptions(path=str(path), pace=False, loop=loop, recorded_at_s=recorded_at_s)
    return File(options, Feed("porch", fps))


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", {"bf": "3"}),
        ("a.mkv", "libx265", {"x265-params": "log-level=none"}),
        ("a.avi", "mpeg4", {}),
        ("a.avi", "mjpeg", {}),
    ],
)
def test_every_picture_comes_once_in_order_with_the_clips_times(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    kind = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    clip = write_clip(tmp_path / name, codec, count=30, rate=10, options=options, pixel_format=kind)
    frames = list(unpaced(clip, recorded_at_s=1000.0).frames())
    assert [frame.stamp.seq for frame in frames] == list(range(30))
    assert [frame.stamp.captured for frame in frames] == pytest.approx([n / 10 for n in range(30)], abs=1e-3)
    assert [frame.stamp.wall for frame in frames] == pytest.approx([1000 + n / 10 for n in range(30)], abs=1e-3)
    assert {(f.stamp.camera, f.stamp.width, f.stamp.height, f.pixel_format) for f in frames} == {
        ("porch", 96, 64, "i420")
    }
    if codec != "mjpeg":  # whose planes are full range, so that levels differ
        assert near(levels(frames), list(range(30)))


def test_two_runs_are_the_same(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", count=40, rate=25)
    first, second = ([(f.stamp, f.planes[0].tobytes()) for f in unpaced(clip, 7).frames()] for _ in range(2))
    assert first == second


def test_fewer_frames_keep_their_numbers_and_times(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", count=30, rate=10, options={"bf": "3"})
    frames = list(unpaced(clip, 2).frames())
    assert [frame.stamp.seq for frame in frames] == [0, 5, 10, 15, 20, 25]
    assert near(levels(frames), [0, 5, 10, 15, 20, 25])


def test_a_loop_goes_on_in_time_and_number(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", count=10, rate=10)
    frames = list(itertools.islice(unpaced(clip, loop=True).frames(), 25))
    assert [frame.stamp.seq for frame in frames] == list(range(25))
    assert [frame.stamp.captured for frame in frames] == pytest.approx([n / 10 for n in range(25)], abs=1e-3)


def test_a_loop_of_one_picture_goes_on_at_the_rate_asked_for(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", count=1, rate=10)
    frames = list(itertools.islice(unpaced(clip, 5, loop=True).frames(), 5))
    assert [frame.stamp.seq for frame in frames] == [0, 2, 4, 6, 8]
    assert [frame.stamp.captured for frame in frames] == pytest.approx([n / 5 for n in range(5)], abs=1e-3)


def test_paced_frames_come_at_the_clips_pace_and_are_stamped_now(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", count=6, rate=20)
    before, wall_before = time.monotonic(), time.time()
    frames = list(File(FileOptions(path=str(clip)), Feed("porch", 0)).frames())
    assert before <= frames[0].stamp.captured and wall_before <= frames[0].stamp.wall
    assert frames[-1].stamp.captured - frames[0].stamp.captured >= 0.249


@pytest.mark.parametrize("reordered", ["0", "2"])
def test_a_picture_is_decoded_half_way_to_its_time(tmp_path: Path, reordered: str) -> None:
    """At once, that would be while the engine looks at the one before. But never after it."""
    clip = write_clip(tmp_path / "a.mp4", count=20, rate=10, options={"bf": reordered, "b_strategy": "0"})
    waited = [-0.05]
    with VideoInput(Opening(url=str(clip), name="clip"), wait_for=waited.append) as video:
        for picture in video.pictures(Limiter(0), threading.Event()):
            assert picture.time_s - 0.35 < waited[-1] < picture.time_s - 0.049
    assert waited == sorted(waited) and len(waited) > 15


def test_closing_from_another_thread_ends_a_paced_clip(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", count=10, rate=1)
    source = File(FileOptions(path=str(clip), loop=True), Feed("porch", 0))
    frames = source.frames()
    next(frames)
    threading.Timer(0.1, source.close).start()
    assert list(frames) == []
    source.close()


@pytest.mark.parametrize("codec", ["libx264", "mjpeg"])
def test_a_picture_size_that_changes_is_followed(tmp_path: Path, codec: str) -> None:
    """Elementary streams one after the other: what a camera does whose resolution is changed."""
    suffix = {"libx264": "h264", "mjpeg": "mjpeg"}[codec]
    kind = {"libx264": "yuv420p", "mjpeg": "yuvj420p"}[codec]
    parts = [
        write_clip(tmp_path / f"{n}.{suffix}", codec, count=5, size=size, pixel_format=kind)
        for n, size in enumerate([(96, 64), (160, 120)])
    ]
    both = tmp_path / f"both.{suffix}"
    both.write_bytes(b"".join(part.read_bytes() for part in parts))
    sizes = [(f.stamp.width, f.stamp.height, f.planes[1].shape) for f in unpaced(both).frames()]
    assert sizes == [(96, 64, (32, 48))] * 5 + [(160, 120, (60, 80))] * 5


def test_kept_frames_are_not_overwritten(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", count=60, rate=10)
    assert near(levels(list(unpaced(clip).frames())), list(range(60)))


def damaged(tmp_path: Path) -> Path:
    clip = write_clip(tmp_path / "a.h264", count=60, options={"g": "10"}, size=(320, 240))
    content = bytearray(clip.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200] = np.random.default_rng(0).bytes(200)
    clip.write_bytes(bytes(content))
    return clip


def test_a_damaged_stretch_does_not_end_the_clip(tmp_path: Path) -> None:
    frames = list(unpaced(damaged(tmp_path)).frames())
    assert 40 <= len(frames) <= 60
    assert abs(levels(frames)[-1] - level(59)) <= 2


@pytest.mark.parametrize(("codec", "kind"), [("mpeg4", "yuv420p"), ("mjpeg", "yuvj420p")])
def test_a_picture_that_was_left_out_does_not_end_the_clip(tmp_path: Path, codec: str, kind: str) -> None:
    """An empty one stands for it, as a USB camera's driver gives where the bus lost data."""
    clip = write_clip(tmp_path / "a.mp4", codec, count=30, rate=10, pixel_format=kind)
    content = bytearray(clip.read_bytes())
    ninth = content.index(b"stsz") + 16 + 4 * 9  # of the table of all sizes (ISO/IEC 14496-12, 8.7.3)
    size, following = struct.unpack_from(">II", content, ninth)
    struct.pack_into(">II", content, ninth, size + following, 0)
    clip.write_bytes(content)
    for fps in (0, 5):
        assert list(unpaced(clip, fps).frames())[-1].stamp.captured == pytest.approx(2.9, abs=0.11)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "clip.mp4 does not exist"),
        (b"", "clip.mp4 does not give a video that can be decoded"),
        (b"this is no video" * 100, "clip.mp4 does not give a video that can be decoded"),
    ],
)
def test_a_clip_that_cannot_be_read_is_told_in_words(tmp_path: Path, content: bytes | None, said: str) -> None:
    clip = tmp_path / "clip.mp4"
    if content is not None:
        clip.write_bytes(content)
    with pytest.raises(SourceError, match=said) as caught:
        next(unpaced(clip).frames())
    assert not caught.value.retriable


def test_a_title_in_another_encoding_is_no_hindrance(tmp_path: Path) -> None:
    clip = tmp_path / "a.avi"
    with av.open(str(clip), "w") as container:
        container.metadata["title"] = "K_che"
        stream = container.add_stream("mjpeg", rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        container.mux(stream.encode(av.VideoFrame(64, 48, "yuvj420p")))
    clip.write_bytes(clip.read_bytes().replace(b"K_che", "Küche".encode("latin-1")))
    assert len(list(unpaced(clip).frames())) == 1


def test_a_clip_whose_pictures_would_take_all_memory_is_refused(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", "mjpeg", count=1, size=(9008, 9008), pixel_format="yuvj420p")
    with pytest.raises(SourceError, match=r"sends pictures that .* have more than 50 megapixels"):
        next(unpaced(clip).frames())


def test_pictures_that_cannot_be_converted_are_told_in_words(tmp_path: Path) -> None:
    clip = tmp_path / "a.nut"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("rawvideo", rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb4"
        container.mux(stream.encode(av.VideoFrame(64, 48, "rgb4")))
    with pytest.raises(SourceError, match="sends pictures of the format rgb4, which cannot be read here"):
        next(unpaced(clip).frames())


def test_sound_alone_is_no_camera(tmp_path: Path) -> None:
    clip = tmp_path / "a.wav"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(SourceError, match="holds no video") as caught:
        next(unpaced(clip).frames())
    assert not caught.value.retriable


def test_video_in_a_format_that_is_not_known_is_told_in_words(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", "mpeg4")
    clip.write_bytes(clip.read_bytes().replace(b"mp4v", b"zzzz").replace(b"esds", b"zzzz"))
    with pytest.raises(SourceError, match="holds video that nothing here can decode"):
        next(unpaced(clip).frames())


def test_a_live_stream_whose_clock_hardly_goes_is_taken_as_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pictures come a second apart at the least, and are to be a tenth of that: of two a second each is due."""
    clip = write_clip(tmp_path / "a.mp4", count=60, rate=10)
    seconds = itertools.count()
    monkeypatch.setattr("edgerun.sources._av.time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
    with VideoInput(Opening(url=str(clip), name="camera", read_timeout_s=5.0)) as video:
        assert len(list(video.pictures(Limiter(2), threading.Event()))) > 50


def test_a_clip_may_give_no_picture_for_as_long_as_it_likes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unlike a live stream, which is given up then: a clip's reader may have been busy with the last one."""
    clip = write_clip(tmp_path / "a.mp4")
    monkeypatch.setattr("edgerun.sources._av._NO_PICTURE_S", -1.0)
    assert len(list(unpaced(clip).frames())) == 30


def skipping(clip: Path, fps: float) -> tuple[list[float], int]:
    """Times of what is taken, and how many pictures the decoder gave or was spared packet by packet."""
    with VideoInput(Opening(url=str(clip), name="clip")) as video:
        times = [picture.time_s for picture in video.pictures(Limiter(fps), threading.Event())]
        return times, video.count


def test_pictures_nobody_refers_to_are_not_decoded_where_the_beat_allows(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", count=120, rate=30, options={"bf": "1", "b_strategy": "0", "refs": "1"})
    times, decoded = skipping(clip, 3)
    assert decoded < 90
    assert np.diff(times) == pytest.approx(1 / 3, abs=0.05)


def test_every_picture_is_decoded_where_skipping_would_break_the_beat(tmp_path: Path) -> None:
    """Long runs of pictures that nobody refers to: leaving them out would leave holes."""
    options = {"bf": "8", "b_strategy": "0", "b_pyramid": "none", "x264-params": "b-adapt=0"}
    clip = write_clip(tmp_path / "a.mp4", count=120, rate=30, options=options)
    times, decoded = skipping(clip, 7)
    assert decoded > 80
    assert max(np.diff(times)) < 0.35 and np.median(np.diff(times)) == pytest.approx(1 / 7, abs=0.03)


@pytest.mark.parametrize(("codec", "kind"), [("mjpeg", "yuvj420p"), ("rawvideo", "yuyv422")])
def test_pictures_that_stand_for_themselves_are_dropped_undecoded(tmp_path: Path, codec: str, kind: str) -> None:
    clip = write_clip(tmp_path / "a.avi", codec, count=30, rate=10, pixel_format=kind)
    times, seen = skipping(clip, 2)
    assert times == pytest.approx([n / 2 for n in range(6)], abs=1e-3)
    assert seen == 30


@needs_shared
def test_the_shared_clips_are_read_whole() -> None:
    def count(name: str) -> tuple[int, Frame]:
        *_, last = frames = list(unpaced(SHARED / "media" / name).frames())
        return len(frames), last

    n, last = count("vtest.avi")
    assert (n, last.stamp.seq, last.stamp.captured) == (795, 794, 79.4)
    assert count("car-detection.mp4")[0] == 377
