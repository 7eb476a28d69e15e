"""Which engine serves: never none, the preferred one again as soon as it may, and not all the time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgerun.worker.choice import BACKOFF_S, FIRST_RETRY_S, Choice


def fail(choice: Choice, *, retriable: bool = True, lived_s: float = 0.5, now: float = 0.0) -> float:
    return choice.failed(retriable=retriable, lived_s=lived_s, now=now)


def test_what_an_accelerator_does_is_done_by_the_next_at_once() -> None:
    choice = Choice([True, False], 60)
    assert fail(choice, lived_s=3600) == 0
    assert choice.current == 1


def test_a_processors_engine_is_started_again_before_another_is_tried() -> None:
    choice = Choice([False, False], 60)
    assert (fail(choice), choice.current) == (0, 0)
    assert (fail(choice), choice.current) == (0, 1)


def test_what_lives_long_is_started_again_at_once_for_ever() -> None:
    choice = Choice([False], 60)
    assert [fail(choice, lived_s=11) for _ in range(20)] == [0] * 20


def test_a_single_engine_that_keeps_failing_is_tried_less_and_less_often() -> None:
    choice = Choice([True], 60)
    waits = [fail(choice) for _ in range(10)]
    assert waits == [0, 1, 2, 4, 8, 16, 30, 30, 30, 30]
    choice.answered()
    assert fail(choice) == 0


def test_the_better_one_is_tried_again_with_growing_patience() -> None:
    choice = Choice([True, False], 60)
    now, tried = 0.0, []
    fail(choice, now=now)
    while now < 400:
        now += 0.5
        if choice.better(now) == 0:
            tried.append(now)
            choice.not_back(0, retriable=True, now=now)
    gaps = [later - earlier for earlier, later in zip([0.0, *tried], tried, strict=False)]
    assert gaps == [FIRST_RETRY_S, 4, 8, 16, 32, 60, 60, 60, 60, 60]


def test_one_that_served_for_long_is_tried_again_as_soon_as_at_first() -> None:
    choice = Choice([True, False], 60)
    for _ in range(4):
        choice.not_back(0, retriable=True, now=0.0)
    choice.current = 0
    fail(choice, lived_s=61)
    assert choice.better(FIRST_RETRY_S) == 0


def test_a_better_one_is_never_tried_where_nothing_may_change() -> None:
    choice = Choice([True, False], 0)
    assert fail(choice) == 0
    assert choice.current == 1
    assert choice.better(1e9) is None


def test_one_that_no_retry_helps_is_left_alone() -> None:
    choice = Choice([True, False], 1)
    fail(choice, retriable=False)
    assert choice.current == 1
    assert choice.better(1e9) is None
    assert not choice.exhausted
    assert fail(choice, retriable=False) > 0
    assert choice.exhausted


def test_the_next_one_is_tried_at_once_after_one_that_no_retry_helps() -> None:
    choice = Choice([False, False], 60)
    assert (fail(choice, retriable=False), choice.current) == (0, 1)
    alone = Choice([False], 60)
    assert fail(alone, retriable=False) > 0
    assert alone.exhausted


def test_one_that_no_retry_helps_is_passed_over_ever_after() -> None:
    """Between two others, after the last one, and where it was tried beside the one that serves."""
    choice = Choice([True, False, True], 60)
    fail(choice)
    fail(choice, retriable=False)
    assert choice.current == 2
    choice.current = 0
    fail(choice)
    assert choice.current == 2
    choice = Choice([False, True, False], 60)
    fail(choice, retriable=False)
    fail(choice)
    assert (choice.current, choice.better(60.0)) == (2, 1)
    choice.not_back(1, retriable=False, now=60.0)
    assert choice.better(1e9) is None
    fail(choice)
    assert (fail(choice) > 0, choice.current) == (True, 2)


def test_what_can_come_back_is_waited_for_where_the_others_cannot_serve() -> None:
    """A server that is started after the daemon is no mistake in the configuration."""
    choice = Choice([False, True], 60)
    fail(choice, retriable=False)
    fail(choice)
    assert not choice.exhausted


def test_another_order_is_followed_soon() -> None:
    choice = Choice([True, True, False], 60)
    fail(choice)
    fail(choice)
    assert (choice.current, choice.better(0.0)) == (2, None)
    choice.prefer([1, 2, 0])
    assert choice.better(0.0) == 1
    assert choice.is_better(1)
    assert not choice.is_better(2)


@given(
    st.lists(st.booleans(), min_size=1, max_size=4),
    st.lists(st.tuples(st.booleans(), st.floats(0, 100)), max_size=30),
)
def test_there_is_always_one_to_try_within_bounds(detachable: list[bool], story: list[tuple[bool, float]]) -> None:
    choice = Choice(detachable, 60)
    now = 0.0
    for retriable, lived_s in story:
        now += lived_s
        wait_s = fail(choice, retriable=retriable, lived_s=lived_s, now=now)
        assert 0 <= wait_s <= BACKOFF_S[1]
        assert 0 <= choice.current < len(detachable)
        now += wait_s
        better = choice.better(now)
        assert better is None or choice.is_better(better)


def test_one_that_was_killed_is_tried_again_though_the_others_cannot_serve() -> None:
    """Want of memory ends a process twice, and the engine after it does not know the model: that is no mistake in the
    configuration, which would end the daemon for good."""
    choice = Choice([False, False], 1)
    assert fail(choice) == 0
    assert fail(choice) == 0
    assert choice.current == 1
    assert fail(choice, retriable=False) > 0
    assert not choice.exhausted
    assert choice.current == 0


def test_what_can_go_away_gives_no_hope_to_others_that_cannot_serve() -> None:
    """Who has no accelerator is told at once that the processor cannot run the model."""
    choice = Choice([True, False], 1)
    assert fail(choice) == 0
    assert fail(choice, retriable=False) > 0
    assert choice.exhausted
