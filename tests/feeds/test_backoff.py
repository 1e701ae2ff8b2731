"""How long a feed waits before it connects again."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from feeds.backoff import MAX_DELAY_S, MIN_DELAY_S, STEADY_S, Backoff


class Highest(Random):
    """A die that always shows the most."""

    def uniform(self, a: float, b: float) -> float:
        return b


def test_the_first_retry_is_immediate_and_the_rest_double_to_the_limit() -> None:
    """What jitter may choose at most: 200 ms, 400 ms, … 4 s."""
    backoff = Backoff(Highest())
    delays = [backoff.next_delay_s(0.0) for _ in range(9)]
    assert delays == [0.0, 0.2, 0.4, 0.8, 1.6, 3.2, MAX_DELAY_S, MAX_DELAY_S, MAX_DELAY_S]


def test_a_steady_connection_makes_up_for_earlier_failures() -> None:
    """The next loss is a new one."""
    backoff = Backoff(Highest())
    for _ in range(5):
        backoff.next_delay_s(0.0)
    assert backoff.next_delay_s(STEADY_S) == 0.0


def test_a_venue_that_accepts_and_drops_is_not_hammered() -> None:
    """A connection that gave data for a moment counts as a failure still."""
    backoff = Backoff(Highest())
    delays = [backoff.next_delay_s(STEADY_S - 0.001) for _ in range(4)]
    assert delays == [0.0, 0.2, 0.4, 0.8]


@given(st.integers(0, 2**32), st.integers(2, 3_000))
def test_every_later_delay_is_within_its_bounds(seed: int, failures: int) -> None:
    """However long the venue stays away."""
    backoff = Backoff(Random(seed))
    delays = [backoff.next_delay_s(0.0) for _ in range(failures)]
    assert all(MIN_DELAY_S <= delay <= MAX_DELAY_S for delay in delays[1:])
