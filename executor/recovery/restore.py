"""A pair as the journal of an earlier run reports it, made into the state its machine begins with.

Used when shared memory is gone with everything in it: the whole instance was killed, or the machine
rebooted. What is reported here is why something may be ours; both venues confirm it before it is
believed, and every order whose end was not reported begins in doubt and is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from executor.pair.config import CLOCK_SPARE_MS, SIGNING_SPARE_MS
from executor.pair.order import DOUBTFUL, Order, OrderState, Purpose, moved
from executor.pair.order_updates import FILL_IDS_MAX, fill_key
from executor.pair.rules import PairRules
from executor.pair.state import (
    OWED_ORDERS,
    ClosedTrade,
    Held,
    PairState,
    Plan,
    is_flat,
    new_state,
    next_client_order_id,
)
from runtime.carried_positions import CarriedOrder, CarriedPair
from settings import ORDER_VALIDITY_MS_MAX
from venues.contract import E8, Side

_APPEAR_NS_MAX = (ORDER_VALIDITY_MS_MAX + CLOCK_SPARE_MS + SIGNING_SPARE_MS) * 1_000_000
_PLAN_OF = {
    Purpose.ENTRY: Plan.ENTRY,
    Purpose.COMPLETE: Plan.COMPLETE,
    Purpose.UNWIND: Plan.UNWIND,
    Purpose.EXIT: Plan.EXIT,
}


def find_held(rules: PairRules, held: Sequence[CarriedPair]) -> CarriedPair | None:
    """What an earlier run held of this very pair: the same id, and the same legs in the same order."""
    legs = tuple(f"{item.venue}:{item.symbol}" for item in rules.instruments)
    return next((pair for pair in held if pair.pair == rules.pair and fits(pair, legs)), None)


def fits(pair: CarriedPair, legs: tuple[str, ...]) -> bool:
    """Whether every leg the journal has mentioned is the configured one."""
    return all(reported in ("", leg) for reported, leg in zip(pair.legs, legs, strict=True))


def state_of(
    rules: PairRules, epoch: int, held: CarriedPair, now_mono_ns: int, now_unix_ms: int
) -> PairState:
    """The state to begin with: positions to be confirmed, orders in doubt."""

    def mono_ns(unix_ms: int) -> int:
        return now_mono_ns - max(0, now_unix_ms - unix_ms) * 1_000_000

    state = _holding(new_state(rules, epoch), held)
    trade_id = held.trade_id or max((order.trade_id for order in held.orders), default=0)
    if not trade_id and not is_flat(rules, state):
        # The line that names it was lost: whatever can be closed belongs to a trade all the same.
        trade_id = next_client_order_id(rules, state, 0)
    if trade_id and (any(held.sizes_e8) or held.orders):
        kept = Held(
            trade_id=trade_id,
            sizes_e8=held.sizes_e8,
            prices_e8=held.entry_prices_e8,
            fees_e8=held.fees_e8,
            layers=held.layers,
            opened_mono_ns=mono_ns(held.opened_unix_ms) if held.opened_unix_ms else 0,
            rate_e8=held.quote_rate_e8,
        )
        state = new_state(rules, epoch, kept)
        assert state.trade is not None
        trade = replace(
            state.trade,
            direction=held.direction or state.trade.direction or 1,
            is_estimated=held.is_estimated or not held.trade_id,
            # One that was never hedged is reported when it is.
            hedged_e8=state.trade.hedged_e8 if held.opened_unix_ms else 0,
        )
        state = replace(state, trade=trade)
    for reported in held.orders:
        order = _in_doubt(reported, mono_ns(reported.sent_unix_ms), now_mono_ns)
        legs = list(state.legs)
        leg = legs[order.leg]
        # Positions are reported with what orders under way have filled; the machine counts them apart.
        legs[order.leg] = replace(
            leg,
            live=(*leg.live, order),
            position_e8=leg.position_e8 - order.signed_filled_e8,
            changed_mono_ns=now_mono_ns,
        )
        plan = max(state.plan, _PLAN_OF[order.purpose])  # what was begun is ended: exits before the rest
        state = replace(state, legs=(legs[0], legs[1]), plan=plan)
    assert state.epoch == epoch, "a restored machine begins its own epoch"
    assert all(order.state in DOUBTFUL for leg in state.legs for order in leg.live), (
        "nothing is known to be open"
    )
    return _unaccounted(state, held, mono_ns)


def _unaccounted(state: PairState, held: CarriedPair, mono_ns: Callable[[int], int]) -> PairState:
    """The state with the orders whose price or fee is missing, and the trades that this will correct."""
    legs = list(state.legs)
    for reported in held.unaccounted:
        order = replace(
            _order(reported, mono_ns(reported.sent_unix_ms)),
            state=OrderState[reported.state.upper()],
            is_reported=True,
            # No more than was booked of it, and of fees no total: that is what is asked for.
            reported_fee_e8=None,
            fill_ids=_keys(reported.fill_ids),
            fills_e8=reported.fills_e8,
            fills_quote_e8=reported.fills_quote_e8,
            fills_fee_e8=reported.fee_e8,
        )
        legs[order.leg] = replace(legs[order.leg], past=(*legs[order.leg].past, order)[-OWED_ORDERS:])
    closed = tuple(
        ClosedTrade(
            trade_id=result.trade_id,
            direction=result.direction,
            closed_mono_ns=mono_ns(result.closed_unix_ms),
            gross_e8=result.gross_e8,
            fees_e8=result.fees_e8,
            is_estimated=result.happened_outside,
            rate_e8=result.quote_rate_e8,
        )
        for result in held.closed
        if any(order.trade_id == result.trade_id for leg in legs for order in leg.past)
    )
    return replace(state, legs=(legs[0], legs[1]), closed=closed)


def orphaned_positions(pairs: Sequence[PairRules], held: Sequence[CarriedPair]) -> list[CarriedPair]:
    """What was held by pairs that are configured no more, or otherwise: nobody looks after it."""
    known = [found for rules in pairs if (found := find_held(rules, held))]
    return [pair for pair in held if pair not in known and (any(pair.sizes_e8) or pair.orders)]


def _holding(state: PairState, held: CarriedPair) -> PairState:
    """The state with its positions: a remainder too small to be closed is held without a trade."""
    legs = [replace(leg, position_e8=size) for leg, size in zip(state.legs, held.sizes_e8, strict=True)]
    return replace(state, legs=(legs[0], legs[1]))


def _order(reported: CarriedOrder, sent_mono_ns: int) -> Order:
    return Order(
        client_order_id=reported.client_order_id,
        leg=reported.leg,
        side=Side[reported.side],
        size_e8=reported.size_e8,
        limit_price_e8=reported.limit_price_e8,
        reduce_only=reported.reduce_only,
        purpose=Purpose[reported.purpose.upper()],
        attempt=reported.attempt,
        trade_id=reported.trade_id,
        sent_mono_ns=sent_mono_ns,
        # It was signed under the settings of the run that sent it, whatever they are now.
        gone_mono_ns=sent_mono_ns + _APPEAR_NS_MAX,
        venue_order_id=reported.venue_order_id,
        reported_e8=reported.filled_e8,
        reported_quote_e8=reported.filled_e8 * reported.average_price_e8 // E8,
    )


def _keys(fill_ids: Sequence[str]) -> tuple[str, ...]:
    return tuple(map(fill_key, fill_ids[-FILL_IDS_MAX:]))


def _in_doubt(reported: CarriedOrder, sent_mono_ns: int, now_mono_ns: int) -> Order:
    order = replace(
        _order(reported, sent_mono_ns),
        fill_ids=_keys(reported.fill_ids),
        fills_e8=reported.fills_e8,
        fills_quote_e8=reported.fills_quote_e8,
        fills_fee_e8=reported.fee_e8,
    )
    order = moved(order, OrderState.IN_DOUBT, now_mono_ns)
    if reported.state == OrderState.UNCOUNTED.name.lower():
        order = moved(order, OrderState.UNCOUNTED, now_mono_ns)
    return order
