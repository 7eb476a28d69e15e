"""The motion gate sees what moves, and takes neither light, noise nor leaves for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerun.motion import Motion, MotionGate, MotionOptions
from edgerun.types import F32, U8, Array, Stamp
from tests.shared_media import SHARED, needs_shared

WIDTH, HEIGHT = 640, 480
FPS = 10.0
GRAIN = np.random.default_rng(0).normal(0, 1, (820, 1380)).astype(np.float32)


def stamp(at: float, width: int = WIDTH, height: int = HEIGHT) -> Stamp:
    return Stamp("yard", round(at * 1000), at, 1.7e9 + at, width, height)


def scenery(width: int = WIDTH, height: int = HEIGHT, seed: int = 1) -> Array:
    """A picture with soft structure between 40 and 200 grey levels, f32 (H,W)."""
    coarse = np.random.default_rng(seed).uniform(40, 200, (max(height // 40, 2), max(width // 40, 2)))
    picture: F32 = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    return picture


def taken(picture: Array, noise: float = 1.0, seed: int = 0) -> U8:
    """The picture as a camera with some noise takes it."""
    height, width = picture.shape
    down, right = np.random.default_rng(seed).integers(0, 97, 2)
    pixels: U8 = np.clip(picture + noise * GRAIN[down : down + height, right : right + width], 0, 255).astype(np.uint8)
    return pixels


def put(picture: Array, x: float, y: float, width: int = 40, height: int = 90, level: float = 20) -> Array:
    """The picture with a dark object whose upper left corner is at x, y."""
    drawn: Array = picture.copy()
    drawn[int(y) : int(y) + height, max(int(x), 0) : max(int(x) + width, 0)] = level
    return drawn


def watch(
    picture_at: Callable[[float], Array],
    seconds: float,
    gate: MotionGate | None = None,
    fps: float = FPS,
    noise: float = 1.0,
    start: float = 0.0,
) -> Iterator[tuple[float, Motion]]:
    """What a gate says of each frame."""
    gate = gate or MotionGate(MotionOptions(), fps)
    for number in range(round(seconds * fps)):
        at = start + number / fps
        picture = picture_at(at)
        height, width = picture.shape
        yield at, gate.update(taken(picture, noise, seed=round(at * 1000)), stamp(at, width, height))


def inside(boxes: F32, x: float, y: float) -> bool:
    return bool(np.any((boxes[:, 0] <= x) & (boxes[:, 1] <= y) & (boxes[:, 2] >= x) & (boxes[:, 3] >= y)))


@pytest.mark.parametrize("fps", [2, 5, 10, 30])
def test_a_person_walking_through_is_seen(fps: float) -> None:
    """At every usual frame rate the boxes hold the walker's middle, soon after he enters and until he leaves."""
    still = scenery()
    speed, enters = 90.0, 3.0

    def walker(at: float) -> Array:
        return put(still, (at - enters) * speed - 40, 200) if at >= enters else still

    seen = []
    for at, motion in watch(walker, 9.0, fps=fps):
        middle = (at - enters) * speed - 20
        if at < enters:
            assert not motion.moving
        elif middle > speed * (2 / fps + 0.2) and middle < WIDTH - 20:
            seen.append(inside(motion.boxes, middle, 245))
            assert motion.moving
    assert np.mean(seen) > 0.9


def test_boxes_fit_what_moves() -> None:
    """A box is not much larger than the object, or crops would be laid around nothing."""
    still = scenery()
    boxes = [motion.boxes for at, motion in watch(lambda at: put(still, 60 * at, 200), 6.0) if at > 2]
    for found in boxes:
        assert len(found) == 1
        width, height = found[0, 2:] - found[0, :2]
        assert 20 <= width <= 90
        assert 70 <= height <= 140


@pytest.mark.parametrize("noise", [0.0, 2.0, 8.0])
def test_noise_does_not_move(noise: float) -> None:
    still = scenery()
    assert not any(motion.moving for _, motion in watch(lambda _: still, 20, noise=noise))


@pytest.mark.parametrize("confirm_s", [0.0, 0.1])
def test_a_speck_in_one_frame_does_not_move(confirm_s: float) -> None:
    """An insect, a drop, a broken block of the codec: confirmation takes a second frame, however soon it may be."""
    still = scenery()
    picture_at = {5.0: put(still, 300, 200), 7.0: put(still, 100, 100, 60, 60, 250)}
    gate = MotionGate(MotionOptions(confirm_s=confirm_s), FPS)
    assert not any(motion.moving for _, motion in watch(lambda at: picture_at.get(round(at, 3), still), 9, gate))


