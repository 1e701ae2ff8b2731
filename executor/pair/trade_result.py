"""What a trade has earned: an estimate until the venues have reported every price and fee, then corrected.

A trade's books are closed when it is flat, whether or not everything was received: results and limits go
by what is known. Its result is then kept as long as one of its orders is, and what is reported late about
such an order corrects it.
"""

from __future__ import annotations

from msgspec.structs import replace

from events.trades import LegName, TradeClosed
from executor.pair.order_facts import about_leg
from executor.pair.pricing import average_price_e8, spread_bps
from executor.pair.rules import PairRules
from executor.pair.state import ClosedTrade, PairState, Trade, is_estimated
from venues.contract import E8, converted_e8


def closed_books(state: PairState, trade: Trade, rate_e8: int) -> ClosedTrade:
    """The result of a trade that is flat. One that had been closed before goes on from there."""
    assert trade.closed_mono_ns > 0, "a trade's books are closed when it is flat"
    assert rate_e8 > 0, "a rate that is not known is the one that the trade began with"
    gross_e8, paid_e8 = gross_result_e8(trade, rate_e8), fees_e8(trade, rate_e8)
    was_estimated = trade.is_estimated
    for before in state.closed:
        if before.trade_id == trade.trade_id:
            gross_e8, paid_e8 = gross_e8 + before.gross_e8, paid_e8 + before.fees_e8
            was_estimated |= before.is_estimated
    return ClosedTrade(
        trade_id=trade.trade_id,
        direction=trade.direction,
        closed_mono_ns=trade.closed_mono_ns,
        gross_e8=gross_e8,
        fees_e8=paid_e8,
        is_estimated=was_estimated,
        rate_e8=rate_e8,
    )


def gross_result_e8(trade: Trade, rate_e8: int) -> int:
    """What a flat trade has earned before fees. Each leg's result is realised in its own quote currency; at
    the rate of the close they are added up in leg 0's."""
    first, second = (book.sold_quote_e8 - book.bought_quote_e8 for book in trade.books)
    return first + converted_e8(second, rate_e8)


def fees_e8(trade: Trade, rate_e8: int) -> int:
    """The fees of both legs in leg 0's quote currency."""
    return trade.books[0].fee_e8 + converted_e8(trade.books[1].fee_e8, rate_e8)


def rate_move_e8(trade: Trade, rate_e8: int) -> int:
    """How much of a flat trade's result the rate between its currencies made, by moving while it was held.

    While the asset's price in leg 0's currency stands, leg 1's moves against the rate: one that was bought
    has lost its value times the rate's move, one that was sold has gained it.
    """
    _, entry_quote_e8 = entry_of(trade, 1)
    return trade.direction * entry_quote_e8 * (rate_e8 - trade.rate_e8) // E8


def remembered(state: PairState, newest: ClosedTrade) -> tuple[ClosedTrade, ...]:
    """The closed trades to keep: those of which an order may still be spoken of, and the newest."""
    spoken_of = {order.trade_id for leg in state.legs for order in leg.past} - {newest.trade_id}
    return (*(trade for trade in state.closed if trade.trade_id in spoken_of), newest)


def close_books(rules: PairRules, state: PairState, rate_e8: int) -> tuple[PairState, TradeClosed]:
    """The state that has forgotten its flat trade but for the result, and the result as it is reported.

    ``rate_e8`` is what one unit of leg 1's quote currency is worth in leg 0's now.
    """
    trade = state.trade
    assert trade is not None, "only a trade has a result"
    closed = closed_books(state, trade, rate_e8)
    gross_e8, paid_e8 = gross_result_e8(trade, rate_e8), fees_e8(trade, rate_e8)
    event = TradeClosed(
        pair=rules.pair,
        trade_id=trade.trade_id,
        direction=trade.direction,
        size_e8=max(entry_of(trade, leg)[0] for leg in (0, 1)),
        legs=leg_names(rules),
        entry_prices_e8=(average_of(entry_of(trade, 0)), average_of(entry_of(trade, 1))),
        exit_prices_e8=(average_of(exit_of(trade, 0)), average_of(exit_of(trade, 1))),
        entry_spread_bps=entry_spread_bps(trade),
        exit_spread_bps=exit_spread_bps(trade, rate_e8),
        gross_e8=gross_e8,
        fees_e8=paid_e8,
        net_e8=gross_e8 - paid_e8,
        quote_rates_e8=(trade.rate_e8, rate_e8) if rules.has_live_rate else None,
        rate_move_e8=rate_move_e8(trade, rate_e8) if rules.has_live_rate else None,
        remainders_e8=(state.legs[0].position_e8, state.legs[1].position_e8),
        reason=trade.exit_reason or "auto_close",
        layers=trade.layers,
        hold_ms=(trade.closed_mono_ns - (trade.opened_mono_ns or trade.closed_mono_ns)) / 1e6,
        naked_ms=trade.naked_ns / 1e6,
        naked_notional_max_e8=trade.naked_notional_max_e8,
        retries=trade.retries,
        is_estimated=is_estimated(state, closed),
    )
    return replace(state, trade=None, closed=remembered(state, closed)), event


def leg_names(rules: PairRules) -> tuple[LegName, LegName]:
    return LegName(**about_leg(rules, 0)), LegName(**about_leg(rules, 1))


def average_of(size_and_value: tuple[int, int]) -> int:
    size_e8, quote_e8 = size_and_value
    return average_price_e8(quote_e8, size_e8)


def entry_of(trade: Trade, leg: int) -> tuple[int, int]:
    """Size and value of what built a leg."""
    book = trade.books[leg]
    is_bought = (trade.direction > 0) == (leg == 0)
    return (book.bought_e8, book.bought_quote_e8) if is_bought else (book.sold_e8, book.sold_quote_e8)


def exit_of(trade: Trade, leg: int) -> tuple[int, int]:
    """Size and value of what closed a leg."""
    book = trade.books[leg]
    is_sold = (trade.direction > 0) == (leg == 0)
    return (book.sold_e8, book.sold_quote_e8) if is_sold else (book.bought_e8, book.bought_quote_e8)


def exit_spread_bps(trade: Trade, rate_e8: int) -> float:
    """What closing gave back: the short leg's price over the long leg's."""
    legs = exit_of(trade, 0), _at_rate(exit_of(trade, 1), rate_e8)
    (sold_e8, sold_quote_e8), (bought_e8, bought_quote_e8) = legs if trade.direction > 0 else legs[::-1]
    return spread_bps(
        buy_quote_e8=sold_quote_e8, buy_e8=sold_e8, sell_quote_e8=bought_quote_e8, sell_e8=bought_e8
    )


def entry_spread_bps(trade: Trade) -> float:
    """What opening captured: the short leg's price over the long leg's."""
    legs = entry_of(trade, 0), _at_rate(entry_of(trade, 1), trade.rate_e8)
    (buy_e8, buy_quote_e8), (sell_e8, sell_quote_e8) = legs if trade.direction > 0 else legs[::-1]
    return spread_bps(buy_quote_e8=buy_quote_e8, buy_e8=buy_e8, sell_quote_e8=sell_quote_e8, sell_e8=sell_e8)


def _at_rate(size_and_value: tuple[int, int], rate_e8: int) -> tuple[int, int]:
    """Leg 1's size and value, the value in leg 0's currency."""
    size_e8, quote_e8 = size_and_value
    return size_e8, converted_e8(quote_e8, rate_e8)
