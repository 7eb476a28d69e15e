"""Golden replays: every kind of rule, right, where a naive version goes wrong. Each story says what it is about."""

from __future__ import annotations

import json

import pytest

from tests.stories import SCENARIOS, expected, play

NAMES = sorted(path.name for path in SCENARIOS.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_story_gives_its_events(name: str) -> None:
    """The events are those expected, to the frame; after a wanted change see ``tests/stories.py``."""
    assert list(map(json.dumps, play(name))) == list(map(json.dumps, expected(name)))


@pytest.mark.parametrize("name", NAMES)
def test_story_goes_on_when_an_equal_book_takes_over(name: str) -> None:
    """At whatever moment: nothing is forgotten and nothing is told twice."""
    assert list(map(json.dumps, play(name, renewed=True))) == list(map(json.dumps, expected(name)))
