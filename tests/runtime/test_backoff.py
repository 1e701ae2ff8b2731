"""How long to wait before the next attempt."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from runtime.backoff import FIRST_PAUSE_S, Backoff

LONGEST_S = 4.0


class Highest(Random):
    """A die that always shows the most."""

    def uniform(self, a: float, b: float) -> float:
        return b


def test_pauses_double_to_the_longest() -> None:
    """What jitter may choose at most."""
    backoff = Backoff(longest_s=LONGEST_S, rng=Highest())
    pauses = [backoff.next_pause_s() for _ in range(8)]
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, LONGEST_S, LONGEST_S]


def test_the_first_retry_may_be_immediate() -> None:
    """A feed that was live comes back at once; the pauses follow if that fails."""
    backoff = Backoff(longest_s=LONGEST_S, is_first_immediate=True, rng=Highest())
    assert [backoff.next_pause_s() for _ in range(4)] == [0.0, 0.1, 0.2, 0.4]


def test_a_success_makes_up_for_earlier_failures() -> None:
    """The next loss is a new one."""
    backoff = Backoff(is_first_immediate=True, rng=Highest())
    for _ in range(5):
        backoff.next_pause_s()
    backoff.reset()
    assert backoff.next_pause_s() == 0.0


@given(st.integers(0, 2**32), st.integers(1, 3_000))
def test_every_pause_is_within_its_bounds(seed: int, failures: int) -> None:
    """However long the venue stays away."""
    backoff = Backoff(longest_s=LONGEST_S, rng=Random(seed))
    pauses = [backoff.next_pause_s() for _ in range(failures)]
    assert all(FIRST_PAUSE_S / 2 <= pause_s <= LONGEST_S for pause_s in pauses)
