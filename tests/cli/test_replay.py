"""``edgerun replay`` and ``detect`` on the bundled clip and model: what is printed, and what is drawn."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerun.cli import main
from edgerun.cli.detect import parts_of
from edgerun.images import to_bgr
from edgerun.sources.file import File, FileOptions
from edgerun.stages import Feed
from tests.daemon_process import CLIP


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "edgerun.yaml"
    zone = {"path": {"polygon": [[0, 0.3], [1, 0.3], [1, 1], [0, 1]]}}
    rule = {"name": "visitor", "when": "enter", "zone": "path", "labels": ["person"]}
    camera = {"source": {"type": "file", "path": str(CLIP)}, "fps": 2, "zones": zone, "rules": [rule]}
    path.write_text(json.dumps({"cameras": {"door": camera}}))
    return path


def test_a_replay_is_printed_compared_and_drawn(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["replay", "-c", str(config), "--camera", "door", "--video", str(CLIP)]
    assert main([*words, "--detections", "--save", str(tmp_path / "clip.mp4")]) == 0
    lines = capsys.readouterr().out.splitlines()
    records = [json.loads(line) for line in lines]
    events = [record for record in records if record["type"] == "event"]
    frames = [record for record in records if record["type"] == "frame"]
    assert events
    assert [record["frame"] for record in frames] == sorted({record["frame"] for record in frames})
    assert frames[0]["frame"] == 1
    times = {record["frame"]: record["t"] for record in frames}
    assert [record["t"] for record in events] == [times[record["frame"]] for record in events]
    assert any(thing["track_id"] for record in frames for thing in record["objects"])
    clip = cv2.VideoCapture(str(tmp_path / "clip.mp4"))
    assert clip.get(cv2.CAP_PROP_FRAME_COUNT) == len(frames)

    expected = tmp_path / "expected.jsonl"
    expected.write_text("\n".join(line for line in lines if '"event"' in line))
    assert main([*words, "--expect", str(expected), "--save", str(tmp_path / "sheet.jpg")]) == 0
    assert cv2.imread(str(tmp_path / "sheet.jpg")) is not None


def test_what_is_drawn_is_what_would_be_published(config: Path, tmp_path: Path) -> None:
    """A ``start_score`` counts in place of the model's score for what no track has, in a picture, too."""
    text, pictures = json.loads(config.read_text()), []
    for score, tracker in ((0.3, {"start_score": 1}), (1, {})):
        text["model"], text["cameras"]["door"]["tracker"] = {"score": score}, tracker
        config.write_text(json.dumps(text))
        words = ["replay", "-c", str(config), "--camera", "door", "--video", str(CLIP), "--fps", "1"]
        assert main([*words, "--save", str(tmp_path / "clip.mp4")]) == 0
        clip = cv2.VideoCapture(str(tmp_path / "clip.mp4"))
        pictures.append([clip.read()[1] for _ in range(10)])
    assert all(picture is not None for picture in pictures[1])
    assert all((one == other).all() for one, other in zip(*pictures, strict=True))


