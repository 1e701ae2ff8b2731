"""Limits, sizes, costs and client order ids: the numbers the pair machine rests on."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from executor.pair.client_order_id import leg_of
from executor.pair.order import ORDER_STEPS, OrderState, moved
from executor.pair.pricing import (
    LegMarket,
    closable_e8,
    limit_price_e8,
    mending_costs,
    openable_e8,
    price_to_take_e8,
)
from executor.pair.repair import RepairOrder, unwinding_order
from executor.pair.state import STATE_BYTES_MAX, Leg, dump, load, new_state, next_client_order_id
from tests.executor.pair.driver import Pair
from tests.executor.pair.model import LOT_E8, an_instrument, some_rules
from venues.contract import E8, OrderRequest, Side, TimeInForce, check_grid


@given(
    touch_e8=st.integers(E8, 200_000 * E8),
    band_bps=st.floats(0, 1_000),
    tick_e8=st.sampled_from([E8 // 100, E8 // 10, E8, 3]),
    figures=st.sampled_from([0, 5]),
    side=st.sampled_from(Side),
)
def test_a_limit_is_on_the_tick_within_the_band_and_marketable(
    touch_e8: int, band_bps: float, tick_e8: int, figures: int, side: Side
) -> None:
    figures = 0 if tick_e8 == 3 else figures
    instrument = an_instrument(0, tick_e8=tick_e8, significant_figures=figures)
    touch_e8 = instrument.price_down_e8(touch_e8)
    limit_e8 = limit_price_e8(instrument, side, touch_e8, band_bps)

    assert limit_e8 % instrument.price_step_e8(limit_e8) == 0
    assert (limit_e8 - touch_e8) * side >= 0
    assert abs(limit_e8 - touch_e8) <= touch_e8 * band_bps / 10_000 + touch_e8 * 1e-9 + 1


@given(size_e8=st.integers(0, 50 * LOT_E8), price_e8=st.integers(1, 1_000).map(lambda n: n * E8))
def test_every_size_we_send_is_one_the_venue_takes(size_e8: int, price_e8: int) -> None:
    """The contract's own grid check is the judge."""
    instrument = an_instrument(
        0, min_size_e8=3 * LOT_E8, max_size_e8=20 * LOT_E8, min_notional_e8=E8, tick_e8=E8
    )
    for taken_e8, reduce_only in (
        (openable_e8(instrument, size_e8, price_e8), False),
        (closable_e8(instrument, size_e8), True),
    ):
        assert 0 <= taken_e8 <= size_e8
        if taken_e8:
            check_grid(
                OrderRequest(1, instrument, Side.BUY, taken_e8, price_e8, reduce_only, TimeInForce.IOC)
            )


def test_an_unwind_of_a_part_below_the_minimum_value_is_not_tried() -> None:
    """The venues exempt a reduce-only order that closes the whole position, and no other."""
    rules = some_rules(instruments=(an_instrument(0, min_notional_e8=10 * E8), an_instrument(1)))
    leg = Leg(position_e8=100 * LOT_E8, bid_e8=E8, ask_e8=E8)
    other = Leg(position_e8=-99 * LOT_E8, bid_e8=E8, ask_e8=E8)
    state = replace(new_state(rules, 1), legs=(leg, other))

    assert unwinding_order(rules, state) is None
    rich = replace(state, legs=(replace(leg, bid_e8=10**6 * E8), other))
    assert unwinding_order(rules, rich) == RepairOrder(0, Side.SELL, LOT_E8)
    whole = replace(state, legs=(leg, replace(other, position_e8=0)))
    assert unwinding_order(rules, whole) == RepairOrder(0, Side.SELL, 100 * LOT_E8)


def test_a_close_needs_no_minimum_notional() -> None:
    instrument = an_instrument(0, min_notional_e8=10 * E8)

    assert openable_e8(instrument, LOT_E8, 100 * E8) == 0
    assert closable_e8(instrument, LOT_E8) == LOT_E8


def test_taking_through_levels_costs_their_average() -> None:
    market = LegMarket(True, 99 * E8, 100 * E8, asks=((100 * E8, E8), (102 * E8, E8)))

    assert price_to_take_e8(market, Side.BUY, 2 * E8) == 101 * E8
    assert price_to_take_e8(market, Side.BUY, 4 * E8) == 101 * E8 + E8 // 2  # the last level holds on
    assert price_to_take_e8(market, Side.SELL, 4 * E8) == 99 * E8  # no levels known: the touch


@pytest.mark.parametrize("side", list(Side))
def test_costs_of_both_ways_are_told_in_one_currency(side: Side) -> None:
    """Held at 100: completing 1 worse and unwinding 2 worse, fees 1 and 3 bps, 10 bps to close later."""
    costs = mending_costs(
        long_leg_side=side,
        held_price_e8=100 * E8,
        complete_price_e8=(100 - side) * E8,
        unwind_price_e8=(100 - 2 * side) * E8,
        size_e8=E8,
        fees_bps=(1.0, 3.0),
        later_exit_bps=10.0,
    )

    assert costs.complete_e8 == E8 + 11 * E8 // 100
    assert costs.unwind_e8 == 2 * E8 + 3 * E8 // 100


def test_ids_fit_53_bits_name_their_leg_and_differ_between_lives_and_pairs() -> None:
    """The largest epoch, pair and sequence still fit a JSON number."""
    rules = some_rules(pair_id=63)
    state = new_state(rules, (1 << 29) - 1)
    last = replace(state.legs[1], sequence=(1 << 17) - 1)
    state = replace(state, legs=(state.legs[0], last))

    assert next_client_order_id(rules, state, 1) == (1 << 53) - 1
    assert [leg_of(next_client_order_id(rules, state, leg)) for leg in (0, 1)] == [0, 1]
    ids = {
        next_client_order_id(some_rules(pair_id=pair_id), new_state(rules, epoch), leg)
        for pair_id in range(4)
        for epoch in range(1, 5)
        for leg in (0, 1)
    }
    assert len(ids) == 32


def test_an_epoch_too_large_for_an_id_is_refused() -> None:
    with pytest.raises(AssertionError, match="does not fit"):
        new_state(some_rules(), 1 << 29)


def test_the_journal_holds_a_busy_state_with_room_to_spare() -> None:
    """Nine trades leave both legs' memories full; every byte comes back."""
    pair = Pair()
    for _ in range(9):
        pair.hedged()
        for send in pair.exit():
            for number in range(20):
                pair.execution(send, f"{send.client_order_id}-execution-{number}", send.size_e8 // 20)
            pair.fill(send)
        pair.confirm()

    body = dump(pair.state)

    assert load(body) == pair.state
    assert len(body) < STATE_BYTES_MAX // 2
    with pytest.raises(msgspec.DecodeError):
        load(body[: len(body) // 2])


@pytest.mark.parametrize("after", [OrderState.SENT, OrderState.OPEN, OrderState.ABSENT])
def test_a_filled_order_never_changes_again(after: OrderState) -> None:
    pair = Pair().hedged()
    filled = pair.state.legs[0].past[0]
    assert filled.state is OrderState.FILLED

    with pytest.raises(AssertionError, match="FILLED"):
        moved(filled, after, 0)


def test_only_the_venue_leads_out_of_doubt() -> None:
    """Nothing leads from doubt back to SENT, and ABSENT is reached from doubt alone."""
    assert OrderState.SENT not in ORDER_STEPS[OrderState.IN_DOUBT]
    assert [state for state in OrderState if OrderState.ABSENT in ORDER_STEPS[state]] == [OrderState.IN_DOUBT]
