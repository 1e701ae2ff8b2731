"""The detector's role: take quotes from the rings, decide, push signals, wake the executor.

It opens no socket, writes to no descriptor but the executor's doorbell, and opens no file but the
settings when they were reloaded. It reports events when no quote is waiting: one costs more than a decision.
"""

from __future__ import annotations

import gc
import time
from collections import deque
from collections.abc import Callable, Sequence

from detector.converting import strategy_for
from detector.expected_funding import expected_funding_bps
from detector.expected_slippage import expected_slippage_bps
from detector.gap import Gap
from detector.gates import NO_FEED, NO_QUOTE, FeedStatus, Pending, Refusal, quote_valid
from detector.maintenance import WeeklySpan, seconds_left, weekly_spans
from detector.rules import Rules, instruments_of, rules_for
from detector.spreads import entry_spread_bps
from detector.strategy import Market, Opportunity, PairStrategy
from events.decisions import LastRefusal, QuotesOvertaken, Refusals, SignalDecided
from observability.logs import Reporter
from runtime.bootstrap import SettingsWatch
from settings import Settings
from shm.broadcast import BroadcastReader
from shm.counters import CounterTable
from shm.entry_block import GATES
from shm.layout import Memory
from shm.records import QUOTE, SIGNAL, DepthBook, PairView, Quote, Signal, SignalKind, unpack_depth
from venues.contract import E8, Instrument

REPORT_INTERVAL_NS = 10_000_000_000
_CLOCK_INTERVAL_NS = 1_000_000_000  # maintenance windows are given in minutes
_COLLECT_INTERVAL_NS = 60_000_000_000
# Quotes taken from one ring before the others get their turn: a burst on one venue must not hide
# what comes from the other venue.
_QUOTES_PER_TURN = 64
_SIGNAL_ID_BITS = 32  # signals of one epoch; the epoch stands above them


class Feed:
    """One venue as the detector sees it: its ring, its process's status, its books."""

    def __init__(self, memory: Memory, venue: str, spans: tuple[WeeklySpan, ...]) -> None:
        self.venue = venue
        self.ring: BroadcastReader = memory.quotes_reader(venue, readonly=True)
        self.tops = memory.tops(venue)
        self.depth = memory.depth(venue)
        self.spans = spans
        self.status = FeedStatus(is_connected=False, beat_mono_ns=0)
        self.maintenance_left_s = 0
        self.overtaken_seen = 0
        self.overtaken_unreported = 0
        self.counters = memory.counters(f"feed-{venue}")
        self.connected = self.counters.index("connected")
        self.beat = self.counters.index("heartbeat_mono_ns")

    def read_status(self) -> None:
        """Read the status from the feed's counters."""
        counters = self.counters
        self.status = FeedStatus(counters.get(self.connected) == 1, counters.get(self.beat))

    def close(self) -> None:
        """Let go of the venue's memory."""
        self.ring.close()
        self.tops.close()
        self.depth.close()
        self.counters.close()


class Pair:
    """One pair's strategy with its counters, its view and what awaits the executor."""

    def __init__(self, strategy: PairStrategy, feeds: tuple[Feed, Feed], counters: CounterTable) -> None:
        rules = self.rules = strategy.rules
        self.strategy = strategy
        self.shadow = strategy_for(rules)  # decides for no purpose, see ``keep_warm``
        self.first_feed, self.second_feed = feeds
        self.view: PairView | None = None
        self.view_sequence = -1
        self.pending: Pending | None = None
        self.last_refusal: Refusal | None = None
        name = rules.name
        self.gap = Gap(counters, name)
        self.evaluations = counters.index(f"evaluations.{name}")
        self.signals = counters.index(f"signals.{name}")
        self.quote_rate = counters.index(f"quote_rate_e8.{name}")
        self.gates = {gate: counters.index(f"gate.{name}.{gate}") for gate in GATES}
        self.reported: dict[int, int] = {}

    def take_up(self, rules: Rules) -> None:
        """Decide by other rules from the next quote on."""
        self.rules = self.strategy.rules = rules
        self.strategy.start_over()
        self.shadow = strategy_for(rules)


