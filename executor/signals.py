"""The detector's signals: taken from the queue, past the last gates, into the machine."""

from __future__ import annotations

from events.decisions import SignalRefused
from executor.desk import Desk, Pair
from executor.engine import Engine
from executor.gateways.rate_limit import Urgency
from executor.orders.presigner import likely_signals
from executor.pair.messages import At, Enter, Exit
from executor.pair.pricing import price_to_take_e8
from executor.pair.state import Halt, entry_finds_pair_at_rest
from executor.risk.pre_trade import EntryCheck, EntryLeg, Refusal, RiskCheck, refuse_entry, refuse_old
from executor.risk.trading_state import TradingState
from shm.queue import QueueReader
from shm.records import SIGNAL, Signal, SignalKind
from venues.contract import E8, Side

_REFUSAL_PAUSE_NS = 500_000_000
_PPB = 1_000_000_000
_SIDES = {1: (Side.BUY, Side.SELL), -1: (Side.SELL, Side.BUY)}


class Signals:
    """Reads the signal queue. ``take_all`` is the beginning of the hot path."""

    def __init__(self, desk: Desk, engine: Engine, trading_state: TradingState, queue: QueueReader) -> None:
        self._desk = desk
        self._engine = engine
        self._trading_state = trading_state
        self._queue = queue

    def has_more(self) -> bool:
        return self._queue.has_more()

    def take_all(self) -> None:
        while (body := self._queue.poll()) is not None:
            seen_mono_ns = self._desk.clock.mono_ns()
            # Given back before it is acted upon: after a crash a signal is lost, never taken twice.
            self._queue.commit()
            self._take(Signal(*SIGNAL.unpack(body)), seen_mono_ns)

    def keep_warm(self, pair: Pair) -> None:
        """Ask everything about the next signal of a pair, as if it had come, and forget the answers.

        On a calm market the caches have lost the way by the time a signal comes: it takes several
        times as long then. See ``runtime.keep_warm_ms``.
        """
        for _, event in likely_signals(self._desk, pair):
            if type(event) is Enter:
                first_e8, second_e8 = event.prices_e8
                now = event.at.now_mono_ns
                signal = Signal(
                    signal_id=event.signal_id,
                    writer_epoch=0,
                    pair_id=pair.rules.pair_id,
                    kind=SignalKind.ENTER,
                    direction=event.direction,
                    layer=event.layer,
                    size_e8=event.size_e8,
                    first_price_e8=first_e8,
                    second_price_e8=second_e8,
                    spread_bps=0.0,
                    edge_bps=0.0,
                    recv_mono_ns=now,
                    publish_mono_ns=now,
                    seen_mono_ns=now,
                    decided_mono_ns=now,
                    expires_mono_ns=now,
                )
                refuse_entry(self._entry_check(pair, signal, event.at))
            self._engine.keep_warm(pair, event)

    def close(self) -> None:
        self._queue.close()

    def _take(self, signal: Signal, seen_mono_ns: int) -> None:
        desk = self._desk
        desk.reports.count("signals_total")
        pair = desk.pairs[signal.pair_id]
        pair.last_signal_id = signal.signal_id
        at = desk.at(pair, with_depth=False)
        if signal.kind == SignalKind.EXIT:
            refusal = refuse_old(at.now_mono_ns, signal.decided_mono_ns, signal.expires_mono_ns)
            event: Enter | Exit = Exit(at, signal.signal_id, "signal")
        else:
            # The detector goes by the lots of the start; a venue may take coarser ones by now.
            size_e8 = signal.size_e8 - signal.size_e8 % pair.rules.common_lot_e8
            signal = signal._replace(size_e8=size_e8 or signal.size_e8)
            pair.layer_sizes_e8[signal.layer] = signal.size_e8
            refusal = refuse_entry(self._entry_check(pair, signal, at)) or self._refuse_rate(pair, at)
            event = _enter(signal, at)
        if refusal is not None:
            self._refused(pair, signal, refusal)
        else:
            if signal.kind == SignalKind.ENTER:
                desk.breaker.entry_left()
            has_left = self._engine.obey(pair, event, signal, seen_mono_ns)
            if signal.kind == SignalKind.ENTER and not has_left:
                desk.breaker.undecided()  # the machine refused it: a half-open breaker may try another
        self._engine.publish(pair)  # the detector waits to see its signal consumed

    def _entry_check(self, pair: Pair, signal: Signal, at: At) -> EntryCheck:
        desk, trading_state, now_mono_ns = self._desk, self._trading_state, at.now_mono_ns
        state, base = pair.state, pair.rules.instruments[0].base
        first_side, second_side = _SIDES[signal.direction]
        return EntryCheck(
            pair.limits,
            now_mono_ns,
            signal.decided_mono_ns,
            signal.expires_mono_ns,
            trading_state.latch.is_pulled,
            trading_state.is_stopping,
            trading_state.is_paused,
            state.halt is Halt.NONE and entry_finds_pair_at_rest(state),
            desk.breaker.is_open(now_mono_ns),
            desk.breaker.failures,
            desk.rate.last_minute(now_mono_ns),
            desk.results.today_e8,
            desk.results.best_e8,
            abs(desk.exposure.net_e8[base]),
            signal.size_e8,
            self._entry_leg(pair, 0, first_side, signal.first_price_e8, signal.size_e8, at),
            self._entry_leg(pair, 1, second_side, signal.second_price_e8, signal.size_e8, at),
        )

    def _entry_leg(self, pair: Pair, leg: int, side: Side, seen_e8: int, size_e8: int, at: At) -> EntryLeg:
        desk, limits, venue = self._desk, pair.limits, pair.rules.instruments[leg].venue
        # Not rounded to the tick as the order's own limit will be: at most a tick further.
        limit_e8 = seen_e8 + seen_e8 * limits.band_ppb // _PPB * side
        market, other = at.markets[leg], at.markets[1 - leg]
        price_e8 = visible_e8 = 0
        if market.is_valid:
            price_e8, visible_e8 = (market.asks if side > 0 else market.bids)[0]
            if visible_e8 * _PPB < size_e8 * limits.liquidity_ppb:
                # Seldom: what lies behind the touch costs more to read than all the rest here.
                price_e8, visible_e8 = self._deep_cost(pair, leg, side, limit_e8, size_e8, at.now_mono_ns)
        return EntryLeg(
            size_e8 * limit_e8 // E8,
            desk.exposure.notional_e8[venue],
            limit_e8,
            seen_e8,
            price_e8,
            price_e8 - seen_e8 if side > 0 else seen_e8 - price_e8,
            visible_e8,
            (other.bid_e8 + other.ask_e8) // 2,
            desk.gateways[venue].can_send,
            desk.margins.by_venue[venue],
        )

    def _refuse_rate(self, pair: Pair, at: At) -> Refusal | None:
        """An entry leaves what mends and closes positions enough room in both venues' rate limits."""
        for instrument in pair.rules.instruments:
            budget = self._desk.gateways[instrument.venue].budget
            if not budget.has_room(Urgency.OPEN, at.now_mono_ns):
                return Refusal(RiskCheck.RATE_BUDGET, budget.room_to_open(at.now_mono_ns), 1)
        return None

    def _deep_cost(
        self, pair: Pair, leg: int, side: Side, limit_e8: int, size_e8: int, now_mono_ns: int
    ) -> tuple[int, int]:
        """Average price of taking ``size_e8``, and what the book shows within the limit; or 0, 0."""
        instrument_id = pair.rules.instruments[leg].instrument_id
        market = self._desk.prices.market(instrument_id, now_mono_ns, pair.max_age_ns)
        if not market.is_valid:
            return 0, 0
        levels = market.asks if side > 0 else market.bids
        visible_e8 = sum(level_e8 for price_e8, level_e8 in levels if (price_e8 - limit_e8) * side <= 0)
        return price_to_take_e8(market, side, size_e8), visible_e8

    def _refused(self, pair: Pair, signal: Signal, refusal: Refusal) -> None:
        reports = self._desk.reports
        reports.count("signals_refused_total")
        if refusal.gate is RiskCheck.SIGNAL_AGE:
            reports.count("signals_expired_total")
        elif signal.kind == SignalKind.ENTER:
            # What refused it will mostly still stand at the next quote, a few milliseconds on.
            pair.refused_until_mono_ns = self._desk.clock.mono_ns() + _REFUSAL_PAUSE_NS
        reports.report(
            SignalRefused(
                pair=pair.rules.pair,
                signal_id=signal.signal_id,
                kind="ENTER" if signal.kind == SignalKind.ENTER else "EXIT",
                gate=refusal.gate.value,
                value=refusal.value,
                limit=refusal.limit,
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