def test_events_are_compared_by_what_they_say(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A tool that took some of them out may have written keys in another order, and 1.0 as 1."""
    words = ["replay", "-c", str(config), "--camera", "door", "--video", str(CLIP)]
    assert main(words) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for event in events:
        event["t"] = int(event["t"]) if event["t"].is_integer() else event["t"]
    lines = [json.dumps(event, sort_keys=True, separators=(",", ":")) for event in events]
    (expected := tmp_path / "expected.jsonl").write_text("\r\n".join(lines), encoding="utf-8-sig")
    assert main([*words, "--expect", str(expected)]) == 0
    capsys.readouterr()
    expected.write_text("\n".join(lines[1:]))
    assert main([*words, "--expect", str(expected)]) == 1
    told = capsys.readouterr()
    different = [line for line in told.err.splitlines()[2:] if line.startswith(("-", "+"))]
    assert different == ["+" + told.out.splitlines()[0]]


def test_schedules_go_by_the_time_of_the_recording(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = json.loads(config.read_text())
    text["cameras"]["door"]["rules"][0]["schedule"] = "22:00-06:00"
    config.write_text(json.dumps(text | {"place": {"timezone": "Europe/Vienna"}}))
    words = ["replay", "-c", str(config), "--camera", "door", "--video", str(CLIP), "--recorded-at"]
    found = []
    for time in ("2026-11-22T12:00+01:00", "2026-11-22T23:00+01:00"):
        assert main([*words, time]) == 0
        found.append(len(capsys.readouterr().out.splitlines()))
    assert found[0] == 0 < found[1]
    for time in ("tonight", "0001-01-01"):
        with pytest.raises(SystemExit):
            main([*words, time])
        assert f"--recorded-at: must be a time such as 2026-11-22T18:30, not '{time}'" in capsys.readouterr().err


def test_detect_finds_no_less_in_parts_than_in_the_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, frame in enumerate(File(FileOptions(path=str(CLIP), loop=False, pace=False), Feed("c", 1)).frames()):
        if number == 4:
            cv2.imwrite(str(tmp_path / "image.png"), to_bgr(frame))
    found = []
    for more in ([], ["--regions"]):
        assert main(["detect", str(tmp_path / "image.png"), "--json", *more]) == 0
        found.append(len(json.loads(capsys.readouterr().out)[0]["objects"]))
    assert found[0] > 0
    assert found[1] >= found[0]


@given(st.tuples(st.integers(8, 5000), st.integers(8, 5000)), st.tuples(st.integers(32, 640), st.integers(32, 640)))
def test_parts_cover_the_image_within_bounds(size: tuple[int, int], model: tuple[int, int]) -> None:
    whole, *crops = (region.xyxy for region in parts_of(size, model))
    assert whole == (0, 0, *size)
    assert len(crops) <= 100
    for x1, y1, x2, y2 in crops:
        assert 0 <= x1 < x2 <= size[0]
        assert 0 <= y1 < y2 <= size[1]
    if crops:
        corners = {(x, y) for x in (0, size[0]) for y in (0, size[1])}
        assert corners <= {(x, y) for x1, y1, x2, y2 in crops for x in (x1, x2) for y in (y1, y2)}


def test_what_is_read_is_never_written_over(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The clip itself, also through a link, and the configuration."""
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(CLIP.read_bytes())
    (tmp_path / "again.mp4").symlink_to(clip)
    for name in ("clip.mp4", "again.mp4", config.name):
        words = ["replay", "-c", str(config), "--camera", "door", "--video", str(clip)]
        assert main([*words, "--save", str(tmp_path / name)]) == 78
        assert "would write over" in capsys.readouterr().err
    assert clip.read_bytes() == CLIP.read_bytes()


def test_a_replay_needs_no_secrets(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither of the camera nor of the broker: it takes place on a laptop."""
    words = ["replay", "-c", str(config), "--camera", "door", "--video", str(CLIP)]
    assert main(words) == 0
    events = capsys.readouterr().out
    text = json.loads(config.read_text())
    text["cameras"]["door"]["source"] = {"type": "rtsp", "url": "rtsp://me:${NOT_HERE}@10.0.0.5/stream2"}
    secret = {"mqtt": {"username": "me", "password": {"file": "not_here"}}}
    config.write_text(json.dumps(text | secret))
    assert main(words) == 0
    assert capsys.readouterr().out == events
    config.write_text(json.dumps(text | secret | {"nonsense": 1}))
    assert main(words) == 78
    assert capsys.readouterr().err.splitlines()[0].startswith(f"edgerun: {config}:1: nonsense: unknown key")


@pytest.mark.parametrize("fps", ["0", "-1", "inf", "five"])
def test_no_frames_per_second(fps: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Are not taken for the camera's own."""
    with pytest.raises(SystemExit):
        main(["replay", "--camera", "door", "--video", "a.mp4", f"--fps={fps}"])
    assert f"--fps: must be a number above 0, not '{fps}'" in capsys.readouterr().err


@pytest.mark.parametrize("text", [None, "hello", "[" * 100_000, "\xff"])
def test_events_that_cannot_be_compared_with_are_told_before_the_clip_is_played(
    text: str | None, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = tmp_path / "expected.jsonl"
    if text is not None:
        expected.write_text(text, encoding="latin-1")
    words = ["replay", "-c", str(config), "--camera", "door", "--video", str(CLIP), "--expect", str(expected)]
    assert main(words) == 78
    told = capsys.readouterr()
    assert f"{expected} cannot be read as JSON lines" in told.err
    assert not told.out