class Detector:
    """The agent. ``run_agent`` drives it; every method is called from that one thread."""

    def __init__(
        self,
        memory: Memory,
        counters: CounterTable,
        settings: Settings,
        rules: Sequence[Rules],
        reporter: Reporter,
        *,
        epoch: int,
        clock_mono_ns: Callable[[], int] = time.monotonic_ns,
        clock_unix_s: Callable[[], float] = time.time,
        make_strategy: Callable[[Rules], PairStrategy] = strategy_for,
        watch: SettingsWatch | None = None,
    ) -> None:
        self._counters = counters
        self._reporter = reporter
        self._watch = watch
        self._epoch = epoch
        self._clock_mono_ns = clock_mono_ns
        self._clock_unix_s = clock_unix_s
        self._feeds = {
            venue: Feed(memory, venue, weekly_spans(settings.venue(venue).maintenance))
            for venue in sorted({leg.venue for rule in rules for leg in (rule.first, rule.second)})
        }
        self._rates = {rule.quote_rate for rule in rules if rule.quote_rate is not None}
        self._views = memory.pairs()
        self._learned = memory.slippage()
        self._funding = memory.funding()
        self._signals = memory.signals_writer()
        self._executor_bell = memory.doorbell("executor")
        self._instruments = instruments_of(rules)
        self._quotes = [NO_QUOTE] * memory.plan.instrument_count
        self._pairs_by_instrument: list[Pair | None] = [None] * memory.plan.instrument_count
        self._pairs = []
        for rule in rules:
            feeds = (self._feeds[rule.first.venue], self._feeds[rule.second.venue])
            pair = Pair(make_strategy(rule), feeds, counters)
            self._pairs.append(pair)
            # Settings promise that no instrument is a leg of two pairs.
            self._pairs_by_instrument[rule.first.instrument_id] = pair
            self._pairs_by_instrument[rule.second.instrument_id] = pair
        self._quotes_total = counters.index("quotes_total")
        self._overtaken_total = counters.index("overtaken_total")
        self._signals_refused = counters.index("signals_refused_total")
        self._publish_to_seen = counters.histogram("publish_to_seen")
        self._seen_to_decided = counters.histogram("seen_to_decided")
        self._keeps_warm = settings.runtime.keep_warm_ms > 0
        self._warm_next = 0
        self._signal_count = 0
        self._unreported: deque[tuple[Rules, Signal]] = deque()  # with the rules that decided
        self._next_clock_ns = self._next_report_ns = self._next_collect_ns = 0
        for feed in self._feeds.values():
            self._read_latest(feed)

    # --- Agent ---

    def do_work(self, now_mono_ns: int) -> int:
        """Decide on what has arrived; return how many quotes that was."""
        if now_mono_ns >= self._next_clock_ns:
            self._read_clock(now_mono_ns)
        done = 0
        for feed in self._feeds.values():
            if feed.ring.has_more():
                done += self._drain(feed)
        return done

    def has_work(self) -> bool:
        """Whether a quote is waiting."""
        return any(feed.ring.has_more() for feed in self._feeds.values())

    def on_idle(self, now_mono_ns: int) -> None:
        """Do what can wait for the end of a burst: reports, settings, garbage."""
        self._report_events()
        self._take_up_settings()
        if self._keeps_warm:
            self.keep_warm(now_mono_ns)
        if now_mono_ns >= self._next_report_ns:
            if self._next_report_ns:
                self._report()
            self._next_report_ns = now_mono_ns + REPORT_INTERVAL_NS
        if now_mono_ns >= self._next_collect_ns:
            # The collector is off; what log lines leave behind is collected by hand.
            gc.collect()
            self._next_collect_ns = now_mono_ns + _COLLECT_INTERVAL_NS

    def keep_warm(self, now_mono_ns: int) -> None:
        """Decide one pair on what is known already, and forget it: the code and data of a decision stay
        in the caches, which a calm market leaves time to lose."""
        self._warm_next = (self._warm_next + 1) % len(self._pairs)
        pair = self._pairs[self._warm_next]
        pair.shadow.on_quote(self._market(pair, now_mono_ns))

    def on_close(self) -> None:
        """Report what is left and let go of the memory."""
        self._report_events()
        self._report()
        for feed in self._feeds.values():
            feed.close()
        self._views.close()
        self._learned.close()
        self._funding.close()
        self._signals.close()
        if self._watch is not None:
            self._watch.close()

    # --- the hot path ---

    def _drain(self, feed: Feed) -> int:
        for feed_ in self._feeds.values():
            feed_.read_status()
        ring = feed.ring
        for taken in range(_QUOTES_PER_TURN):
            body = ring.poll()
            if body is None:
                return taken
            seen_mono_ns = self._clock_mono_ns()
            if ring.overtaken != feed.overtaken_seen:
                self._catch_up(feed)
            self._on_quote(Quote(*QUOTE.unpack(body)), seen_mono_ns)
        return _QUOTES_PER_TURN

    def _on_quote(self, quote: Quote, seen_mono_ns: int) -> None:
        self._quotes[quote.instrument_id] = quote
        pair = self._pairs_by_instrument[quote.instrument_id]
        counters = self._counters
        if pair is not None:
            market = self._market(pair, seen_mono_ns)
            outcomes = pair.strategy.on_quote(market)
            for outcome in outcomes:
                if type(outcome) is Opportunity:  # first of all: everything else can wait
                    self._signal(pair, outcome, quote, seen_mono_ns)
            for outcome in outcomes:
                if type(outcome) is Refusal:
                    counters.add(pair.gates[outcome.gate])
                    pair.last_refusal = outcome
            counters.add(pair.evaluations, len(outcomes))
            if pair.strategy.is_market_trusted:
                seen = pair.strategy.comparable(market)
                pair.gap.note(seen.first, seen.second, pair.rules.gain_bps_max)
        counters.add(self._quotes_total)
        self._publish_to_seen.record(seen_mono_ns - quote.publish_mono_ns)

    def _market(self, pair: Pair, now_mono_ns: int) -> Market:
        rules, rate = pair.rules, pair.rules.quote_rate
        self._refresh_view(pair)
        first_feed, second_feed = pair.first_feed, pair.second_feed
        return Market(
            first=self._quotes[rules.first.instrument_id],
            second=self._quotes[rules.second.instrument_id],
            first_feed=first_feed.status,
            second_feed=second_feed.status,
            view=pair.view,
            pending=pair.pending,
            maintenance_left_s=max(first_feed.maintenance_left_s, second_feed.maintenance_left_s),
            read_depth=self._read_depth,
            now_mono_ns=now_mono_ns,
            rate=self._quotes[rate.instrument_id] if rate else NO_QUOTE,
            rate_feed=self._feeds[rate.venue].status if rate else NO_FEED,
        )

    def _refresh_view(self, pair: Pair) -> None:
        # The slot's sequence shows whether it changed, for a tenth of the price of reading it.
        pair_id = pair.rules.pair_id
        sequence = self._views.table.sequence(pair_id)
        if sequence != pair.view_sequence:
            pair.view = self._views.read(pair_id)
            pair.view_sequence = sequence

    def _read_depth(self, instrument: Instrument) -> DepthBook | None:
        body = self._feeds[instrument.venue].depth.read(instrument.instrument_id)
        return None if body is None else unpack_depth(body)

    def _signal(self, pair: Pair, found: Opportunity, quote: Quote, seen_mono_ns: int) -> None:
        pair.strategy.start_over()
        number = self._signal_count + 1
        decided_mono_ns = self._clock_mono_ns()
        signal = Signal(
            signal_id=(self._epoch << _SIGNAL_ID_BITS) + number,
            writer_epoch=self._epoch,
            pair_id=pair.rules.pair_id,
            kind=found.kind,
            direction=found.direction,
            layer=found.layer,
            size_e8=found.size_e8,
            first_price_e8=found.first_price_e8,
            second_price_e8=found.second_price_e8,
            spread_bps=found.spread_bps,
            edge_bps=found.edge_bps,
            recv_mono_ns=quote.recv_mono_ns,
            publish_mono_ns=quote.publish_mono_ns,
            seen_mono_ns=seen_mono_ns,
            decided_mono_ns=decided_mono_ns,
            expires_mono_ns=decided_mono_ns + pair.rules.signal_ttl_ns,
        )
        self._counters.add(pair.signals)
        if not self._signals.push(SIGNAL.pack(*signal)):
            # The executor is away and its queue is full of expired signals: nothing is owed.
            self._counters.add(self._signals_refused)
            return
        self._executor_bell.ring()
        self._signal_count = number
        pair.pending = Pending(signal.signal_id, signal.expires_mono_ns)
        self._seen_to_decided.record(decided_mono_ns - seen_mono_ns)
        self._unreported.append((pair.rules, signal))

    # --- off the hot path ---

    def _read_clock(self, now_mono_ns: int) -> None:
        # At whole seconds, so that a replay looks when we did.
        self._next_clock_ns = now_mono_ns - now_mono_ns % _CLOCK_INTERVAL_NS + _CLOCK_INTERVAL_NS
        self._take_up_settings()  # where quotes never leave it idle
        now_unix_s = int(self._clock_unix_s())
        for pair in self._pairs:
            pair.strategy.funding_bps = expected_funding_bps(pair.rules, self._funding.read, now_mono_ns)
            pair.strategy.slippage_bps = expected_slippage_bps(pair.rules, self._learned.read, now_unix_s)
            self._show_gap(pair, now_mono_ns)
        for feed in self._feeds.values():
            feed.maintenance_left_s = seconds_left(feed.spans, now_unix_s)

    def _show_gap(self, pair: Pair, now_mono_ns: int) -> None:
        strategy = pair.strategy
        pair.gap.show(pair.rules, strategy.slippage_bps, strategy.funding_bps, now_mono_ns)
        self._counters.set(pair.quote_rate, strategy.quote_rate_e8)

    def _take_up_settings(self) -> None:
        """Decide by newer settings from the next quote on, where there are any. Between two quotes, so that
        each is decided by one set of rules; what confirmed under the old ones confirms nothing."""
        if self._watch is None or not self._watch.has_news():
            return
        self._take_up_rules(self._watch.take())
        self._next_clock_ns = 0  # what is expected of funding and slippage follows from them
        self._watch.done()

    def _take_up_rules(self, settings: Settings) -> None:
        for feed in self._feeds.values():
            feed.spans = weekly_spans(settings.venue(feed.venue).maintenance)
        for pair in self._pairs:
            rules = pair.rules
            pair.take_up(
                rules_for(settings, rules.pair_id, self._instruments, is_suspended=rules.is_suspended)
            )

    def _read_latest(self, feed: Feed) -> None:
        """Take the newest quotes from the slots: at start, and after missing some in the ring."""
        for instrument_id, pair in enumerate(self._pairs_by_instrument):
            if pair is None:
                continue
            leg = pair.rules.first if instrument_id == pair.rules.first.instrument_id else pair.rules.second
            if leg.venue == feed.venue:
                self._quotes[instrument_id] = feed.tops.read(instrument_id) or NO_QUOTE
        for rate in self._rates:
            if rate.venue == feed.venue:
                self._quotes[rate.instrument_id] = feed.tops.read(rate.instrument_id) or NO_QUOTE

    def _catch_up(self, feed: Feed) -> None:
        missed = feed.ring.overtaken - feed.overtaken_seen
        feed.overtaken_seen = feed.ring.overtaken
        feed.overtaken_unreported += missed
        self._counters.add(self._overtaken_total, missed)
        self._read_latest(feed)

    def _report(self) -> None:
        """One line per pair that evaluated anything since the last one."""
        for pair in self._pairs:
            evaluations = self._since_reported(pair, pair.evaluations)
            if not evaluations:
                continue
            gates = {gate.value: self._since_reported(pair, index) for gate, index in pair.gates.items()}
            last, rules = pair.last_refusal, pair.rules
            self._show_gap(pair, self._clock_mono_ns())
            self._reporter.report(
                Refusals(
                    pair=rules.name,
                    evaluations=evaluations,
                    signals=self._since_reported(pair, pair.signals),
                    expected_slippage_bps=round(pair.strategy.slippage_bps, 3),
                    expected_funding_bps=round(pair.strategy.funding_bps, 3),
                    gates={gate: count for gate, count in gates.items() if count},
                    last=last and LastRefusal(gate=last.gate.value, value=last.value, limit=last.limit),
                    spreads_bps=self._spreads_bps(pair),
                    best_spreads_bps=pair.gap.take_widest(),
                    threshold_bps=rules.layers[0].trigger_bps,
                    fees_bps=round(rules.fees_bps, 3),
                    min_edge_bps=rules.edge_bps_min,
                )
            )

    def _spreads_bps(self, pair: Pair) -> tuple[float, float] | None:
        """What opening captures now, forward and backward; None without two usable quotes."""
        seen = pair.strategy.comparable(self._market(pair, self._clock_mono_ns()))
        first, second = seen.first, seen.second
        if quote_valid(first) or quote_valid(second) or not second.bid_e8:
            return None
        return (
            round(entry_spread_bps(first.ask_e8, second.bid_e8), 3),
            round(entry_spread_bps(second.ask_e8, first.bid_e8), 3),
        )

    def _since_reported(self, pair: Pair, index: int) -> int:
        total = self._counters.get(index)
        since = total - pair.reported.get(index, 0)
        pair.reported[index] = total
        return since

    def _report_events(self) -> None:
        while self._unreported:
            self._report_signal(*self._unreported.popleft())
        for feed in self._feeds.values():
            if feed.overtaken_unreported:
                self._reporter.report(QuotesOvertaken(venue=feed.venue, quotes=feed.overtaken_unreported))
                feed.overtaken_unreported = 0

    def _report_signal(self, rules: Rules, signal: Signal) -> None:
        is_entry = signal.kind == SignalKind.ENTER
        # An exit's direction is that of the position: its orders go the other way.
        buys_first = (signal.direction > 0) is is_entry
        buy, sell = (rules.first, rules.second) if buys_first else (rules.second, rules.first)
        self._reporter.report(
            SignalDecided(
                pair=rules.name,
                signal_id=signal.signal_id,
                kind="enter" if is_entry else "exit",
                direction=signal.direction,
                layer=signal.layer,
                size_base=signal.size_e8 / E8,
                first_price=signal.first_price_e8 / E8,
                second_price=signal.second_price_e8 / E8,
                spread_bps=round(signal.spread_bps, 3),
                edge_bps=round(signal.edge_bps, 3),
                buy_venue=buy.venue,
                sell_venue=sell.venue,
                threshold_bps=rules.layers[signal.layer].trigger_bps if is_entry else rules.exit_bps,
                recv_to_decided_us=(signal.decided_mono_ns - signal.recv_mono_ns) / 1_000,
                seen_to_decided_us=(signal.decided_mono_ns - signal.seen_mono_ns) / 1_000,
            )
        )
