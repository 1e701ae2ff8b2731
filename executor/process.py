"""The executor process: signals in, machines stepped, both venues spoken to, everything told.

One thread, one event loop. Signals arrive through shared memory: the detector rings the bell when
the loop sleeps, and a timer bounds a lost ring. Nothing here blocks, and nothing is awaited between
a signal and its orders' bytes.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from typing import Any

import uvloop

import launch
from executor import accounts
from executor.conductor import Conductor, Pair
from executor.gateway import LoginRefused
from executor.journal import Journal
from executor.messages import Enter, EntriesAllowed, EntriesStopped, Exit, LegMarket, Restarted
from executor.open_orders import OpenOrders
from executor.plans import has_live_order
from executor.prices import Prices
from executor.pricing import limit_price_e8
from executor.risk import Breaker, EntryCheck, EntryLeg, Gate, Refusal, refuse_entry
from executor.rules import rules_of
from executor.shutdown import shut_down
from executor.stages import Ledger
from executor.state import load, new_state
from executor.templates import Armoury
from shm.agent import quiet_garbage_collector
from shm.counters import CounterTable
from shm.records import SIGNAL, PairPhase, Signal, SignalKind
from venues.contract import E8, Side

HOUSEKEEPING_S = 0.05
PARK_S = 0.01  # bounds a lost wake-up
ARM_PAUSE_S = 0.002  # between looks for a template to renew; one is made per look
PUBLISH_S = 1.0
COLLECT_S = 30.0
LATENCY_S = 60.0


def main(argv: list[str] | None = None) -> None:
    process = launch.start("executor", argv)
    if process.settings.mode == "paper":
        launch.refuse("executor: mode paper comes with a later release; use mode sim or live")
    try:
        uvloop.run(Executor(process).run())
    except LoginRefused as error:
        launch.refuse(f"executor: {error}")


class Executor:
    """Wires the conductor to memory, venues and time."""

    def __init__(self, process: launch.Launch) -> None:
        self._process = process
        self._settings = process.settings
        self._stop = process.stop
        self._signals = process.memory.signals_reader()
        self._bell = process.memory.doorbell("executor")
        self._supervisor: CounterTable = process.memory.counters("supervisor")
        self._is_stopping_word = self._supervisor.index("stopping")
        self._is_paused_word = self._supervisor.index("entries_paused")
        self._prices = Prices(process.memory, process.instruments)
        self._journal = Journal(process.memory.machines(writer=True))
        self._breaker = Breaker(self._settings.risk)
        self._ledger = Ledger(process.counters)
        self._was_restored = [
            self._journal.read(number) is not None for number in range(len(self._settings.pairs))
        ]
        pairs = [self._make_pair(number) for number in range(len(self._settings.pairs))]
        self._conductor = Conductor(process, pairs, self._prices, self._journal, self._ledger, self._breaker)
        self._open_orders = OpenOrders(self._conductor, process.instruments, process.epoch)
        self._swept_s = dict.fromkeys(self._settings.venue_names, 0.0)
        self._published_s = self._collected_s = self._latency_told_s = time.monotonic()
        self._armed_next = 0
        self._is_closing = False
        self._was_told_to_stop = asyncio.Event()
        self._crash: asyncio.Future[None] | None = None

    def _make_pair(self, number: int) -> Pair:
        settings = self._settings
        configured, execution = settings.pairs[number], settings.execution
        rules = rules_of(settings, self._process.instruments, number)
        entry = self._journal.read(number)
        whole_e8 = configured.size_base_e8 - configured.size_base_e8 % rules.common_lot_e8
        return Pair(
            rules=rules,
            state=load(entry.state) if entry else new_state(rules, self._process.epoch),
            armoury=Armoury(band_bps=execution.price_band_bps, rearm_bps=execution.rearm_bps),
            max_age_ns=int(configured.strategy.max_quote_age_ms * 1e6),
            # With several layers the detector's first signals tell their sizes.
            layer_sizes_e8={0: whole_e8} if configured.strategy.layers == 1 else {},
            result_day=entry.day if entry else 0,
            result_e8=entry.result_e8 if entry else 0,
        )

    # --- life ---

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        crash = self._crash = loop.create_future()
        loop.set_exception_handler(self._crashed)
        conductor = self._conductor
        may_give_up = not any(self._was_restored)
        for venue in self._settings.venue_names:
            conductor.gateways[venue] = accounts.connect(
                self._process, venue, conductor, may_give_up=may_give_up
            )
        for pair, was_restored in zip(conductor.pairs, self._was_restored, strict=True):
            if was_restored:
                conductor.feed(pair, Restarted(conductor.at(pair), self._process.epoch))
            else:
                conductor.tick(pair)
        lives = [asyncio.create_task(gateway.run()) for gateway in conductor.gateways.values()]
        waiting = self._settings.idle_strategy("executor")
        conductor.log(
            "info",
            "process_started",
            {
                "idle": waiting,
                "pairs": [pair.rules.pair for pair in conductor.pairs],
                "restored": [
                    pair.rules.pair
                    for pair, was_restored in zip(conductor.pairs, self._was_restored, strict=True)
                    if was_restored
                ],
                "http_connections": self._settings.execution.http_connections,
            },
        )
        quiet_garbage_collector()
        self._listen(waiting)
        self._keep_house()
        self._keep_armed()
        ending = asyncio.create_task(self._until_stopped())
        try:
            await asyncio.wait({*lives, ending, crash}, return_when=asyncio.FIRST_COMPLETED)
            self._is_closing = True
            for task in (crash, *lives, ending):
                if task.done():
                    task.result()
        finally:
            self._is_closing = True
            for life in (*lives, ending):
                life.cancel()
            await asyncio.gather(*lives, ending, return_exceptions=True)
            self._close()
        self._process.log.info("process_stopped")

    async def _until_stopped(self) -> None:
        await self._was_told_to_stop.wait()
        await shut_down(self._conductor, self._open_orders, self._settings.runtime, self._stop)

    def _crashed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An error of our own in a callback ends the process; the supervisor starts a clean one."""
        error = context.get("exception") or RuntimeError(context["message"])
        if self._crash is not None and not self._crash.done():
            self._crash.set_exception(error)

    def _close(self) -> None:
        conductor = self._conductor
        conductor.log("info", "latency", {"stages_us": self._ledger.percentiles_us()})
        conductor.close()
        self._signals.close()
        self._prices.close()
        self._journal.close()
        self._supervisor.close()

    # --- signals ---

    def _listen(self, waiting: str) -> None:
        loop = asyncio.get_running_loop()
        if waiting == "park":
            if self._bell.fd >= 0:
                loop.add_reader(self._bell.fd, self._rung)
            self._take_signals_and_sleep()
        else:
            self._poll(yields=waiting == "yield")

    def _rung(self) -> None:
        self._bell.drain()
        self._take_signals()
        self._announce()

    def _take_signals_and_sleep(self) -> None:
        if self._is_closing:
            return
        self._take_signals()
        self._announce()
        asyncio.get_running_loop().call_later(PARK_S, self._take_signals_and_sleep)

    def _announce(self) -> None:
        """Ask to be rung, then look once more: a signal may have come in between."""
        self._bell.announce_sleep()
        while self._signals.has_more() and not self._is_closing:
            self._take_signals()
            self._bell.announce_sleep()

    def _poll(self, *, yields: bool) -> None:
        if self._is_closing:
            return
        self._take_signals()
        if yields:
            os.sched_yield()
        asyncio.get_running_loop().call_soon(lambda: self._poll(yields=yields))

    def _take_signals(self) -> None:
        while (body := self._signals.poll()) is not None:
            seen_mono_ns = time.monotonic_ns()
            # Given back before it is acted upon: after a crash a signal is lost, never taken twice.
            self._signals.commit()
            self._take(Signal(*SIGNAL.unpack(body)), seen_mono_ns)

    def _take(self, signal: Signal, seen_mono_ns: int) -> None:
        conductor = self._conductor
        conductor.count("signals_total")
        pair = conductor.pairs[signal.pair_id]
        pair.last_signal_id = signal.signal_id
        at = conductor.at(pair, with_depth=False)
        # The machine wants ids that grow across the detector's lives.
        signal_id = signal.writer_epoch << 24 | signal.signal_id
        if signal.kind == SignalKind.EXIT:
            refusal = self._refuse_expired(signal, at.now_mono_ns)
            if refusal is None:
                conductor.obey(pair, Exit(at, signal_id, "signal"), signal, seen_mono_ns)
        else:
            pair.layer_sizes_e8[signal.layer] = signal.size_e8
            refusal = refuse_entry(
                self._entry_check(pair, signal, at.now_mono_ns, at.markets), self._settings.risk
            )
            if refusal is None:
                self._breaker.entry_left()
                prices_e8 = (signal.first_price_e8, signal.second_price_e8)
                entry = Enter(
                    at,
                    signal_id,
                    signal.direction,
                    signal.layer,
                    signal.size_e8,
                    prices_e8,
                    signal.spread_bps,
                )
                conductor.obey(pair, entry, signal, seen_mono_ns)
        if refusal is not None:
            self._refused(pair, signal, refusal)
        conductor.publish(pair, time.monotonic_ns())

    def _refused(self, pair: Pair, signal: Signal, refusal: Refusal) -> None:
        conductor = self._conductor
        conductor.count("signals_refused_total")
        if refusal.gate is Gate.SIGNAL_AGE:
            conductor.count("signals_expired_total")
        conductor.log(
            "info",
            "signal_refused",
            {
                "pair": pair.rules.pair,
                "signal_id": signal.signal_id,
                "kind": SignalKind(signal.kind).name,
                "gate": refusal.gate,
                "value": refusal.value,
                "limit": refusal.limit,
            },
        )

    def _refuse_expired(self, signal: Signal, now_mono_ns: int) -> Refusal | None:
        """The one gate of an exit: an old one was decided on prices that are gone, a new one follows."""
        if now_mono_ns <= signal.expires_mono_ns:
            return None
        decided = signal.decided_mono_ns
        return Refusal(
            Gate.SIGNAL_AGE, (now_mono_ns - decided) / 1e6, (signal.expires_mono_ns - decided) / 1e6
        )

    def _entry_check(
        self, pair: Pair, signal: Signal, now_mono_ns: int, markets: tuple[LegMarket, LegMarket]
    ) -> EntryCheck:
        conductor, rules = self._conductor, pair.rules
        mids_e8 = [(item.bid_e8 + item.ask_e8) // 2 if item.is_valid else 0 for item in markets]
        sides = (Side(signal.direction), Side(-signal.direction))
        prices_e8 = (signal.first_price_e8, signal.second_price_e8)
        legs = [
            EntryLeg(
                limit_price_e8=limit_price_e8(instrument, sides[leg], prices_e8[leg], rules.price_band_bps),
                size_e8=signal.size_e8,
                venue_notional_e8=self._venue_notional_e8(instrument.venue),
                other_mid_e8=mids_e8[1 - leg],
                can_send=conductor.gateways[instrument.venue].can_send,
            )
            for leg, instrument in enumerate(rules.instruments)
        ]
        return EntryCheck(
            now_mono_ns=now_mono_ns,
            decided_mono_ns=signal.decided_mono_ns,
            expires_mono_ns=signal.expires_mono_ns,
            is_stopping=self._is_stopping(),
            is_paused=self._supervisor.get(self._is_paused_word) != 0,
            is_breaker_open=self._breaker.is_open(now_mono_ns),
            failures=self._breaker.failures,
            orders_last_minute=conductor.rate.last_minute(now_mono_ns),
            result_today_e8=conductor.result_today_e8(),
            legs=(legs[0], legs[1]),
        )

    def _venue_notional_e8(self, venue: str) -> int:
        """Absolute positions on a venue at the last prices the machines saw."""
        return sum(
            abs(leg.held_e8) * (leg.bid_e8 or leg.ask_e8) // E8
            for pair in self._conductor.pairs
            for leg, instrument in zip(pair.state.legs, pair.rules.instruments, strict=True)
            if instrument.venue == venue
        )

    # --- chores ---

    def _is_stopping(self) -> bool:
        return self._stop.is_set() or self._supervisor.get(self._is_stopping_word) != 0

    def _keep_house(self) -> None:
        if self._is_closing:
            return
        conductor, now_s = self._conductor, time.monotonic()
        if self._stop.is_set():
            self._was_told_to_stop.set()
        conductor.set_counter("heartbeat_mono_ns", time.monotonic_ns())
        conductor.set_counter("orders_in_doubt", conductor.orders_in_doubt())
        conductor.set_counter("ready", int(self._is_ready()))
        if self._process.events is not None:
            conductor.set_counter("events_refused_total", self._process.events.refused)
        self._follow_gates()
        self._sweep_when_due(now_s)
        if now_s - self._published_s >= PUBLISH_S:
            self._published_s = now_s
            for pair in conductor.pairs:
                conductor.publish(pair, time.monotonic_ns())
        if now_s - self._latency_told_s >= LATENCY_S:
            self._latency_told_s = now_s
            conductor.log("info", "latency", {"stages_us": self._ledger.percentiles_us()})
        if now_s - self._collected_s >= COLLECT_S and not any(
            has_live_order(pair.state) for pair in conductor.pairs
        ):
            self._collected_s = now_s
            gc.collect()
        asyncio.get_running_loop().call_later(HOUSEKEEPING_S, self._keep_house)

    def _is_ready(self) -> bool:
        return all(gateway.is_up for gateway in self._conductor.gateways.values()) and all(
            pair.state.phase is not PairPhase.UNKNOWN and all(leg.is_verified for leg in pair.state.legs)
            for pair in self._conductor.pairs
        )

    def _follow_gates(self) -> None:
        """Tell machines and detector when an instance-wide reason not to enter comes or goes."""
        reason = self._why_no_entries()
        for pair in self._conductor.pairs:
            if pair.entries_stopped == reason:
                continue
            pair.entries_stopped = reason
            at = self._conductor.at(pair)
            self._conductor.feed(pair, EntriesStopped(at, reason) if reason else EntriesAllowed(at))
            self._conductor.publish(pair, at.now_mono_ns)

    def _why_no_entries(self) -> str:
        risk = self._settings.risk
        if self._is_stopping():
            return "stopping"
        if self._supervisor.get(self._is_paused_word):
            return "paused"
        if any(self._open_orders.foreign.values()):
            return "open orders of others"
        if self._breaker.is_open(time.monotonic_ns()):
            return "breaker"
        if -self._conductor.result_today_e8() >= risk.max_daily_loss_quote_e8:
            return "daily loss"
        return ""

    def _sweep_when_due(self, now_s: float) -> None:
        """Look at a venue's open orders once it is up, after each reconnect, and on the timer."""
        for venue, gateway in self._conductor.gateways.items():
            if not gateway.is_up:
                self._swept_s[venue] = 0.0
            elif now_s - self._swept_s[venue] >= self._settings.execution.reconcile_interval_s:
                self._swept_s[venue] = now_s
                self._conductor.start(self._open_orders.sweep(venue))

    def _keep_armed(self) -> None:
        """Renew at most one template per look, and none while a signal waits."""
        if self._is_closing:
            return
        pairs = self._conductor.pairs
        if not self._signals.has_more():
            self._armed_next = (self._armed_next + 1) % len(pairs)
            self._conductor.arm_one(pairs[self._armed_next])
        asyncio.get_running_loop().call_later(ARM_PAUSE_S, self._keep_armed)
