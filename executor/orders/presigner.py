"""Keeps each pair's likely next orders signed, and its likely next signals predicted: one at a time,
while nothing else is to be done.

A Stark signature and its hashes take most of a millisecond, and a signal that comes meanwhile must not
wait for them: a thread makes them. The libraries that sign let go of the interpreter for as long as they
compute. It has no lower priority than the loop, which would wait for it whenever it holds the interpreter.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from executor.gateways.contract import NotSent, OrderGateway, ReadyOrder
from executor.market import Prices
from executor.orders.presigned import Slot, WantedTemplate
from executor.pair.machine import predict
from executor.pair.messages import Enter, Exit
from executor.pair.pricing import closable_e8, openable_e8, touch_e8
from executor.pair.state import Plan, has_live_order, is_flat, next_client_order_id, shrinking_side
from executor.pairs import PairRuntime
from runtime.clock import Clock, unix_ms
from venues.contract import OrderRequest, Side


class Presigner:
    """The thread that signs, and what it is to sign next. Everything but the signing is the loop's."""

    def __init__(self, gateways: Mapping[str, OrderGateway], prices: Prices, clock: Clock) -> None:
        self._gateways = gateways
        self._prices = prices
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "signer")

    def presign_one(self, pair: PairRuntime) -> asyncio.Future[ReadyOrder] | None:
        """Begin the first template of a pair that is missing or no longer fits; None if there is none.

        Once made it is kept, before anybody who waits for the future is called. Whatever became of
        the pair meanwhile, it is taken only for the very order it was made for.
        """
        wanted, presigned = self._wanted(pair), pair.presigned
        presigned.keep_only(wanted)
        stale = next(
            (item for item in wanted if presigned.first_stale([item], self._now_ms(pair, item))), None
        )
        if stale is None:
            return None
        assert stale.slot.size_e8 > 0
        assert stale.limit_price_e8 > 0, "a template is a whole order"
        instrument = pair.rules.instruments[stale.slot.leg]
        gateway = self._gateways[instrument.venue]
        request = OrderRequest(
            client_order_id=stale.client_order_id,
            instrument=instrument,
            side=stale.slot.side,
            size_e8=stale.slot.size_e8,
            limit_price_e8=stale.limit_price_e8,
            reduce_only=stale.slot.reduce_only,
            time_in_force=gateway.time_in_force,
        )

        def keep(signed: asyncio.Future[ReadyOrder]) -> None:
            with contextlib.suppress(NotSent):  # the venue is lost: there is nothing to sign with
                presigned.put(stale.slot, signed.result())

        signing = asyncio.get_running_loop().run_in_executor(self._thread, gateway.sign, request)
        signing.add_done_callback(keep)
        return signing

    def _now_ms(self, pair: PairRuntime, item: WantedTemplate) -> int:
        """The time by which the template's validity is reported: its venue's."""
        return unix_ms(self._gateways[pair.rules.instruments[item.slot.leg].venue].clock)

    def _wanted(self, pair: PairRuntime) -> list[WantedTemplate]:
        """A template for each slot whose leg has a price and whose venue can be sent to."""
        now_mono_ns = self._clock.mono_ns()
        wanted = []
        for slot in _likely_next(pair):
            instrument = pair.rules.instruments[slot.leg]
            market = self._prices.touch(instrument.instrument_id, now_mono_ns, pair.max_age_ns)
            price_e8 = touch_e8(market, slot.side)
            if price_e8 and self._gateways[instrument.venue].is_up:
                limit_e8 = pair.presigned.limit_price_e8(instrument, slot.side, price_e8)
                if not slot.reduce_only and openable_e8(instrument, slot.size_e8, limit_e8) != slot.size_e8:
                    continue  # the venue takes no such order; the machine will refuse the entry and say so
                wanted.append(
                    WantedTemplate(slot, next_client_order_id(pair.rules, pair.state, slot.leg), limit_e8)
                )
        return wanted

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()


def predict_one(prices: Prices, pair: PairRuntime) -> bool:
    """Predict one signal that the pair's present state has no prediction for; False if none is left."""
    for key, event in likely_signals(prices, pair):
        known = pair.predictions.get(key)
        if known is None or known.state is not pair.state:
            pair.predictions[key] = predict(pair.rules, pair.state, event)
            return True
    return False


def likely_signals(prices: Prices, pair: PairRuntime) -> Iterator[tuple[int, Enter | Exit]]:
    """The next entry in each direction it may take, and the exit of what is held."""
    state, rules = pair.state, pair.rules
    if has_live_order(state) or state.plan is not Plan.NONE:
        return
    at = prices.at(pair, with_depth=False)
    if not all(market.is_valid for market in at.markets):
        return
    is_holding = not is_flat(rules, state)
    if is_holding:
        yield 0, Exit(at, state.last_signal_id + 1, "signal")
    trade = state.trade if is_holding else None
    if (is_holding and trade is None) or pair.entries_stopped:
        return
    layer = trade.layers if trade else 0
    size_e8 = pair.layer_sizes_e8.get(layer, 0)
    for direction in (trade.direction,) if trade else (1, -1):
        if size_e8:
            prices_e8 = (
                touch_e8(at.markets[0], Side(direction)),
                touch_e8(at.markets[1], Side(-direction)),
            )
            yield (
                direction,
                Enter(
                    at=at,
                    signal_id=state.last_signal_id + 1,
                    direction=direction,
                    layer=layer,
                    size_e8=size_e8,
                    prices_e8=prices_e8,
                    spread_bps=0.0,
                ),
            )


def _likely_next(pair: PairRuntime) -> list[Slot]:
    """The exit of what is held, and the next layer: in either direction while flat."""
    state, rules = pair.state, pair.rules
    if has_live_order(state) or state.plan is not Plan.NONE:
        return []
    slots = []
    for leg, held in enumerate(state.legs):
        size_e8 = closable_e8(rules.instruments[leg], abs(held.held_e8))
        if size_e8:
            slots.append(Slot(leg, shrinking_side(held.held_e8), size_e8, reduce_only=True))
    trade = None if is_flat(rules, state) else state.trade
    if (slots and trade is None) or pair.entries_stopped:
        return slots
    size_e8 = pair.layer_sizes_e8.get(trade.layers if trade else 0, 0)
    for direction in (trade.direction,) if trade else (1, -1):
        if size_e8:
            slots.append(Slot(0, Side(direction), size_e8, reduce_only=False))
            slots.append(Slot(1, Side(-direction), size_e8, reduce_only=False))
    return slots
