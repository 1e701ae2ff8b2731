"""The detector's signals: taken from the queue, past the last gates, into the machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from events.decisions import SignalRefused
from executor.gateways.contract import OrderGateway
from executor.market import Prices
from executor.metrics.counters import ExecutorCounters
from executor.pair.messages import At, Enter, Exit
from executor.pair.pricing import in_other_currency_e8, price_to_take_e8
from executor.pairs import PairRuntime, Pairs, Report
from executor.risk.book import Risk
from executor.risk.pre_trade import Approved, Entry, EntryLeg, Refused, check, check_age
from executor.risk.trading_state import TradingState
from runtime.clock import Clock
from shm.entry_block import EntryBlock
from shm.queue import QueueReader
from shm.records import SIGNAL, Signal, SignalKind
from venues.contract import E8, PAR_E8, Side

_REFUSAL_PAUSE_NS = 500_000_000
_PPB = 1_000_000_000
_SIDES = {1: (Side.BUY, Side.SELL), -1: (Side.SELL, Side.BUY)}


class SignalTaker(Protocol):
    """What becomes of a signal that passed: the engine."""

    def submit(self, pair: PairRuntime, event: Enter | Exit, signal: Signal, seen_mono_ns: int) -> bool:
        """Take it; returns whether an order left."""

    def warm(self, pair: PairRuntime, event: Enter | Exit) -> None:
        """Take it without effect."""

    def publish(self, pair: PairRuntime) -> None:
        """Show the pair to other processes."""


class Signals:
    """Reads the signal queue. ``take_all`` is the beginning of the hot path."""

    def __init__(
        self,
        *,
        pairs: Pairs,
        engine: SignalTaker,
        risk: Risk,
        trading_state: TradingState,
        prices: Prices,
        gateways: Mapping[str, OrderGateway],
        queue: QueueReader,
        counters: ExecutorCounters,
        report: Report,
        clock: Clock,
    ) -> None:
        self._pairs = tuple(pairs)
        self._engine = engine
        self._risk = risk
        self._trading_state = trading_state
        self._prices = prices
        self._gateways = gateways
        self._queue = queue
        self._counters = counters
        self._report = report
        self._clock = clock

    def has_more(self) -> bool:
        """Whether a signal waits."""
        return self._queue.has_more()

    def take_all(self) -> None:
        """Take every signal that waits."""
        while (body := self._queue.poll()) is not None:
            seen_mono_ns = self._clock.mono_ns()
            # Given back before it is acted upon: after a crash a signal is lost, never taken twice.
            self._queue.commit()
            self._take(Signal(*SIGNAL.unpack(body)), seen_mono_ns)

    def warm(self, pair: PairRuntime, event: Enter | Exit) -> None:
        """Take a likely signal of a pair as if it had come, without effect."""
        at, now_mono_ns = event.at, event.at.now_mono_ns
        is_entry = isinstance(event, Enter)
        first_e8, second_e8 = event.prices_e8 if isinstance(event, Enter) else (0, 0)
        signal = Signal(
            signal_id=event.signal_id,
            writer_epoch=0,
            pair_id=pair.rules.pair_id,
            kind=SignalKind.ENTER if is_entry else SignalKind.EXIT,
            direction=event.direction if isinstance(event, Enter) else 0,
            layer=event.layer if isinstance(event, Enter) else 0,
            size_e8=event.size_e8 if isinstance(event, Enter) else 0,
            first_price_e8=first_e8,
            second_price_e8=second_e8,
            spread_bps=0.0,
            edge_bps=0.0,
            recv_mono_ns=now_mono_ns,
            publish_mono_ns=now_mono_ns,
            seen_mono_ns=now_mono_ns,
            decided_mono_ns=now_mono_ns,
            expires_mono_ns=now_mono_ns,
        )
        _, event, _ = self._judge(pair, signal, at)
        self._engine.warm(pair, event)

    def close(self) -> None:
        """Let go of the queue."""
        self._queue.close()

    def _take(self, signal: Signal, seen_mono_ns: int) -> None:
        assert 0 <= signal.pair_id < len(self._pairs), "the detector trades the same pairs"
        pair = self._pairs[signal.pair_id]
        pair.last_signal_id = signal.signal_id
        signal, event, verdict = self._judge(pair, signal, self._prices.at(pair, with_depth=False))
        if isinstance(verdict, Refused):
            self._refused(pair, signal, verdict)
        else:
            breaker = self._risk.breaker
            is_trial = breaker.has_tripped and signal.kind == SignalKind.ENTER
            if is_trial:
                breaker.entry_left()
            has_left = self._engine.submit(pair, event, signal, seen_mono_ns)
            if is_trial and not has_left:
                breaker.undecided()  # the machine refused it: another may try
        self._engine.publish(pair)  # the detector waits to see its signal consumed
        self._counters.count("signals_total")

    def _judge(
        self, pair: PairRuntime, signal: Signal, at: At
    ) -> tuple[Signal, Enter | Exit, Approved | Refused]:
        """The signal in today's lots, the event it asks for, and whether it may be."""
        assert signal.kind in (SignalKind.ENTER, SignalKind.EXIT), "there are two kinds of signals"
        if signal.kind == SignalKind.EXIT:
            verdict = check_age(at.now_mono_ns, signal.decided_mono_ns, signal.expires_mono_ns)
            return signal, Exit(at, signal.signal_id, "signal"), verdict
        assert signal.size_e8 > 0, "the detector sizes every entry"
        # The detector goes by the lots of the start; a venue may take coarser ones by now.
        size_e8 = signal.size_e8 - signal.size_e8 % pair.rules.common_lot_e8
        signal = signal._replace(size_e8=size_e8 or signal.size_e8)
        pair.layer_sizes_e8[signal.layer] = signal.size_e8
        return (
            signal,
            _enter(signal, at),
            check(self._entry(pair, signal, at), pair.limits, self._trading_state),
        )

    def _entry(self, pair: PairRuntime, signal: Signal, at: At) -> Entry:
        risk, now_mono_ns = self._risk, at.now_mono_ns
        assert signal.direction in _SIDES, "an entry goes one of two ways"
        first_side, second_side = _SIDES[signal.direction]
        orders_last_minute = risk.rate.remembered
        if orders_last_minute + 2 > pair.limits.orders_per_minute:
            orders_last_minute = risk.rate.last_minute(now_mono_ns)
        return Entry(
            now_mono_ns=now_mono_ns,
            decided_mono_ns=signal.decided_mono_ns,
            expires_mono_ns=signal.expires_mono_ns,
            is_at_rest=pair.may_enter,
            orders_last_minute=orders_last_minute,
            net_exposure_e8=abs(risk.exposure.net_e8[pair.rules.instruments[0].base]),
            size_e8=signal.size_e8,
            first=self._entry_leg(pair, 0, first_side, signal.first_price_e8, signal.size_e8, at),
            second=self._entry_leg(pair, 1, second_side, signal.second_price_e8, signal.size_e8, at),
        )

    def _entry_leg(
        self, pair: PairRuntime, leg: int, side: Side, seen_e8: int, size_e8: int, at: At
    ) -> EntryLeg:
        risk, limits, venue = self._risk, pair.limits, pair.rules.instruments[leg].venue
        # Not rounded to the tick as the order's own limit will be: at most a tick further.
        limit_e8 = seen_e8 + seen_e8 * limits.band_ppb // _PPB * side
        market, other = at.markets[leg], at.markets[1 - leg]
        price_e8 = visible_e8 = 0
        if market.is_valid:
            price_e8, visible_e8 = (market.asks if side > 0 else market.bids)[0]
            if visible_e8 * _PPB < size_e8 * limits.liquidity_ppb:
                # Seldom: what lies behind the touch costs more to read than all the rest here.
                price_e8, visible_e8 = self._deep_cost(pair, leg, side, limit_e8, size_e8, at.now_mono_ns)
        other_mid_e8 = (other.bid_e8 + other.ask_e8) // 2
        if at.rate_e8 != PAR_E8:
            other_mid_e8 = in_other_currency_e8(1 - leg, other_mid_e8, at.rate_e8)
        gateway = self._gateways[venue]
        return EntryLeg(
            notional_e8=size_e8 * limit_e8 // E8,
            venue_notional_e8=risk.exposure.notional_e8[venue],
            limit_price_e8=limit_e8,
            seen_price_e8=seen_e8,
            price_now_e8=price_e8,
            worse_e8=price_e8 - seen_e8 if side > 0 else seen_e8 - price_e8,
            visible_e8=visible_e8,
            other_mid_e8=other_mid_e8,
            can_send=gateway.can_send,
            opens_from_mono_ns=gateway.budget.opens_from_mono_ns,
            margin=risk.margins.by_venue[venue],
        )

    def _deep_cost(
        self, pair: PairRuntime, leg: int, side: Side, limit_e8: int, size_e8: int, now_mono_ns: int
    ) -> tuple[int, int]:
        """Average price of taking ``size_e8``, and what the book shows within the limit; or 0, 0."""
        instrument_id = pair.rules.instruments[leg].instrument_id
        market = self._prices.market(instrument_id, now_mono_ns, pair.max_age_ns)
        if not market.is_valid:
            return 0, 0
        levels = market.asks if side > 0 else market.bids
        visible_e8 = sum(level_e8 for price_e8, level_e8 in levels if (price_e8 - limit_e8) * side <= 0)
        return price_to_take_e8(market, side, size_e8), visible_e8

    def _refused(self, pair: PairRuntime, signal: Signal, refused: Refused) -> None:
        count = self._counters.count
        count("signals_refused_total")
        if refused.block is EntryBlock.SIGNAL_AGE:
            count("signals_expired_total")
        elif signal.kind == SignalKind.ENTER:
            # What refused it will mostly still stand at the next quote, a few milliseconds on.
            pair.refused_until_mono_ns = self._clock.mono_ns() + _REFUSAL_PAUSE_NS
        self._report(
            SignalRefused(
                pair=pair.rules.pair,
                signal_id=signal.signal_id,
                kind="ENTER" if signal.kind == SignalKind.ENTER else "EXIT",
                gate=refused.block.value,
                value=refused.value,
                limit=refused.limit,
            )
        )


def _enter(signal: Signal, at: At) -> Enter:
    return Enter(
        at=at,
        signal_id=signal.signal_id,
        direction=signal.direction,
        layer=signal.layer,
        size_e8=signal.size_e8,
        prices_e8=(signal.first_price_e8, signal.second_price_e8),
        spread_bps=signal.spread_bps,
    )
