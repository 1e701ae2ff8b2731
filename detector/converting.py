"""Decides a pair whose legs have prices in two currencies, by a live rate between them.

The second leg's prices are converted where they come in, and a signal's price is converted back by taking the
venue's own: whatever lies between is the ordinary strategy, and no order ever has a converted price.
"""

from __future__ import annotations

from detector import gates
from detector.gates import Refusal
from detector.rules import Rules
from detector.strategy import Market, Opportunity, Outcome, PairStrategy
from shm.records import DepthBook, Quote, SignalKind
from venues.contract import Instrument, converted_e8


class ConvertingStrategy(PairStrategy):
    """A strategy that asks for the rate first. An old rate opens nothing; what is held is closed by the last
    one that was believed, because a rate moves in hours what a gap moves in seconds."""

    def __init__(self, rules: Rules) -> None:
        super().__init__(rules)
        self._rate_e8 = 0  # the last one that was believed
        self._refusal: Refusal | None = None  # why there is none now

    def on_quote(self, market: Market) -> tuple[Outcome, Outcome]:
        """As ``PairStrategy``."""
        refusal = self._take_rate(market)
        if not self._rate_e8:
            assert refusal is not None, "a rate that is believed is above nothing"
            self.start_over()
            self.is_market_trusted = False
            return refusal, refusal
        forward, backward = super().on_quote(self.comparable(market))
        return _allowed(forward, market.second, refusal), _allowed(backward, market.second, refusal)

    @property
    def quote_rate_e8(self) -> int:
        """See ``PairStrategy``."""
        if self._rate_e8 and self._refusal is None:
            return self._rate_e8
        return -self._rate_e8 or -1

    def comparable(self, market: Market) -> Market:
        """The market with the second leg's prices in the first leg's currency."""
        rate_e8, second = self._rate_e8, market.second

        def read_depth(instrument: Instrument) -> DepthBook | None:
            book = market.read_depth(instrument)
            if book is None or instrument.instrument_id != self.rules.second.instrument_id:
                return book
            sides = (
                tuple((converted_e8(price_e8, rate_e8), size_e8) for price_e8, size_e8 in levels)
                for levels in (book.bids, book.asks)
            )
            bids, asks = sides
            return book._replace(bids=bids, asks=asks)

        converted = second._replace(
            bid_e8=converted_e8(second.bid_e8, rate_e8), ask_e8=converted_e8(second.ask_e8, rate_e8)
        )
        return market._replace(second=converted, read_depth=read_depth)

    def _take_rate(self, market: Market) -> Refusal | None:
        rate = self.rules.quote_rate
        assert rate is not None, "only a pair with a live rate converts"
        refusal = gates.quote_rate(rate, market.rate, market.rate_feed, market.now_mono_ns)
        self._refusal = refusal
        if refusal is None:
            self._rate_e8 = rate.value_e8(market.rate.bid_e8, market.rate.ask_e8)
        return refusal


def strategy_for(rules: Rules) -> PairStrategy:
    """What decides by these rules, in Python."""
    return PairStrategy(rules) if rules.quote_rate is None else ConvertingStrategy(rules)


def _allowed(outcome: Outcome, second: Quote, refusal: Refusal | None) -> Outcome:
    """The outcome with the second leg's price as its venue has it, or why it may not be."""
    if type(outcome) is not Opportunity:
        return outcome
    if outcome.kind is SignalKind.ENTER and refusal is not None:
        return refusal
    buys_first = (outcome.direction > 0) is (outcome.kind is SignalKind.ENTER)
    return outcome._replace(second_price_e8=second.bid_e8 if buys_first else second.ask_e8)
