"""What the gates before the wire take for held, before any price was seen."""

from __future__ import annotations

from msgspec.structs import replace

from executor.pair.state import Held, PairState, new_state
from executor.risk.exposure import Exposure
from tests.executor.pair.model import some_rules
from venues.contract import E8

RULES = some_rules()._replace(pair_id=0)
FIRST, SECOND = (instrument.venue for instrument in RULES.instruments)


def taken_over(*, sizes_e8: tuple[int, int], prices_e8: tuple[int, int]) -> PairState:
    """A pair as the journal tells it: no feed has spoken yet."""
    return new_state(RULES, 1, Held(7, sizes_e8, prices_e8, (0, 0), 1, 1))


def test_a_pair_that_was_taken_over_counts_before_its_feeds_speak() -> None:
    """Other pairs' entries went by limits that took it for nothing."""
    state = taken_over(sizes_e8=(2 * E8, -E8), prices_e8=(100 * E8, 101 * E8))

    exposure = Exposure([(RULES, state)])

    assert exposure.notional_e8[FIRST] == 200 * E8
    assert exposure.notional_e8[SECOND] == 100 * E8
    assert exposure.net_e8[RULES.instruments[0].base] == 100 * E8
    assert exposure.is_known


def test_the_price_of_one_leg_serves_for_the_other() -> None:
    state = taken_over(sizes_e8=(E8, -E8), prices_e8=(100 * E8, 101 * E8))
    seen = replace(state, legs=(state.legs[0], replace(state.legs[1], bid_e8=110 * E8, ask_e8=111 * E8)))

    exposure = Exposure([(RULES, seen)])

    assert exposure.notional_e8[FIRST] == exposure.notional_e8[SECOND] == 110 * E8
    assert exposure.net_e8[RULES.instruments[0].base] == 0


def test_what_is_held_at_an_unknown_price_is_said_to_be_unknown_until_there_is_one() -> None:
    """Nothing may be opened meanwhile: it is not nothing."""
    state = taken_over(sizes_e8=(E8, -E8), prices_e8=(0, 0))
    exposure = Exposure([(RULES, state)])
    assert not exposure.is_known

    seen = replace(state, legs=(replace(state.legs[0], bid_e8=100 * E8), state.legs[1]))
    exposure.update(RULES, seen)

    assert exposure.is_known
    assert exposure.notional_e8[FIRST] == 100 * E8
