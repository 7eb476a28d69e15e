"""Boxes and captions in pictures."""

from __future__ import annotations

import string

import cv2
import numpy as np
import pytest

from edgerun import images
from edgerun.lettering import HEIGHT, lettered
from edgerun.marks import draw, write
from edgerun.types import U8

GREEN = (0, 200, 0)


def test_a_drawn_box_and_its_caption_survive_the_jpeg() -> None:
    bgr = np.full((240, 320, 3), 90, np.uint8)
    drawn = draw(bgr, np.array([[50.4, 0.0, 150.0, 200.0], [60, 60, 400, 400]], np.float32), ["person 0.91", ""])
    assert (bgr == 90).all(), "the frame itself is not drawn on"
    encoded = images.jpeg(drawn, 90)
    assert encoded[:2] == b"\xff\xd8"
    again = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    assert again is not None and again.shape == (240, 320, 3)
    assert again[100, 50, 1] > 150 and again[100, 100, 1] < 110


def test_a_caption_at_the_edge_is_moved_into_the_picture() -> None:
    at_the_edge, inside = np.zeros((200, 300, 3), np.uint8), np.zeros((200, 300, 3), np.uint8)
    write(at_the_edge, "#1 person", 290, 100, (0, 200, 0))
    write(inside, "#1 person", 100, 100, (0, 200, 0))
    assert np.count_nonzero(at_the_edge) == np.count_nonzero(inside)


def written(words: str) -> U8:
    picture = np.zeros((400, 600, 3), np.uint8)
    assert write(picture, words, 10, 200, GREEN) <= 200
    return picture


def is_legible(picture: U8) -> bool:
    """Whether there is more than the plate, which has no red."""
    return bool((picture[:, :, 2] > 120).any())


def test_every_character_that_can_be_typed_looks_like_no_other() -> None:
    shapes = {character: written(character).tobytes() for character in string.printable[:94]}
    assert len(set(shapes.values())) == len(shapes)
    assert all(is_legible(written(character)) for character in shapes) and not is_legible(written(" "))


def test_letters_stay_on_their_plate_and_apart() -> None:
    for character in string.printable[:94]:
        found = lettered(character + "|")
        assert found is not None
        *lines, bar = found[0]
        reach = np.concatenate(lines).max(axis=0)
        assert (np.concatenate(lines) >= 0).all() and reach[1] <= HEIGHT and reach[0] < bar[0, 0]


def test_a_word_takes_as_much_room_as_it_needs() -> None:
    narrow, wide = (np.count_nonzero(written(words).any(axis=2)) for words in ("ill", "mmm"))
    assert narrow < wide


def test_words_are_written_as_large_as_the_picture_asks() -> None:
    small, large = np.zeros((240, 320, 3), np.uint8), np.zeros((960, 1280, 3), np.uint8)
    heights = [write(picture, "person", 0, 0, GREEN) for picture in (small, large)]
    assert heights[1] > 2 * heights[0]


def test_only_words_in_other_scripts_load_the_fonts_of_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take 6 MB of memory for good."""
    assert is_legible(written("Straße"))
    monkeypatch.setattr(cv2, "getTextSize", lambda *_: pytest.fail("the fonts are loaded"))
    assert is_legible(written("#7 person 0.87 (yard)"))
