"""The detector whose quotes never pass Python: ``agent.py``'s turn, compiled, and what it decides by.

One call takes quotes from the rings, decides and signals, another sleeps. Python stays the specification,
decides what C is not certain of, and reports.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from math import inf
from typing import Any

from detector.agent import Detector, Feed, Pair
from detector.gates import NO_QUOTE, FeedStatus, Pending, Refusal
from detector.structures import UNCERTAIN, CoreC, PairC, VenueC, outcome_of, rules_in_c
from settings import Settings
from shm.agent import Agent, Idle
from shm.counter_names import handed_over
from shm.doorbell import Doorbell
from shm.native_access import bell_in_c, counter_address, histogram_address, queue_in_c, ring_in_c, slots_in_c
from shm.records import QUOTE, SIGNAL, Quote, Signal

_I64 = ctypes.c_int64


class NativeDetector(Detector):
    """The detector with its hot state in C. Between two calls it is Python's to read and to change."""

    def __init__(self, library: ctypes.CDLL, bell: Doorbell, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._library = library
        self._own_bell = bell  # C points into it
        counters = self._counters
        self._handed_over = {reason: counters.index(handed_over(reason)) for reason in UNCERTAIN[1:]}
        places = {venue: place for place, venue in enumerate(self._feeds)}
        self._venues_c = (VenueC * len(places))(*map(_venue_in_c, self._feeds.values()))
        self._pairs_c = (PairC * len(self._pairs))(*(self._pair_in_c(pair, places) for pair in self._pairs))
        count = len(self._quotes)
        self._quotes_c = (_I64 * (QUOTE.size // 8) * count)()
        for number, quote in enumerate(self._quotes):
            if quote is not NO_QUOTE:
                self._quotes_c[number][:] = list(quote)
        pair_of, venue_of = (_I64 * count)(*[-1] * count), (_I64 * count)(*[-1] * count)
        for number, pair in enumerate(self._pairs_c):
            for instrument, venue in zip(pair.instruments, pair.venues, strict=True):
                pair_of[instrument], venue_of[instrument] = number, venue
        for rate in self._rates:
            venue_of[rate.instrument_id] = places[rate.venue]
        assert len(self._pairs) <= self._views.table.count, "C does not look whether a slot is there"
        self._core = CoreC(
            venue_count=len(places),
            pair_count=len(self._pairs),
            instrument_count=count,
            venues=self._venues_c,
            pairs=self._pairs_c,
            quotes=ctypes.addressof(self._quotes_c),
            pair_of=pair_of,
            venue_of=venue_of,
            views=slots_in_c(self._views.table),
            signals=queue_in_c(self._signals),
            executor_bell=bell_in_c(self._executor_bell),
            own_bell=bell_in_c(bell),
            quotes_total=counter_address(counters, self._quotes_total),
            overtaken_total=counter_address(counters, self._overtaken_total),
            signals_refused_total=counter_address(counters, self._signals_refused),
            publish_to_seen=histogram_address(self._publish_to_seen),
            seen_to_decided=histogram_address(self._seen_to_decided),
            epoch=self._epoch,
        )

    def _pair_in_c(self, pair: Pair, places: Mapping[str, int]) -> PairC:
        counters, rules = self._counters, pair.rules
        gates = [counter_address(counters, index) for index in pair.gates.values()]
        legs = rules.first, rules.second
        return PairC(
            instruments=(_I64 * 2)(*(leg.instrument_id for leg in legs)),
            venues=(_I64 * 2)(*(places[leg.venue] for leg in legs)),
            rules=rules_in_c(pair.strategy),
            view_sequence=-1,
            widest_bps=_no_gap(),
            evaluations=counter_address(counters, pair.evaluations),
            signals=counter_address(counters, pair.signals),
            gates=(ctypes.c_void_p * len(gates))(*gates),
        )

    # --- Agent ---

    def do_work(self, now_mono_ns: int) -> int:
        """Decide on what has arrived; return how many quotes that was."""
        if now_mono_ns >= self._next_clock_ns:
            self._read_clock(now_mono_ns)
        core, done = self._core, 0
        while True:
            done += self._after(self._library.core_turn(ctypes.byref(core)))
            if not core.is_cut:
                return done

    def has_work(self) -> bool:
        """Whether a quote waits."""
        return bool(self._library.core_has_work(ctypes.byref(self._core)))

    def park(self, max_park_ms: float) -> Idle:
        """Sleep in C. The quote that ends the sleep waits for ``do_work``, which reads the clock first."""
        most_ns = _I64(round(max_park_ms * 1_000_000))

        def rest(agent: Agent) -> None:
            self._library.core_rest(ctypes.byref(self._core), most_ns)

        return rest

    def keep_warm(self, now_mono_ns: int) -> None:
        """Decide one pair on what is known already, and forget it."""
        self._library.core_keep_warm(ctypes.byref(self._core))

    def on_close(self) -> None:
        """As ``Detector``. C points into memory that is unmapped here, so nothing is asked of it after."""
        super().on_close()
        del self._core

    # --- what C leaves to Python ---

    def _after(self, done: int) -> int:
        """Take in what a call has left: signals to report, and a quote it was not certain of."""
        core = self._core
        for number in range(core.decided_count):
            self._take_signal(Signal(*SIGNAL.unpack(core.decided[number])))
        core.decided_count = 0
        if core.left_reason:
            self._counters.add(self._handed_over[UNCERTAIN[core.left_reason]])
            self._decide_in_python(Quote(*core.left), core.left_seen_mono_ns)
            core.left_reason = 0
            done += 1
        return done

    def _take_signal(self, signal: Signal) -> None:
        """A signal that C has pushed waits to be reported."""
        self._unreported.append((self._pairs[signal.pair_id].rules, signal))

    def _decide_in_python(self, quote: Quote, seen_mono_ns: int) -> None:
        core = self._core
        self._signal_count = core.signal_count
        self._take_quotes()
        pair = self._pairs_by_instrument[quote.instrument_id]
        assert pair is not None, "only a pair's quote can be uncertain"
        in_c = self._pairs_c[pair.rules.pair_id]
        for feed, venue in zip(self._feeds.values(), self._venues_c, strict=True):
            feed.status = FeedStatus(bool(venue.status.is_connected), venue.status.beat_mono_ns)
        pair.pending = Pending(in_c.pending_id, in_c.pending_expires_mono_ns) if in_c.pending_id else None
        streaks = pair.strategy.streaks
        for streak, after in zip(streaks, in_c.streaks, strict=True):
            streak.target, streak.ticks = after.target, after.ticks
        self._on_quote(quote, seen_mono_ns)
        for streak, after in zip(streaks, in_c.streaks, strict=True):
            after.target, after.ticks = streak.target, streak.ticks
        if pair.pending is not None:
            in_c.pending_id, in_c.pending_expires_mono_ns = pair.pending
        in_c.has_refused = 0  # the last refusal is Python's
        core.signal_count = self._signal_count

    def _take_quotes(self) -> None:
        for number, words in enumerate(self._quotes_c):
            self._quotes[number] = Quote(*words) if any(words) else NO_QUOTE

    # --- off the hot path ---

    def _read_clock(self, now_mono_ns: int) -> None:
        super()._read_clock(now_mono_ns)
        for pair, in_c in zip(self._pairs, self._pairs_c, strict=True):
            in_c.rules = rules_in_c(pair.strategy)
        for feed, venue in zip(self._feeds.values(), self._venues_c, strict=True):
            venue.maintenance_left_s = feed.maintenance_left_s

    def _take_up_rules(self, settings: Settings) -> None:
        super()._take_up_rules(settings)
        for pair, in_c in zip(self._pairs, self._pairs_c, strict=True):
            in_c.rules = rules_in_c(pair.strategy)
            for streak in in_c.streaks:
                streak.ticks = 0

    def _show_gap(self, pair: Pair, now_mono_ns: int) -> None:
        in_c = self._pairs_c[pair.rules.pair_id]
        pair.gap.take_in(*in_c.widest_bps)
        in_c.widest_bps = _no_gap()
        super()._show_gap(pair, now_mono_ns)

    def _report(self) -> None:
        self._take_quotes()
        for pair, in_c in zip(self._pairs, self._pairs_c, strict=True):
            if in_c.has_refused:
                refusal = outcome_of(in_c.last_refusal)
                assert isinstance(refusal, Refusal)
                pair.last_refusal = refusal
        super()._report()

    def _report_events(self) -> None:
        for feed, venue in zip(self._feeds.values(), self._venues_c, strict=True):
            feed.overtaken_unreported += venue.overtaken_seen - feed.overtaken_seen
            feed.overtaken_seen = venue.overtaken_seen
        super()._report_events()


def _no_gap() -> ctypes.Array[ctypes.c_double]:
    return (ctypes.c_double * 2)(-inf, -inf)


def _venue_in_c(feed: Feed) -> VenueC:
    return VenueC(
        ring=ring_in_c(feed.ring),
        tops=slots_in_c(feed.tops.table),
        depth=slots_in_c(feed.depth),
        connected=counter_address(feed.counters, feed.connected),
        heartbeat_mono_ns=counter_address(feed.counters, feed.beat),
        maintenance_left_s=feed.maintenance_left_s,
    )
