"""Since when something is as it is, by a clock that may be set at any time."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from edgerun.since import Since


@pytest.mark.parametrize("set_by_s", [1.8e9, -90_000.0, 3.0])
def test_a_clock_that_is_set_sets_what_was_told_by_it(monkeypatch: pytest.MonkeyPatch, set_by_s: float) -> None:
    """A device without a battery starts in 1970; its camera was not up for fifty years when it hears of the time."""
    running, ahead = 1000.0, 500.0
    clock = SimpleNamespace(
        time=lambda: running + ahead,
        clock_gettime=lambda which: running if which == "boot" else 0,
        CLOCK_BOOTTIME="boot",
    )
    monkeypatch.setattr("edgerun.since.time", clock)
    since = Since()
    running += 60
    assert (since.wall, since.age_s) == (1500.0, 60.0)
    ahead += set_by_s
    assert (since.wall, since.age_s) == (1500.0 + set_by_s, 60.0)
    ahead += 0.1  # as it is steered a little all the time, of which nobody wants to hear
    assert since.wall == 1500.0 + set_by_s
