"""Measures a decision: the executor's risk checks before the wire, and the detector's evaluation of a quote.

Real shared memory, settings and rules; no process, no socket. Warm caches: a process that slept before
pays more, which ``wire_to_wire`` measures.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from benchmarks.measure import Timing, percentiles, print_table, time_calls, write_results
from detector.agent import Detector
from detector.rules import rules_for
from executor.gateways.contract import OrderGateway
from executor.gateways.rate_limit import RateBudget
from executor.market import Prices
from executor.operator.resolve import resolve_pair
from executor.pair.state import new_state
from executor.pairs import PairRuntime, Pairs
from executor.risk.book import Risk
from executor.risk.circuit_breaker import Breaker
from executor.risk.daily_pnl import Results
from executor.risk.exposure import Exposure
from executor.risk.margin import Margins, margin_of
from executor.risk.order_rate import OrderRate
from executor.risk.pre_trade import Approved, check
from executor.risk.trading_state import Conditions, TradingState
from executor.signals import Signals
from observability.logs import Reporter
from runtime.bootstrap import Stop
from runtime.clock import SystemClock
from runtime.kill_switch import KillSwitch
from runtime.operator_orders import StandingOrders
from settings import PROJECT, Settings, load_raw, parse_settings
from shm.counter_names import (
    DETECTOR_HISTOGRAMS,
    FEED_COUNTERS,
    FEED_HISTOGRAMS,
    PERSISTENCE_COUNTERS,
    SUPERVISOR_COUNTERS,
    detector_counters,
)
from shm.layout import Memory, MemoryPlan
from shm.records import (
    QUOTE,
    DepthBook,
    PairPhase,
    PairView,
    Quote,
    QuoteFlags,
    Signal,
    SignalKind,
    pack_depth,
)
from venues.contract import E8, Account, Instrument

ROUNDS = 50_000
BID_E8, ASK_E8 = 50_000 * E8, 50_001 * E8
FOR_EVER_NS = 10**18


def main() -> None:
    settings = parse_settings(load_raw(PROJECT / "config.yaml"), "config.yaml")
    instruments = tuple(
        Instrument(
            number,
            leg.venue,
            leg.symbol,
            leg.symbol[:3],
            E8 // 10,
            E8 // 1000,
            E8 // 1000,
            0,
            0,
            1,
            3,
            1.0,
            True,
        )
        for number, leg in enumerate(settings.legs)
    )
    with _memory(settings) as memory:
        timings = _net(
            [_empty(), *_gates(settings, instruments, memory), *_evaluations(settings, instruments, memory)]
        )
    print_table("a decision, warm", timings, unit_ns=1_000, unit="µs")
    write_results("decisions", {"timings_ns": [timing._asdict() for timing in timings]})


def _empty() -> Timing:
    return percentiles("an empty call", time_calls(lambda: None, ROUNDS))


def _net(timings: list[Timing]) -> list[Timing]:
    """Everything less what an empty call takes by the same clock."""
    empty_ns = timings[0].p50_ns
    return [
        timing._replace(p50_ns=timing.p50_ns - empty_ns, p99_ns=timing.p99_ns - empty_ns)
        for timing in timings[1:]
    ]


@contextmanager
def _memory(settings: Settings) -> Iterator[Memory]:
    directory = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="bench-decisions-"))
    plan = MemoryPlan(
        venues=settings.venue_names,
        instrument_count=len(settings.legs),
        pair_count=len(settings.pairs),
        ring_cells=4_096,
        signal_queue_bytes=1 << 14,
        event_queue_bytes=1 << 16,
        event_sources=(),
    )
    try:
        tables: dict[str, tuple[list[str], list[str]]] = {
            "supervisor": (list(SUPERVISOR_COUNTERS), []),
            "persistence": (list(PERSISTENCE_COUNTERS), []),
            "detector": (
                list(detector_counters(pair.id for pair in settings.pairs)),
                list(DETECTOR_HISTOGRAMS),
            ),
            **{
                f"feed-{venue}": (list(FEED_COUNTERS), list(FEED_HISTOGRAMS))
                for venue in settings.venue_names
            },
        }
        Memory.create(directory / "memory", plan, tables)
        memory = Memory(directory / "memory")
        for venue in settings.venue_names:
            _quote_all(memory, settings, venue)
        yield memory
    finally:
        shutil.rmtree(directory)


def _quote_all(memory: Memory, settings: Settings, venue: str) -> None:
    now = time.monotonic_ns()
    tops, depths = memory.tops(venue, writer=True), memory.depth(venue, writer=True)
    levels = (
        [(BID_E8 - number * E8, E8) for number in range(15)],
        [(ASK_E8 + number * E8, E8) for number in range(15)],
    )
    for number in settings.instrument_ids(venue).values():
        tops.write(number, Quote(number, BID_E8, ASK_E8, E8, E8, 0, now, now, 0, int(QuoteFlags.VALID), 1))
        depths.write(number, pack_depth(DepthBook(*levels, now, 0, True)))


def _gates(settings: Settings, instruments: tuple[Instrument, ...], memory: Memory) -> list[Timing]:
    """From a signal in hand to the answer of the last gate before the wire."""
    resolved = [resolve_pair(settings, instruments, number) for number in range(len(settings.pairs))]
    # The quotes stand as long as the measurement takes.
    pairs = Pairs(
        [
            PairRuntime(**item._replace(max_age_ns=FOR_EVER_NS)._asdict(), state=new_state(item.rules, 1))
            for item in resolved
        ]
    )
    risk = _risk(settings, pairs)
    latch = KillSwitch(PROJECT / "no-such-file", memory.latch())
    supervisor, persistence = memory.counters("supervisor"), memory.counters("persistence")
    trading_state = TradingState(
        supervisor=supervisor,
        persistence=persistence,
        latch=latch,
        orders=StandingOrders(settings),
        stop=Stop(),
        breaker=risk.breaker,
        results=risk.results,
        risk=settings.risk,
    )
    trading_state.look(Conditions(margin_age_s=0.0), time.monotonic_ns())
    clock, nobody = SystemClock(), cast(Any, None)
    prices = Prices(memory, instruments, clock)
    ready = cast(OrderGateway, SimpleNamespace(can_send=True, budget=RateBudget([])))
    signals = Signals(
        pairs=pairs,
        engine=nobody,
        risk=risk,
        trading_state=trading_state,
        prices=prices,
        gateways=dict.fromkeys(settings.venue_names, ready),
        queue=nobody,
        counters=nobody,
        report=nobody,
        clock=clock,
    )
    pair, now = pairs[0], time.monotonic_ns()
    times = now, now, now, now, now + FOR_EVER_NS
    signal = Signal(1, 1, 0, SignalKind.ENTER, 1, 0, E8 // 100, ASK_E8, BID_E8, 2.0, 1.0, *times)
    at = prices.at(pair, with_depth=False)
    entry = signals._entry(pair, signal, at)
    assert isinstance(check(entry, pair.limits, trading_state), Approved), (
        "the ordinary case is the one that passes"
    )

    def all_of_it() -> None:
        now_at = prices.at(pair, with_depth=False)
        check(signals._entry(pair, signal, now_at), pair.limits, trading_state)

    steps: list[tuple[str, Callable[[], object]]] = [
        ("both touches from memory", lambda: prices.at(pair, with_depth=False)),
        ("what the gates look at, gathered", lambda: signals._entry(pair, signal, at)),
        ("all gates asked", lambda: check(entry, pair.limits, trading_state)),
        ("entry: touches, gathering, gates", all_of_it),
    ]
    return [percentiles(name, time_calls(step, ROUNDS)) for name, step in steps]


def _risk(settings: Settings, pairs: Pairs) -> Risk:
    """Of pairs that hold nothing, on accounts that are rich."""
    clock = SystemClock()
    margins = Margins(settings.venue_names, cast(Any, None), clock)
    rich = margin_of(Account(10**6 * E8, 10**6 * E8, 0), [], time.monotonic_ns() + FOR_EVER_NS)
    margins.by_venue = dict.fromkeys(settings.venue_names, rich)
    return Risk(
        breaker=Breaker(settings.risk),
        exposure=Exposure([(pair.rules, pair.state) for pair in pairs]),
        results=Results([pair.result for pair in pairs], clock),
        margins=margins,
        rate=OrderRate(),
    )


def _evaluations(settings: Settings, instruments: tuple[Instrument, ...], memory: Memory) -> list[Timing]:
    """From a quote in hand to what the detector makes of it, in both directions."""
    venues = settings.venue_names
    rings = {venue: memory.quotes_writer(venue) for venue in venues}
    feeds = {venue: memory.counters(f"feed-{venue}", writer=True) for venue in venues}
    counters = memory.counters("detector", writer=True)
    for feed in feeds.values():
        feed.set(feed.index("connected"), 1)
        feed.set(feed.index("heartbeat_mono_ns"), time.monotonic_ns() + FOR_EVER_NS)
    memory.pairs(writer=True).write(0, PairView(0, PairPhase.FLAT, 0, 0, 0, 0, 1, 0.0, 0, 0, 0, 0, 0))
    rules = [
        # The other leg's quote stands as long as the measurement takes.
        replace(
            rules_for(settings, number, instruments),
            quote_age_ns_max=FOR_EVER_NS,
            leg_skew_ns_max=FOR_EVER_NS,
        )
        for number in range(len(settings.pairs))
    ]
    log = Reporter("detector", run_id="bench", level=None)
    detector = Detector(memory, counters, settings, rules, log, epoch=1)
    signals = memory.signals_reader()
    first, second = instruments[0], instruments[1]
    detector.do_work(time.monotonic_ns())

    def publish(instrument: Instrument, bid_e8: int, ask_e8: int) -> None:
        now = time.monotonic_ns()
        quote = Quote(
            instrument.instrument_id, bid_e8, ask_e8, E8, E8, 0, now, now, 0, int(QuoteFlags.VALID), 1
        )
        rings[instrument.venue].publish(QUOTE.pack(*quote))

    def transition() -> None:
        detector.do_work(0)

    def calm() -> None:
        publish(first, BID_E8, ASK_E8)

    def wide() -> None:
        """A gap that pays, and nothing under way: the quote that becomes a signal."""
        for pair in detector._pairs:
            pair.pending = None
        detector._unreported.clear()
        while signals.poll() is not None:
            signals.commit()
        publish(first, BID_E8 - 100 * E8, ASK_E8 - 100 * E8)

    publish(second, BID_E8, ASK_E8)
    detector.do_work(0)
    calm()
    refused = percentiles("a quote that is refused, both directions", time_calls(transition, ROUNDS, calm))
    wide()
    before = counters.snapshot()["signals.btc"]
    signalled = percentiles("a quote that becomes a signal", time_calls(transition, ROUNDS, wide))
    assert counters.snapshot()["signals.btc"] - before >= ROUNDS
    decided = counters.histogram("seen_to_decided")
    inner = Timing(
        "of which seen to decided", decided.percentile_ns(50), decided.percentile_ns(99), decided.count
    )
    return [refused, signalled, inner]


if __name__ == "__main__":
    main()