def test_sunset_does_not_move() -> None:
    """Light that falls to a third within 25 s, much faster than a real dusk."""
    still = scenery()
    assert not any(motion.moving for _, motion in watch(lambda at: still * max(1 - max(at - 3, 0) / 36, 0.3), 30))


def test_a_person_is_seen_at_dusk() -> None:
    still = scenery()

    def evening(at: float) -> Array:
        return put(still, 60 * (at - 10), 200) * (1 - at / 30) if at > 10 else still * (1 - at / 30)

    seen = [inside(motion.boxes, 60 * (at - 10) + 20, 245) for at, motion in watch(evening, 17) if at > 11.5]
    assert np.mean(seen) > 0.9


def test_a_switch_to_infrared_settles_within_a_second() -> None:
    """Other contrast, other brightness, much noise: nothing moves, and a person who comes later is seen."""
    still = scenery()
    infrared = 255 * (still / 255) ** 0.6 * 0.7 + 30
    gate = MotionGate(MotionOptions(), FPS)
    assert not any(motion.moving for _, motion in watch(lambda _: still, 5, gate))
    after = list(watch(lambda _: infrared, 10, gate, noise=9, start=5))
    assert after[0][1].settling
    assert not any(motion.moving for _, motion in after)
    assert not any(motion.settling for at, motion in after if at > 5 + 1.3)
    walk = list(watch(lambda at: put(infrared, 80 * (at - 15), 200), 5, gate, noise=9, start=15))
    assert np.mean([inside(motion.boxes, 80 * (at - 15) + 20, 245) for at, motion in walk[5:]]) > 0.8


def test_a_flash_is_over_at_once() -> None:
    """Lightning: its frames are not judged, and right after them a walker is still seen."""
    still = scenery()

    def stormy(at: float) -> Array:
        picture = put(still, 50 * at, 200)
        return picture * 1.8 + 60 if round(at, 3) in (6.0, 6.1) else picture

    for at, motion in watch(stormy, 9):
        if round(at, 3) in (6.0, 6.1):
            assert motion.settling
            assert not len(motion.boxes)
        elif at > 2:
            assert inside(motion.boxes, 50 * at + 20, 245), at


def test_leaves_are_learnt_and_people_before_them_are_not() -> None:
    """A tree that sways raises alarms at first, not for ever; a person passing it is still told from it."""
    still = scenery()
    leaves = np.zeros((HEIGHT, WIDTH), np.float32)
    leaves[40:200, 400:600] = cv2.resize(
        np.random.default_rng(3).uniform(-60, 60, (32, 40)).astype(np.float32), (200, 160), interpolation=cv2.INTER_AREA
    )

    def windy(at: float) -> Array:
        return still + np.roll(leaves, round(10 * np.sin(4 * at)), axis=1)

    gate = MotionGate(MotionOptions(), FPS)
    moves = {at: len(motion.boxes) > 0 for at, motion in watch(windy, 60, gate)}
    assert np.mean([moved for at, moved in moves.items() if 1 < at < 8]) > 0.3
    assert np.mean([moved for at, moved in moves.items() if at > 40]) < 0.05
    walk = watch(lambda at: put(windy(at), 80 * (at - 60), 130), 7, gate, start=60)
    seen = [inside(motion.boxes, 80 * (at - 60) + 20, 175) for at, motion in walk if at > 61]
    assert np.mean(seen) > 0.9


@pytest.mark.parametrize("fps", [4, 10, 30])
def test_what_stops_is_taken_in_and_seen_again_when_it_leaves(fps: float) -> None:
    """A car parks: motion ends soon. It drives off: motion, and the place it leaves is quiet soon as well. So it is at
    whatever rate the frames come, which need not be the one asked for."""
    still = scenery()

    def position(at: float) -> float:
        return min(60 * at, 300) if at < 20 else 300 + 60 * (at - 20)

    gate = MotionGate(MotionOptions(), FPS)
    parking = watch(lambda at: put(still, position(at), 200, 90, 60), 24, gate, fps)
    told = {round(at, 3): motion for at, motion in parking}
    assert told[3.0].moving
    assert not told[9.0].moving
    assert not told[19.0].moving
    assert told[20.5].moving
    place = [inside(motion.boxes, 320, 230) for at, motion in told.items() if at > 22.5]
    assert not any(place)


def test_a_mask_hides_motion() -> None:
    """Nothing is told of the masked half, and the other half is watched as before."""
    still = scenery()
    left = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
    gate = MotionGate(MotionOptions(masks=(left,)), FPS)
    for at, motion in watch(lambda at: put(still, 60 * at, 200), 9, gate):
        middle = 60 * at + 20
        if middle < WIDTH / 2 - 40:
            assert not motion.moving
        elif middle > WIDTH / 2 + 60:
            assert inside(motion.boxes, middle, 245)


