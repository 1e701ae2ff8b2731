"""What all pairs hold together: per venue, and unhedged per base currency. Kept up to date, not added up.

Updated after a step has sent what it had to send, so that the gates before the wire only look.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from executor.state import PairRules, PairState
from venues.contract import E8


class _Share(NamedTuple):
    """One pair's part, in quote currency."""

    notionals_e8: tuple[int, int]  # absolute, by leg
    net_e8: int  # signed: first leg plus second leg


_NOTHING = _Share((0, 0), 0)


class Exposure:
    """Positions at the last prices the machines saw, in quote currency scaled by 10**8."""

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

    def update(self, rules: PairRules, state: PairState) -> None:
        """Take in what a pair holds now."""
        before, share = self._shares[rules.pair_id], _share(state)
        if share == before:
            return
        self._shares[rules.pair_id] = share
        for leg, instrument in enumerate(rules.instruments):
            self.notional_e8[instrument.venue] += share.notionals_e8[leg] - before.notionals_e8[leg]
        # Both legs of a pair are of one base currency.
        self.net_e8[rules.instruments[0].base] += share.net_e8 - before.net_e8


def _share(state: PairState) -> _Share:
    first, second = state.legs
    first_e8 = first.held_e8 * (first.bid_e8 or first.ask_e8) // E8
    second_e8 = second.held_e8 * (second.bid_e8 or second.ask_e8) // E8
    price_e8 = first.bid_e8 or first.ask_e8 or second.bid_e8 or second.ask_e8
    return _Share((abs(first_e8), abs(second_e8)), (first.held_e8 + second.held_e8) * price_e8 // E8)
