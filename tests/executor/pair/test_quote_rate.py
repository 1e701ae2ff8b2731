"""A pair whose legs have prices in two currencies: what is compared or added up goes by their rate."""

from __future__ import annotations

import msgspec
import pytest

from executor.pair import fast_path
from executor.pair.messages import At, Enter, Send
from executor.pair.pricing import in_other_currency_e8
from executor.pair.state import ClosedTrade, Held, Trade
from tests.executor.pair.driver import Pair
from tests.executor.pair.model import PRICES_E8, SIZE_E8, some_rules
from venues.contract import E8, PAR_E8, OrderStatus

RATED = some_rules(max_retries=3, has_live_rate=True)


def at_rate(rate: float) -> Pair:
    pair = Pair(RATED)
    pair.rate_e8 = round(rate * E8)
    return pair


def closed(pair: Pair) -> dict[str, object]:
    (event,) = pair.logged("trade_closed")
    return event


def round_trip(pair: Pair, exit_prices: tuple[float, float], exit_rate: float, fee_e8: int = 0) -> None:
    """Opened at 100 and 101 with leg 0 bought, closed at these prices and this rate."""
    for send in pair.enter():
        pair.fill(send, price_e8=PRICES_E8[send.leg], fee_e8=fee_e8)
    pair.rate_e8 = round(exit_rate * E8)
    for send in pair.exit():
        pair.fill(send, price_e8=round(exit_prices[send.leg] * E8), fee_e8=fee_e8)