@pytest.mark.parametrize("corner", [(640, 480), (0.5, 640), (-100, 0), (math.nan, 0.5)])
def test_a_mask_in_pixels_is_refused(corner: tuple[float, float]) -> None:
    """It would hide another part of the picture than it was drawn for, or all of it, without a word."""
    with pytest.raises(ValueError, match="far outside the picture"):
        MotionOptions(masks=(((0, 0), (0, 1), corner),))
    MotionOptions(masks=(((-0.1, 0), (0, 1.1), (1, 1)),))


def test_moving_is_held() -> None:
    """A pause within a walk does not end it, so that rules see one stay and not several."""
    still = scenery()
    gate = MotionGate(MotionOptions(hold_s=2.0), FPS)
    told = dict(watch(lambda at: put(still, 60 * at, 200) if at < 5 else still, 12, gate))
    after = [at for at, motion in told.items() if at > 5 and not motion.moving]
    assert 6.9 <= min(after) <= 8.0


def test_another_picture_size_starts_anew() -> None:
    gate = MotionGate(MotionOptions(), FPS)
    for _ in watch(lambda _: scenery(), 3, gate):
        pass
    motion = gate.update(taken(scenery(1280, 720)), stamp(3, 1280, 720))
    assert motion.settling
    assert not motion.moving


@settings(deadline=None, max_examples=40)
@given(
    width=st.integers(1, 400),
    height=st.integers(1, 300),
    gaps=st.lists(st.floats(-0.5, 3.0), min_size=3, max_size=12),
    seed=st.integers(0, 5),
)
def test_boxes_lie_in_the_frame_whatever_comes(width: int, height: int, gaps: list[float], seed: int) -> None:
    """Any size of picture, and clocks that stall or step back."""
    random = np.random.default_rng(seed)
    gate = MotionGate(MotionOptions(settle_s=0.1), FPS)
    at = 0.0
    for gap in gaps:
        at += gap
        picture = np.full((height, width), 100, np.uint8)
        x, y = random.integers(0, width), random.integers(0, height)
        picture[y : y + height // 3 + 1, x : x + width // 3 + 1] = random.integers(0, 255)
        boxes = gate.update(picture, stamp(at, width, height)).boxes
        assert boxes.dtype == np.float32
        assert boxes.shape[1:] == (4,)
        assert np.all(boxes[:, :2] < boxes[:, 2:])
        assert np.all(boxes >= 0)
        assert np.all(boxes[:, 2:] <= (width, height))


def test_a_camera_that_comes_back_after_long_is_looked_at_like_any() -> None:
    """What moved before the silence may be anywhere by now, and is not sought further out than the picture goes: that
    took minutes after an outage of an hour, and more memory than there is."""
    walking = [put(scenery(), 60 * at, 200) for at in (0.0, 2.0, 4.0)]
    gate = MotionGate(MotionOptions(), FPS)
    for _ in watch(lambda at: walking[0] if at < 2 else walking[1], 2.2, gate):
        pass
    assert not gate.update(taken(walking[2]), stamp(1e7)).settling


def test_reset_forgets() -> None:
    """After a reset the first frame is the background."""
    gate = MotionGate(MotionOptions(), FPS)
    for _ in watch(lambda at: put(scenery(), 60 * at, 200), 3, gate):
        pass
    gate.reset()
    assert gate.update(taken(scenery(seed=2)), stamp(3)).settling


@needs_shared
@pytest.mark.parametrize("step", [1, 2])
def test_people_of_a_real_clip_are_seen(step: int) -> None:
    """Of the people in the clip at least 93 % have their middle in a motion box, while the boxes leave 90 % of the
    picture alone."""
    table = np.loadtxt(SHARED / "groundtruth" / "pets09-s2l1_frames_1-400.txt", delimiter=",", ndmin=2)
    clip = cv2.VideoCapture(str(SHARED / "media" / "vtest.avi"))
    gate = MotionGate(MotionOptions(), 10 / step)
    seen, covered = [], []
    for number in range(1, 401):
        picture = clip.read()[1]
        if number % step:
            continue
        grey: U8 = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.uint8)
        boxes = gate.update(grey, stamp(number / 10, 768, 576)).boxes
        if number > 15:
            rows = table[table[:, 0] == number]
            seen += [inside(boxes, row[2] + row[4] / 2, row[3] + row[5] / 2) for row in rows]
            covered.append(np.sum(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)) / (768 * 576))
    assert np.mean(seen) >= 0.93
    assert np.mean(covered) <= 0.1
