"""What the feeds published, as the machine and the gates want it, and when it was read."""

from __future__ import annotations

from executor.pair.messages import At
from executor.pair.pricing import NO_MARKET, LegMarket
from executor.pairs import PairRuntime
from runtime.clock import Clock
from runtime.quote_rate import QuoteRate
from shm.layout import Memory
from shm.records import QUOTE, DepthBook, Quote, QuoteFlags, unpack_depth
from shm.slot import SlotTable
from venues.contract import Instrument

# Plain ints: arithmetic on IntFlag members makes a new member each time.
_LOOKED_AT = int(QuoteFlags.VALID | QuoteFlags.STALE | QuoteFlags.CROSSED)
_USABLE = int(QuoteFlags.VALID)


class Prices:
    """Latest tops and depths of every instrument."""

    def __init__(self, memory: Memory, instruments: tuple[Instrument, ...], clock: Clock) -> None:
        self._clock = clock
        venues = {item.venue for item in instruments}
        tops = {venue: memory.tops(venue) for venue in venues}
        depths = {venue: memory.depth(venue) for venue in venues}
        self._tops = [tops[item.venue] for item in instruments]
        self._depths = [depths[item.venue] for item in instruments]
        self._venue_tops = tops
        self._rates_e8: dict[QuoteRate, int] = {}  # the last one that was believed
        self._tables: tuple[SlotTable, ...] = (*(top.table for top in tops.values()), *depths.values())

    def quote(self, instrument_id: int) -> Quote | None:
        """The latest quote as the feed published it, whatever its flags; None when there is none."""
        return self._tops[instrument_id].read(instrument_id)

    def depth(self, instrument_id: int) -> DepthBook | None:
        """The latest depth as the feed published it, valid or not; None when there is none."""
        body = self._depths[instrument_id].read(instrument_id)
        return unpack_depth(body) if body else None

    def touch(self, instrument_id: int, now_mono_ns: int, max_age_ns: int) -> LegMarket:
        """Best bid and ask with their sizes; NO_MARKET when they are missing, flagged or too old."""
        # On the way of every order: the record's fields are taken without making the record.
        body = self._tops[instrument_id].table.read(instrument_id)
        if body is None:
            return NO_MARKET
        _, bid_e8, ask_e8, bid_size_e8, ask_size_e8, _, recv_mono_ns, _, _, flags, _ = QUOTE.unpack(body)
        if flags & _LOOKED_AT != _USABLE or now_mono_ns - recv_mono_ns > max_age_ns:
            return NO_MARKET
        return LegMarket(True, bid_e8, ask_e8, ((bid_e8, bid_size_e8),), ((ask_e8, ask_size_e8),))

    def market(self, instrument_id: int, now_mono_ns: int, max_age_ns: int) -> LegMarket:
        """The touch with the levels behind it, where the depth is valid."""
        touch = self.touch(instrument_id, now_mono_ns, max_age_ns)
        if not touch.is_valid:
            return touch
        depth = self.depth(instrument_id)
        if depth is None or not depth.is_valid or now_mono_ns - depth.recv_mono_ns > max_age_ns:
            return touch
        return touch._replace(bids=tuple(depth.bids), asks=tuple(depth.asks))

    def at(self, pair: PairRuntime, *, with_depth: bool = True) -> At:
        """Now, and what both legs could be traded at."""
        now_mono_ns = self._clock.mono_ns()
        read = self.market if with_depth else self.touch
        first, second = pair.rules.instruments
        markets = (
            read(first.instrument_id, now_mono_ns, pair.max_age_ns),
            read(second.instrument_id, now_mono_ns, pair.max_age_ns),
        )
        if pair.quote_rate is None:
            return At(now_mono_ns, markets)
        return At(now_mono_ns, markets, self.rate_e8(pair.quote_rate, now_mono_ns))

    def rate_e8(self, rate: QuoteRate, now_mono_ns: int) -> int:
        """A live quote rate as its instrument's price tells it, or did last; 0 if it never did."""
        quote = self._venue_tops[rate.venue].read(rate.instrument_id)
        is_usable = (
            quote is not None
            and quote.flags & _LOOKED_AT == _USABLE
            and now_mono_ns - quote.recv_mono_ns <= rate.age_ns_max
        )
        if quote is not None and is_usable and (found_e8 := rate.value_e8(quote.bid_e8, quote.ask_e8)):
            self._rates_e8[rate] = found_e8
        return self._rates_e8.get(rate, 0)

    def close(self) -> None:
        for table in self._tables:
            table.close()
