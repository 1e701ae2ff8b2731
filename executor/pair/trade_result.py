"""What a trade has earned: an estimate until the venues have told every price and fee, then corrected.

A trade's books are closed when it is flat, whether or not everything was heard: results and limits go
by what is known. Its result is then kept as long as one of its orders is, and what is told late about such
an order corrects it.
"""

from __future__ import annotations

from typing import Any

from executor.pair.state import ClosedTrade, PairRules, PairState, Trade


def is_estimated(state: PairState, trade: Trade | ClosedTrade) -> bool:
    """Whether a part of the trade was not told by a venue: an order's price or fee, or what no order did."""
    return trade.is_estimated or any(
        order.trade_id == trade.trade_id and not order.is_accounted
        for leg in state.legs
        for order in (*leg.live, *leg.past)
    )


def closed_books(state: PairState, trade: Trade) -> ClosedTrade:
    """The result of a trade that is flat. One that had been closed before goes on from there."""
    gross_e8 = sum(book.sold_quote_e8 - book.bought_quote_e8 for book in trade.books)
    fees_e8 = sum(book.fee_e8 for book in trade.books)
    was_estimated = trade.is_estimated
    for before in state.closed:
        if before.trade_id == trade.trade_id:
            gross_e8, fees_e8 = gross_e8 + before.gross_e8, fees_e8 + before.fees_e8
            was_estimated |= before.is_estimated
    return ClosedTrade(
        trade.trade_id, trade.direction, trade.closed_mono_ns, gross_e8, fees_e8, was_estimated
    )


def remembered(state: PairState, newest: ClosedTrade) -> tuple[ClosedTrade, ...]:
    """The closed trades to keep: those of which an order may still be spoken of, and the newest."""
    spoken_of = {order.trade_id for leg in state.legs for order in leg.past} - {newest.trade_id}
    return (*(trade for trade in state.closed if trade.trade_id in spoken_of), newest)


def result_of(rules: PairRules, state: PairState, trade: ClosedTrade, now_mono_ns: int) -> dict[str, Any]:
    """A closed trade's result as every event about it says."""
    return {
        "pair": rules.pair,
        "trade_id": trade.trade_id,
        "direction": trade.direction,
        "gross_e8": trade.gross_e8,
        "fees_e8": trade.fees_e8,
        "net_e8": trade.gross_e8 - trade.fees_e8,
        "is_estimated": is_estimated(state, trade),
        "closed_ago_ms": (now_mono_ns - trade.closed_mono_ns) / 1e6,
    }
