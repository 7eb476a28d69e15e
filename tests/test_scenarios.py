"""Golden replays: every kind of rule, right, where a naive version goes wrong. Each story says what it is about."""

from __future__ import annotations

import json

import pytest

from tests.stories import SCENARIOS, expected, play


@pytest.mark.parametrize("name", sorted(path.name for path in SCENARIOS.iterdir()))
def test_story_gives_its_events(name: str) -> None:
    """The events are those expected, to the frame; after a wanted change see ``tests/stories.py``."""
    assert list(map(json.dumps, play(name))) == list(map(json.dumps, expected(name)))
