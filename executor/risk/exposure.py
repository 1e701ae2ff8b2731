"""What all pairs hold together: per venue, and unhedged per base currency. Kept up to date, not added up.

Updated after a step has sent what it had to send, so that the gates before the wire only look.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from executor.pair.pricing import average_price_e8
from executor.pair.rules import PairRules
from executor.pair.state import PairState
from venues.contract import E8


class _Share(NamedTuple):
    """One pair's part, in quote currency."""

    notionals_e8: tuple[int, int]  # absolute, by leg
    net_e8: int  # signed: first leg plus second leg
    is_priced: bool = True  # False: something is held whose price nobody has reported yet


_NOTHING = _Share((0, 0), 0)


class Exposure:
    """Positions at the last prices the machines saw, in quote currency scaled by 10**8.

    A pair that was taken over counts at what it was opened at until its feeds have spoken.
    """

    def __init__(self, pairs: Sequence[tuple[PairRules, PairState]]) -> None:
        self.notional_e8: dict[str, int] = {}  # venue -> absolute positions
        self.net_e8: dict[str, int] = {}  # base currency -> what is not hedged, signed
        self._shares = [_NOTHING] * len(pairs)
        for rules, _ in pairs:
            for instrument in rules.instruments:
                self.notional_e8[instrument.venue] = 0
                self.net_e8[instrument.base] = 0
        for rules, state in pairs:
            self.update(rules, state)

    @property
    def is_known(self) -> bool:
        """Whether everything that is held has a price to count by."""
        return all(share.is_priced for share in self._shares)

    def update(self, rules: PairRules, state: PairState) -> None:
        """Take in what a pair holds now."""
        assert 0 <= rules.pair_id < len(self._shares), "a pair's number is its place"
        before, share = self._shares[rules.pair_id], _share(state)
        if share == before:
            return
        self._shares[rules.pair_id] = share
        for leg, instrument in enumerate(rules.instruments):
            self.notional_e8[instrument.venue] += share.notionals_e8[leg] - before.notionals_e8[leg]
            assert self.notional_e8[instrument.venue] >= 0, "what a venue holds is absolute"
        # Both legs of a pair are of one base currency.
        self.net_e8[rules.instruments[0].base] += share.net_e8 - before.net_e8


def _share(state: PairState) -> _Share:
    first, second = state.legs
    seen_e8 = [leg.bid_e8 or leg.ask_e8 for leg in state.legs]
    # Both legs are of one base currency: the other one's price is better than none.
    first_price_e8 = seen_e8[0] or seen_e8[1] or _opened_at_e8(state)
    second_price_e8 = seen_e8[1] or first_price_e8
    notionals_e8 = abs(first.held_e8 * first_price_e8 // E8), abs(second.held_e8 * second_price_e8 // E8)
    net_e8 = (first.held_e8 + second.held_e8) * first_price_e8 // E8
    is_priced = first_price_e8 > 0 or not (first.held_e8 or second.held_e8)
    return _Share(notionals_e8, net_e8, is_priced)


def _opened_at_e8(state: PairState) -> int:
    """The average price of what the pair's trade has bought or sold; 0 without a trade."""
    books = state.trade.books if state.trade is not None else ()
    for book in books:
        for size_e8, quote_e8 in ((book.bought_e8, book.bought_quote_e8), (book.sold_e8, book.sold_quote_e8)):
            if size_e8 and quote_e8:
                return average_price_e8(quote_e8, size_e8)
    return 0