def test_a_gap_that_the_rate_alone_makes_is_none() -> None:
    """101 in a currency worth 0.99 of the other is 99.99."""
    pair = at_rate(0.99)
    round_trip(pair, (100, 101), 0.99)
    (opened,), event = pair.logged("trade_opened"), closed(pair)
    assert opened["entry_spread_bps"] == pytest.approx(-1.0)
    assert opened["quote_rate_e8"] == 99 * E8 // 100
    assert event["exit_spread_bps"] == pytest.approx(-1.0)
    assert (event["gross_e8"], event["rate_move_e8"]) == (0, 0)
    assert event["quote_rates_e8"] == [99 * E8 // 100] * 2


def test_a_result_is_each_legs_own_at_the_rate_of_the_close() -> None:
    """Leg 0 gains 3, leg 1 loses 2 of its own currency, which is 1 of leg 0's; fees likewise."""
    pair = at_rate(1.0)
    round_trip(pair, (103, 103), 0.5, fee_e8=1_000)
    event = closed(pair)
    assert event["gross_e8"] == 2 * E8 * SIZE_E8 // E8
    assert event["fees_e8"] == 2 * 1_000 + 2 * 1_000 // 2
    assert event["net_e8"] == event["gross_e8"] - event["fees_e8"]


@pytest.mark.parametrize("direction", [1, -1])
def test_what_a_move_of_the_rate_made_is_told(direction: int) -> None:
    """The asset stands at 100 of leg 0's currency; leg 1's price follows the rate: that alone is earned."""
    pair = at_rate(1.0)
    for send in pair.enter(direction, prices_e8=(100 * E8, 100 * E8)):
        pair.fill(send, price_e8=100 * E8)
    pair.rate_e8 = E8 * 100 // 125
    for send in pair.exit():
        pair.fill(send, price_e8=(100, 125)[send.leg] * E8)
    event = closed(pair)
    assert event["gross_e8"] == event["rate_move_e8"] == direction * -20 * SIZE_E8


def test_a_pair_at_par_says_nothing_of_rates() -> None:
    pair = Pair()
    round_trip(pair, (100, 101), 1.0)
    (opened,), event = pair.logged("trade_opened"), closed(pair)
    assert not {"quote_rate_e8", "quote_rates_e8", "rate_move_e8"} & {
        *opened,
        *event,
        *pair.logged("holding")[1],
    }


@pytest.mark.parametrize(("rate", "mended_on"), [(1.0, 1), (0.98, 0)])
def test_mending_compares_both_ways_in_one_currency(rate: float, mended_on: int) -> None:
    """Completing sells at 101 of leg 1's currency: a gain at par, 1 % lost at 0.98; unwinding loses 0.1 %."""
    pair = at_rate(rate)
    first, second = pair.enter()
    pair.fill(first, price_e8=100 * E8)
    mend, *_ = (*pair.reported(second, OrderStatus.CANCELLED, 0), *pair.wait(2_000))
    assert mend.leg == mended_on


def test_a_rate_that_is_not_known_is_the_one_the_trade_began_with() -> None:
    pair = at_rate(0.5)
    for send in pair.enter():
        pair.fill(send, price_e8=PRICES_E8[send.leg])
    pair.rate_e8 = 0
    for send in pair.exit():
        pair.fill(send, price_e8=PRICES_E8[send.leg])
    assert closed(pair)["quote_rates_e8"] == [E8 // 2, E8 // 2]


def test_a_late_fee_of_the_second_leg_corrects_at_the_rate_of_the_close() -> None:
    pair = at_rate(1.0)
    for send in pair.enter():
        pair.fill(send, price_e8=PRICES_E8[send.leg], fee_e8=0)
    pair.rate_e8 = E8 // 2
    late: Send | None = None
    for send in pair.exit():
        if send.leg == 1:
            late = send
            pair.reported(send, OrderStatus.FILLED, SIZE_E8)
        else:
            pair.fill(send, price_e8=PRICES_E8[0])
    pair.wait(pair.rules.accounting_wait_ns / 1e6 + 1)
    before = closed(pair)
    pair.rate_e8 = E8  # the trade is over: its result moves no more
    assert late is not None
    pair.fill(late, price_e8=late.limit_price_e8, fee_e8=1_000)
    corrected = pair.logged("trade_corrected")[-1]
    assert corrected["fees_e8"] == before["fees_e8"] + 500  # type: ignore[operator]


def test_what_an_earlier_run_held_keeps_its_rate() -> None:
    held = Held(77, (SIZE_E8, -SIZE_E8), PRICES_E8, (0, 0), 1, 5, E8 // 2)
    pair = Pair(RATED, held=held)
    pair.rate_e8 = E8 // 4
    for send in pair.exit():
        pair.fill(send, price_e8=PRICES_E8[send.leg])
    assert pair.logged("holding")[0]["quote_rate_e8"] == E8 // 2
    assert closed(pair)["quote_rates_e8"] == [E8 // 2, E8 // 4]


def test_a_state_and_a_signal_of_before_there_were_rates_are_read() -> None:
    """Both lie in memory as arrays: what they do not have is at par."""
    trade = msgspec.msgpack.decode(msgspec.msgpack.encode(Trade(1, 1, 1, 0.0, (1, 1))))
    assert msgspec.convert(trade[:-1], Trade).rate_e8 == PAR_E8
    result = msgspec.msgpack.decode(msgspec.msgpack.encode(ClosedTrade(1, 1, 1, 1, 1, False)))
    assert msgspec.convert(result[:-1], ClosedTrade).rate_e8 == PAR_E8
    event = Enter(At(5), 1, 1, 0, SIZE_E8, PRICES_E8, 1.0)
    send = Pair().enter()[0]
    taken, _ = fast_path.load_taken(fast_path.dump_taken(event, (send,)))
    assert taken.at.rate_e8 == PAR_E8


def test_a_price_of_one_leg_in_the_currency_of_the_other() -> None:
    assert in_other_currency_e8(1, 101 * E8, E8 // 2) == 101 * E8 // 2
    assert in_other_currency_e8(0, 101 * E8, E8 // 2) == 202 * E8
    assert in_other_currency_e8(0, 101 * E8, 0) == in_other_currency_e8(1, 101 * E8, 0) == 0
