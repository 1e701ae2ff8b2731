"""Compares choosing between completing and unwinding with always doing the one or the other.

    python -m verification.unwind_choice [--trades 1000]

A seeded model of two books: a common price that wanders, a gap between the venues that opens and
closes again, and depth that is thick or thin. Every trade loses its second leg on the way in, because
the gap closed a little while the orders were under way. The real machine then mends it under each of
the three settings of ``on_single_leg``, on the same path of prices, and a pair that was completed is
held and closed like any other. Results are the machine's own ``trade_closed`` lines, fees included.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
from typing import Any, Final, NamedTuple

from events.codec import fields_of
from events.trades import TradeClosed
from executor.pair.machine import step
from executor.pair.messages import (
    At,
    Command,
    Enter,
    Event,
    Exit,
    OrderReport,
    PositionRead,
    Send,
    StreamBack,
    Tick,
)
from executor.pair.pricing import LegMarket
from executor.pair.rules import PairRules
from executor.pair.state import new_state
from shm.records import PairPhase
from tests.executor.pair.model import an_instrument, some_rules
from venues.contract import E8, OrderStatus, Side

POLICIES: Final = ("auto", "complete", "unwind")
STEP_MS: Final = 50
STEPS: Final = 1_200  # of a path: one minute
FEES_BPS: Final = (1.0, 4.5)
EXIT_BPS: Final = 0.0
SIZE_E8: Final = E8 // 50


class Outcome(NamedTuple):
    """How one trade ended. Money in basis points of the notional."""

    net_bps: float
    naked_ms: float
    was_completed: bool


def a_path(seed: int) -> list[tuple[LegMarket, LegMarket]]:
    """Both books, step by step; the same for every policy."""
    rng = random.Random(seed)
    mid, gap_bps = 60_000.0, rng.uniform(12.0, 22.0)
    lost_bps = rng.expovariate(1 / 5.0)  # how far the gap closed while the orders were under way
    thickness = math.exp(rng.gauss(0.3, 0.7))
    path = []
    for number in range(STEPS):
        if number == 1:
            gap_bps -= lost_bps
        mid *= 1 + rng.gauss(0.0, 0.15) / 10_000
        gap_bps += -0.004 * gap_bps + rng.gauss(0.0, 0.35)
        path.append((_book(rng, mid, thickness), _book(rng, mid * (1 + gap_bps / 10_000), thickness)))
    return path


def _book(rng: random.Random, mid: float, thickness: float) -> LegMarket:
    half_bps = rng.uniform(0.2, 0.8)
    sides = []
    for sign in (-1, 1):
        price, levels = mid * (1 + sign * half_bps / 10_000), []
        for _ in range(5):
            size_e8 = int(SIZE_E8 * thickness * rng.uniform(0.2, 0.8)) // 100_000 * 100_000 + 100_000
            levels.append((round(price * 10) * E8 // 10, size_e8))
            price *= 1 + sign * rng.uniform(0.5, 1.5) / 10_000
        sides.append(tuple(levels))
    bids, asks = sides
    return LegMarket(True, bids[0][0], asks[0][0], bids, asks)


class Bench:
    """One machine on one path."""

    def __init__(self, rules: PairRules, path: list[tuple[LegMarket, LegMarket]]) -> None:
        self._rules = rules
        self._path = path
        self._number = 0
        self._state = new_state(rules, 1)
        self._positions_e8 = [0, 0]
        self.closed: dict[str, Any] | None = None
        self.was_completed = False

    def trade(self) -> None:
        """From a flat pair to a flat pair. AssertionError if the path ends before."""
        for leg in (0, 1):
            self._feed(StreamBack(At(0), leg))
        self._read_positions()
        first, second = self._enter()
        self._told(first, first.size_e8, first.limit_price_e8)
        self._number = 1
        sends = self._told(second, 0, 0)
        while True:
            for send in sends:
                self._execute(send)
            if self.closed is not None:
                return
            self._number += 1
            assert self._number < STEPS, f"not flat after a minute: {self._state.phase.name}"
            sends = self._feed(Tick(self._at))
            self._read_positions()
            if self._state.phase is PairPhase.HEDGED and self._is_time_to_exit():
                sends += self._feed(Exit(self._at, self._state.last_signal_id + 1, "signal"))

    @property
    def _at(self) -> At:
        return At((10_000 + self._number * STEP_MS) * 1_000_000, self._path[self._number])

    def _enter(self) -> list[Send]:
        buy, sell = self._path[0]
        return self._feed(Enter(self._at, 1, 1, 0, SIZE_E8, (buy.ask_e8, sell.bid_e8), 0.0))

    def _is_time_to_exit(self) -> bool:
        self.was_completed = True
        long, short = self._path[self._number]
        exit_bps = 10_000 * (short.ask_e8 / long.bid_e8 - 1)
        return exit_bps <= EXIT_BPS + 1.0 or self._number >= STEPS - 100

    def _read_positions(self) -> None:
        for leg in (0, 1):
            at = self._at
            self._feed(PositionRead(at, leg, self._positions_e8[leg], at.now_mono_ns - 1))

    def _execute(self, send: Send) -> None:
        """Take what the book holds within the limit, as an IOC order does; what follows is sent, too."""
        market = self._path[self._number][send.leg]
        levels = market.asks if send.side is Side.BUY else market.bids
        filled_e8 = quote = 0
        for price_e8, size_e8 in levels:
            if (price_e8 - send.limit_price_e8) * send.side > 0 or filled_e8 == send.size_e8:
                break
            taken_e8 = min(size_e8, send.size_e8 - filled_e8)
            filled_e8 += taken_e8
            quote += taken_e8 * price_e8
        for following in self._told(send, filled_e8, quote // filled_e8 if filled_e8 else 0):
            self._execute(following)

    def _told(self, send: Send, filled_e8: int, price_e8: int) -> list[Send]:
        self._positions_e8[send.leg] += send.side * filled_e8
        status = OrderStatus.FILLED if filled_e8 == send.size_e8 else OrderStatus.CANCELLED
        fee_e8 = int(filled_e8 * price_e8 // E8 * FEES_BPS[send.leg] / 10_000)
        return self._feed(
            OrderReport(self._at, send.client_order_id, status, filled_e8, price_e8 or None, fee_e8)
        )

    def _feed(self, event: Event) -> list[Send]:
        self._state, commands = step(self._rules, self._state, event)
        self._hear(commands)
        return [command for command in commands if isinstance(command, Send)]

    def _hear(self, commands: list[Command]) -> None:
        for command in commands:
            if isinstance(command, TradeClosed):
                self.closed = fields_of(command)


def compare(trades: int) -> dict[str, list[Outcome]]:
    """Outcomes of each policy, seed by seed on the same prices."""
    found: dict[str, list[Outcome]] = {policy: [] for policy in POLICIES}
    for seed in range(trades):
        path = a_path(seed)
        for policy, outcomes in found.items():
            outcomes.append(outcome(path, policy))
    return found


def outcome(path: list[tuple[LegMarket, LegMarket]], policy: str) -> Outcome:
    """One trade that lost its second leg, mended by one policy."""
    instruments = tuple(
        an_instrument(leg, lot_e8=100_000, min_size_e8=100_000, taker_fee_bps=FEES_BPS[leg]) for leg in (0, 1)
    )
    rules = some_rules(
        instruments=instruments,
        common_lot_e8=100_000,
        on_single_leg=policy,
        taker_fees_bps=FEES_BPS,
        later_exit_bps=sum(FEES_BPS) + EXIT_BPS,
        max_retries=3,
        price_band_bps=3.0,
        widen_bps=2.0,
        max_unmended_ns=15_000_000_000,
    )
    bench = Bench(rules, path)
    bench.trade()
    assert bench.closed is not None
    notional_e8 = SIZE_E8 * 60_000
    return Outcome(
        10_000 * bench.closed["net_e8"] / notional_e8, bench.closed["naked_ms"], bench.was_completed
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trades", type=int, default=1_000, help="seeds, each under every policy")
    trades = parser.parse_args().trades
    print(f"{trades} trades whose second leg failed, the same prices for each policy; bps of the notional")
    print(f"{'on_single_leg':<14}{'mean loss':>10}{'median':>9}{'worst 1 %':>11}{'completed':>11}")
    for policy, outcomes in compare(trades).items():
        losses = sorted(-one.net_bps for one in outcomes)
        completed = sum(one.was_completed for one in outcomes)
        print(
            f"{policy:<14}{statistics.fmean(losses):>10.2f}{statistics.median(losses):>9.2f}"
            f"{losses[len(losses) * 99 // 100]:>11.2f}{completed / trades:>10.0%}"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
