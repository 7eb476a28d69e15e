"""What a person sees of a replay: zones, ids, alerts, in a clip or on a sheet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgerun.drawing import Painter, contact_sheet, in_words
from edgerun.errors import SinkError
from edgerun.recording import recording
from edgerun.types import U8, Detections, Event, Frame, TrackedObject, Tracks
from edgerun.zones import LineOptions, ZoneOptions

ZONE = ZoneOptions(polygon=((0.5, 0.5), (1.0, 0.5), (1.0, 1.0), (0.5, 1.0)))
LINE = LineOptions(from_=(0.1, 0.9), to=(0.4, 0.9))


def grey(captured: float) -> Frame:
    return Frame.of_bgr(np.full((240, 320, 3), 90, np.uint8), "c", 0, captured, captured)


def one_track(seen: bool = True) -> Tracks:
    ids, box = np.array([7], np.int64), np.array([[40, 60, 80, 140]], np.float32)
    return Tracks(box, np.array([0.8], np.float32), np.array([0], np.int32), ids, np.array([seen]))


def entered(captured: float) -> Event:
    who = TrackedObject(7, "person", 0.8, (40, 60, 80, 140))
    return Event("enter", "visitor", "start", 1, grey(captured).stamp, zone="yard", objects=(who,))


def changed(before: U8, after: U8) -> set[tuple[int, int]]:
    """Which tenths of the picture differ, as (row, column)."""
    rows, columns = np.nonzero((before != after).any(axis=2))
    return set(zip((rows * 10 // 240).tolist(), (columns * 10 // 320).tolist(), strict=True))


def test_everything_is_drawn_where_it_is() -> None:
    bare = Painter({}, {}, ("person",)).paint(grey(0), Tracks.empty(), [], Detections.empty(), [])
    painter = Painter({"yard": ZONE}, {"gate": LINE}, ("person",))
    scenery = painter.paint(grey(0), Tracks.empty(), [], Detections.empty(), [])
    assert {(7, 7), (9, 2)} <= changed(bare, scenery)
    tracked = painter.paint(grey(0.1), one_track(), [()], Detections.empty(), [])
    assert {(3, 1), (5, 2)} <= changed(scenery, tracked)
    occupied = painter.paint(grey(0.1), one_track(), [("yard",)], Detections.empty(), [])
    assert (7, 7) in changed(tracked, occupied)
    coasting = painter.paint(grey(0.1), one_track(seen=False), [()], Detections.empty(), [])
    assert (5, 2) in changed(tracked, coasting)


def test_an_alert_stays_in_the_picture_for_a_while() -> None:
    painter = Painter({}, {}, ("person",))
    painter.paint(grey(5.0), one_track(), [()], Detections.empty(), [entered(5.0)])
    nothing = Painter({}, {}, ("person",)).paint(grey(6.0), Tracks.empty(), [], Detections.empty(), [])
    assert (0, 3) in changed(nothing, painter.paint(grey(6.0), Tracks.empty(), [], Detections.empty(), []))
    nothing = Painter({}, {}, ("person",)).paint(grey(8.0), Tracks.empty(), [], Detections.empty(), [])
    assert not changed(nothing, painter.paint(grey(8.0), Tracks.empty(), [], Detections.empty(), []))


def test_events_read_as_sentences() -> None:
    assert in_words(entered(0)) == "visitor start: enter yard, person #7"
    crossing = Event("cross", "gate-rule", "instant", 1, grey(0).stamp, line="gate", direction="left_to_right")
    assert in_words(crossing) == "gate-rule instant: cross gate left_to_right"


def test_a_clip_holds_every_picture_at_its_time(tmp_path: Path) -> None:
    import av

    path = tmp_path / "new folder" / "clip.mp4"
    times = [0.0, 0.1, 0.1, 0.1, 0.1, 0.25, 1e5]
    with recording(path) as kept:
        for number, at in enumerate(times):
            kept.add(np.full((121, 161, 3), 30 * number, np.uint8), at, eventful=False)
    with av.open(str(path)) as clip:
        pictures = list(clip.decode(video=0))
    assert [picture.time for picture in pictures] == pytest.approx(times, abs=1e-3)
    brightness = [picture.to_ndarray(format="gray").mean() for picture in pictures]
    assert brightness == pytest.approx([30 * number for number in range(7)], abs=6)
    assert (pictures[0].width, pictures[0].height) == (160, 120)


def test_a_clip_may_be_named_by_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with recording(Path("10:00:00.mp4")) as kept:
        kept.add(np.zeros((60, 80, 3), np.uint8), 0.0, eventful=False)
    assert (tmp_path / "10:00:00.mp4").stat().st_size > 0


def test_a_sheet_and_a_folder_hold_the_moments_with_events(tmp_path: Path) -> None:
    import cv2

    for name in ("sheet.png", "sheet.jpg", "folder"):
        with recording(tmp_path / name) as kept:
            for number in range(12):
                kept.add(np.full((60, 80, 3), 10 * number, np.uint8), number / 2, eventful=number % 2 == 0)
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None
    assert sheet.shape == (120, 320, 3)
    assert sheet[0, ::80, 0].tolist() == [0, 20, 40, 60]
    assert (tmp_path / "sheet.jpg").stat().st_size > 0
    names = sorted(path.name for path in (tmp_path / "folder").iterdir())
    assert len(names) == 6
    assert names[1] == "000001.00s.jpg"


def test_a_sheet_without_events_shows_the_last_picture(tmp_path: Path) -> None:
    with recording(tmp_path / "sheet.png") as kept:
        kept.add(np.zeros((60, 80, 3), np.uint8), 0.0, eventful=False)
    assert (tmp_path / "sheet.png").exists()
    with pytest.raises(ValueError, match="no picture"):
        contact_sheet([])


@pytest.mark.parametrize("name", ["clip.mp4", "folder", "sheet.jpg"])
def test_where_nothing_can_be_written_it_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match="cannot be written"), recording(tmp_path / "file" / name) as kept:
        kept.add(np.zeros((60, 80, 3), np.uint8), 0.0, eventful=True)


@pytest.mark.parametrize("name", ["clip.gif", "clip.m4v", "clip.3gp"])
def test_another_kind_of_file_is_no_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(SinkError, match=r"saved as \.mp4, \.jpg"), recording(tmp_path / name):
        pass
    assert not (tmp_path / name).exists()


def test_a_date_in_a_name_makes_no_file_of_a_folder(tmp_path: Path) -> None:
    with recording(tmp_path / "moments.2026.11.23"):
        pass
    assert (tmp_path / "moments.2026.11.23").is_dir()


def test_what_came_until_an_error_is_kept(tmp_path: Path) -> None:
    """And a reader of the events who has seen enough, as ``head`` has, is no trouble with this file."""
    with pytest.raises(BrokenPipeError), recording(tmp_path / "clip.mp4") as kept:
        kept.add(np.zeros((60, 80, 3), np.uint8), 0.0, eventful=False)
        raise BrokenPipeError
    assert (tmp_path / "clip.mp4").stat().st_size > 500
