"""Stagger: hold the faster venue's entry order back so that both reach their matching engines together.

How long an order travels is taken to be half of what its answer takes to come back; nobody outside a
venue can see more. Measured from every answer of this process, forgetting slowly.
"""

from __future__ import annotations

from typing import Final, NamedTuple

SAMPLES_MIN: Final = 3  # answers of a venue before its time is believed
_MEMORY: Final = 10  # answers that matter
_WORTH_NS: Final = 1_000_000  # the loop's timers know nothing finer


class Hold(NamedTuple):
    """An entry's leg that leaves later than the other."""

    leg: int
    duration_ns: int


class Stagger:
    """What is known of each venue's travel time. Never holds anything unless switched on."""

    def __init__(self, *, is_on: bool, hold_ns_max: int) -> None:
        self.begin_anew(is_on=is_on, hold_ns_max=hold_ns_max)

    def begin_anew(self, *, is_on: bool, hold_ns_max: int) -> None:
        """Go by other settings, and by the answers that come from now on."""
        assert hold_ns_max >= 0, "an order cannot leave before it is sent"
        self.is_on = is_on
        self._hold_ns_max = hold_ns_max
        self._round_trips: dict[str, tuple[int, float]] = {}  # venue -> answers, average ns

    def answered(self, venue: str, round_trip_ns: int) -> None:
        """A venue has answered an order this long after its bytes were written."""
        count, mean_ns = self._round_trips.get(venue, (0, 0.0))
        # An answer that took very long says that the venue stumbled, not how far away it is.
        sample_ns = min(round_trip_ns, 4 * self._hold_ns_max)
        count += 1
        self._round_trips[venue] = count, mean_ns + (sample_ns - mean_ns) / min(count, _MEMORY)

    def hold(self, venues: tuple[str, str]) -> Hold | None:
        """Which leg of an entry waits, and how long; None when both leave at once."""
        if not self.is_on or venues[0] == venues[1]:
            return None
        (first_count, first_ns), (second_count, second_ns) = (
            self._round_trips.get(venue, (0, 0.0)) for venue in venues
        )
        if min(first_count, second_count) < SAMPLES_MIN:
            return None
        lead_ns = min(int(abs(first_ns - second_ns) / 2), self._hold_ns_max)
        return Hold(0 if first_ns < second_ns else 1, lead_ns) if lead_ns >= _WORTH_NS else None
