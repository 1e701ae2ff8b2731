"""Measures one step of the pair machine: until the orders are known, and until everything is reported.

    python -m benchmarks.pair_machine [--rounds 5000]

``decide`` is what stands between a signal and its orders; ``conclude`` follows once they have left.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Final

from benchmarks.measure import percentiles, print_table, time_calls, write_results
from executor.pair.machine import decide, due_mono_ns, step
from executor.pair.messages import Acked, At, Enter, Event, Exit, OrderReport, PositionRead, StreamBack, Tick
from executor.pair.pricing import LegMarket
from executor.pair.rules import PairRules
from executor.pair.state import PairState, dump, new_state
from venues.contract import E8, Instrument, OrderStatus, Outcome

SIZE_E8: Final = E8 // 50
PRICES_E8: Final = (60_000 * E8, 60_010 * E8)
MARKETS: Final = tuple(LegMarket(True, bid_e8=price_e8, ask_e8=price_e8 + E8) for price_e8 in PRICES_E8)
LATER_MARKETS: Final = tuple(LegMarket(True, market.bid_e8 + E8, market.ask_e8 + E8) for market in MARKETS)
MS: Final = 1_000_000


def some_rules() -> PairRules:
    instruments = (
        Instrument(0, "vest", "BTC-PERP", "BTC", 10**7, 10**4, 10**4, 0, 0, 1, 4, 1.0, True),
        Instrument(1, "paradex", "BTC-USD-PERP", "BTC", 10**7, 10**3, 10**4, 10 * E8, 0, 1, 5, 4.5, True),
    )
    return PairRules(
        pair_id=0,
        pair="btc",
        instruments=instruments,
        common_lot_e8=10**4,
        layers_max=1,
        price_band_bps=3,
        widen_bps=2,
        price_band_bps_max=100,
        max_retries=3,
        retry_delay_ns=100 * MS,
        reply_timeout_ns=800 * MS,
        query_interval_ns=250 * MS,
        max_naked_ns=1_500 * MS,
        on_single_leg="auto",
        taker_fees_bps=(1.0, 4.5),
        later_exit_bps=6.0,
        reconcile_interval_ns=10_000 * MS,
    )


class Story:
    """One round trip, stopped wherever something is to be measured."""

    def __init__(self) -> None:
        self.rules = some_rules()
        self.now_mono_ns = 10**12
        self.flat = new_state(self.rules, 28_000_000)
        for leg in (0, 1):
            self.flat = self._after(self.flat, StreamBack(self._at(), leg))
        for leg in (0, 1):
            self.now_mono_ns += MS
            self.flat = self._after(self.flat, PositionRead(self._at(), leg, 0, self.now_mono_ns))
        self.enter = Enter(self._at(LATER_MARKETS), 1, 1, 0, SIZE_E8, PRICES_E8, 1.7)
        self.opening = self._after(self.flat, self.enter)
        first, second = (leg.live[0].client_order_id for leg in self.opening.legs)
        self.ack = Acked(self._at(), first, Outcome.ACCEPTED, venue_order_id="0x12345678")
        self.first_fill = self._fill(first)
        self.half = self._after(self.opening, self.first_fill)
        self.second_fill = self._fill(second)
        self.hedged = self._after(self.half, self.second_fill)
        self.exit = Exit(self._at(LATER_MARKETS), 2, "signal")
        self.tick = Tick(self._at())
        assert due_mono_ns(self.rules, self.hedged) > self.now_mono_ns

    def _at(self, markets: tuple[LegMarket, ...] = MARKETS) -> At:
        return At(self.now_mono_ns, (markets[0], markets[1]))

    def _after(self, state: PairState, event: Event) -> PairState:
        return step(self.rules, state, event)[0]

    def _fill(self, client_order_id: int) -> OrderReport:
        return OrderReport(
            self._at(), client_order_id, OrderStatus.FILLED, SIZE_E8, PRICES_E8[0], 10**6, "", "0x12345678"
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5_000, help="timed calls per operation")
    rounds = parser.parse_args().rounds

    story = Story()
    rules = story.rules
    operations: dict[str, Callable[[], object]] = {
        "entry: decide, until both orders are known": lambda: decide(rules, story.flat, story.enter),
        "entry: the whole step": lambda: step(rules, story.flat, story.enter),
        "entry: the state as bytes for the journal": lambda: dump(story.opening),
        "ack": lambda: step(rules, story.opening, story.ack),
        "first fill": lambda: step(rules, story.opening, story.first_fill),
        "second fill: hedged": lambda: step(rules, story.half, story.second_fill),
        "exit: decide, until both orders are known": lambda: decide(rules, story.hedged, story.exit),
        "exit: the whole step": lambda: step(rules, story.hedged, story.exit),
        "tick, nothing to do": lambda: step(rules, story.hedged, story.tick),
    }
    empty_ns = percentiles("", time_calls(lambda: None, rounds)).p50_ns
    timings = [
        percentiles(name, [max(0, sample - empty_ns) for sample in time_calls(operation, rounds)])
        for name, operation in operations.items()
    ]
    print_table("The pair machine, one step", timings, unit_ns=1000, unit="µs")
    path = write_results("pair_machine", {"steps": [timing._asdict() for timing in timings]})
    print(f"\nwritten to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
