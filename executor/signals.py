"""The detector's signals: taken from the queue, past the last gates, into the machine."""

from __future__ import annotations

import time

from executor.conductor import Conductor
from executor.desk import Desk, Pair
from executor.messages import At, Enter, Exit
from executor.pricing import limit_price_e8
from executor.risk import EntryCheck, EntryLeg, Gate, Refusal, refuse_entry
from executor.switches import Switches
from shm.queue import QueueReader
from shm.records import SIGNAL, Signal, SignalKind
from venues.contract import Side

_REFUSAL_PAUSE_NS = 500_000_000


class Signals:
    """Reads the signal queue. ``take_all`` is the beginning of the hot path."""

    def __init__(self, desk: Desk, conductor: Conductor, switches: Switches, queue: QueueReader) -> None:
        self._desk = desk
        self._conductor = conductor
        self._switches = switches
        self._queue = queue

    def has_more(self) -> bool:
        return self._queue.has_more()

    def take_all(self) -> None:
        while (body := self._queue.poll()) is not None:
            seen_mono_ns = time.monotonic_ns()
            # Given back before it is acted upon: after a crash a signal is lost, never taken twice.
            self._queue.commit()
            self._take(Signal(*SIGNAL.unpack(body)), seen_mono_ns)

    def close(self) -> None:
        self._queue.close()

    def _take(self, signal: Signal, seen_mono_ns: int) -> None:
        desk = self._desk
        desk.reports.count("signals_total")
        pair = desk.pairs[signal.pair_id]
        pair.last_signal_id = signal.signal_id
        at = desk.at(pair, with_depth=False)
        if signal.kind == SignalKind.EXIT:
            refusal = _refuse_expired(signal, at.now_mono_ns)
            event: Enter | Exit = Exit(at, signal.signal_id, "signal")
        else:
            pair.layer_sizes_e8[signal.layer] = signal.size_e8
            refusal = refuse_entry(self._entry_check(pair, signal, at), desk.settings.risk)
            event = _enter(signal, at)
        if refusal is not None:
            self._refused(pair, signal, refusal)
        else:
            if signal.kind == SignalKind.ENTER:
                desk.breaker.entry_left()
            self._conductor.obey(pair, event, signal, seen_mono_ns)
        self._conductor.publish(pair)  # the detector waits to see its signal consumed

    def _entry_check(self, pair: Pair, signal: Signal, at: At) -> EntryCheck:
        desk, rules = self._desk, pair.rules
        mids_e8 = [(item.bid_e8 + item.ask_e8) // 2 if item.is_valid else 0 for item in at.markets]
        sides = (Side(signal.direction), Side(-signal.direction))
        prices_e8 = (signal.first_price_e8, signal.second_price_e8)
        first, second = (
            EntryLeg(
                limit_price_e8=limit_price_e8(instrument, sides[leg], prices_e8[leg], rules.price_band_bps),
                size_e8=signal.size_e8,
                venue_notional_e8=desk.venue_notional_e8(instrument.venue),
                other_mid_e8=mids_e8[1 - leg],
                can_send=desk.gateways[instrument.venue].can_send,
            )
            for leg, instrument in enumerate(rules.instruments)
        )
        return EntryCheck(
            now_mono_ns=at.now_mono_ns,
            decided_mono_ns=signal.decided_mono_ns,
            expires_mono_ns=signal.expires_mono_ns,
            is_stopping=self._switches.is_stopping,
            is_paused=self._switches.is_paused,
            is_breaker_open=desk.breaker.is_open(at.now_mono_ns),
            failures=desk.breaker.failures,
            orders_last_minute=desk.rate.last_minute(at.now_mono_ns),
            result_today_e8=desk.result_today_e8(),
            legs=(first, second),
        )

    def _refused(self, pair: Pair, signal: Signal, refusal: Refusal) -> None:
        reports = self._desk.reports
        reports.count("signals_refused_total")
        if refusal.gate is Gate.SIGNAL_AGE:
            reports.count("signals_expired_total")
        elif signal.kind == SignalKind.ENTER:
            # What refused it will mostly still stand at the next quote, a few milliseconds on.
            pair.refused_until_mono_ns = time.monotonic_ns() + _REFUSAL_PAUSE_NS
        fields = {
            "pair": pair.rules.pair,
            "signal_id": signal.signal_id,
            "kind": SignalKind(signal.kind).name,
            "gate": refusal.gate,
            "value": refusal.value,
            "limit": refusal.limit,
        }
        reports.log("info", "signal_refused", fields)


def _refuse_expired(signal: Signal, now_mono_ns: int) -> Refusal | None:
    """The one gate of an exit: an old one was decided on prices that are gone, a new one follows."""
    if now_mono_ns <= signal.expires_mono_ns:
        return None
    decided_mono_ns = signal.decided_mono_ns
    return Refusal(
        Gate.SIGNAL_AGE,
        (now_mono_ns - decided_mono_ns) / 1e6,
        (signal.expires_mono_ns - decided_mono_ns) / 1e6,
    )


def _enter(signal: Signal, at: At) -> Enter:
    return Enter(
        at,
        signal.signal_id,
        signal.direction,
        signal.layer,
        signal.size_e8,
        (signal.first_price_e8, signal.second_price_e8),
        signal.spread_bps,
    )
