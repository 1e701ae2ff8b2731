"""A seeded market: one walking mid per coin, and a gap between the venues that opens and closes.

The same seed gives the same tops at the same market times. The process runs in floats, as a model
of a market may; its prices become integers before they leave this module.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import count
from typing import NamedTuple

from simulator.market import Top
from venues.contract import E8

_SECOND_NS = 1_000_000_000


class Coin(NamedTuple):
    """One coin and the two contracts on it."""

    mid_e8: int  # where its walk begins
    size_e8: int  # typical size at the touch
    first: tuple[str, str]  # (venue, symbol) whose mid is the walk
    second: tuple[str, str]  # whose mid is the walk plus the gap
    third: tuple[str, str] | None = None  # the walk plus a gap of its own
    jump_bps: tuple[float, float] | None = None  # in place of the rules'


COINS = (
    Coin(60_000 * E8, E8 // 2, ("paradex", "BTC-USD-PERP"), ("vest", "BTC-PERP")),
    Coin(3_000 * E8, 8 * E8, ("paradex", "ETH-USD-PERP"), ("vest", "ETH-PERP")),
)
# Of this coin nothing was recorded: it is synthetic beside the recordings, too. Its gap jumps far enough to
# pay for a round trip at the fees that Paradex and Hyperliquid publish (4.5 bps each, 18 in all).
UNRECORDED = (
    Coin(
        150 * E8,
        200 * E8,
        ("paradex", "SOL-USD-PERP"),
        ("hyperliquid", "SOL"),
        jump_bps=(25.0, 50.0),
    ),
)
EVERYWHERE = (
    COINS[0]._replace(third=("hyperliquid", "BTC")),
    COINS[1]._replace(third=("hyperliquid", "ETH")),
    *UNRECORDED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticRules:
    """What the process does. Rates are per second of market time."""

    updates_per_s: tuple[float, float] = (20.0, 10.0)  # of the first and the second venue, per coin
    half_spread_bps: float = 0.3
    volatility_bps: float = 1.0  # of the mid, per square root of a second
    gap_noise_bps: float = 1.0  # standard deviation of the gap between jumps
    gap_half_life_s: float = 4.0  # how fast the gap returns to nought
    jumps_per_s: float = 1 / 15
    jump_bps: tuple[float, float] = (6.0, 15.0)  # size of a jump, either sign


class _Third:
    """The gap of a third venue to the walk. It draws for itself, so that the other two stay as they were."""

    def __init__(self, rng: random.Random, rules: SyntheticRules, jump_bps: tuple[float, float]) -> None:
        self.rng = rng
        self.gap_bps = 0.0
        self._rules = rules
        self._jump_bps = jump_bps

    def is_due(self, step_s: float) -> bool:
        """Move the gap on; whether the venue quotes now."""
        rules, rng = self._rules, self.rng
        decay = math.log(2) / rules.gap_half_life_s
        noise_bps = rules.gap_noise_bps * math.sqrt(2 * decay * step_s)
        self.gap_bps += -self.gap_bps * decay * step_s + rng.gauss(0, noise_bps)
        if rng.random() < rules.jumps_per_s * step_s:
            self.gap_bps += rng.choice((-1, 1)) * rng.uniform(*self._jump_bps)
        return rng.random() < rules.updates_per_s[0] * step_s


class SyntheticMarket:
    """Seeded tops of every coin on both venues."""

    def __init__(
        self, seed: int, rules: SyntheticRules | None = None, coins: tuple[Coin, ...] = COINS
    ) -> None:
        self._seed = seed
        self._rules = rules or SyntheticRules()
        self._coins = coins

    def tops(self) -> Iterator[Top]:
        """Tops for ever, the same for the same seed."""
        return merge(*(self._coin_tops(index) for index in range(len(self._coins))))

    def _coin_tops(self, index: int) -> Iterator[Top]:
        coin, rules = self._coins[index], self._rules
        # Each coin draws from its own generator, so that another coin changes nothing here.
        rng = random.Random(f"{self._seed}:{index}")
        rate = sum(rules.updates_per_s)
        decay = math.log(2) / rules.gap_half_life_s
        jump_bps = coin.jump_bps or rules.jump_bps
        third = _Third(random.Random(f"{self._seed}:{index}:third"), rules, jump_bps)
        at_ns, mid, gap_bps = 0, float(coin.mid_e8), 0.0
        # Both venues quote from the first instant.
        yield self._top(rng, at_ns, coin.first, mid, coin.size_e8)
        yield self._top(rng, at_ns, coin.second, mid, coin.size_e8)
        if coin.third:
            yield self._top(third.rng, at_ns, coin.third, mid, coin.size_e8)
        while True:
            step_s = rng.expovariate(rate)
            at_ns += max(int(step_s * _SECOND_NS), 1)
            mid *= 1 + rng.gauss(0, rules.volatility_bps * 1e-4 * math.sqrt(step_s))
            noise_bps = rules.gap_noise_bps * math.sqrt(2 * decay * step_s)
            gap_bps += -gap_bps * decay * step_s + rng.gauss(0, noise_bps)
            if rng.random() < rules.jumps_per_s * step_s:
                gap_bps += rng.choice((-1, 1)) * rng.uniform(*jump_bps)
            if coin.third and third.is_due(step_s):
                yield self._top(third.rng, at_ns, coin.third, mid * (1 + third.gap_bps * 1e-4), coin.size_e8)
            if rng.random() * rate < rules.updates_per_s[0]:
                yield self._top(rng, at_ns, coin.first, mid, coin.size_e8)
            else:
                yield self._top(rng, at_ns, coin.second, mid * (1 + gap_bps * 1e-4), coin.size_e8)

    def _top(self, rng: random.Random, at_ns: int, where: tuple[str, str], mid: float, size_e8: int) -> Top:
        half = mid * self._rules.half_spread_bps * 1e-4
        sizes = [int(size_e8 * rng.uniform(0.2, 2.0)) for _ in range(2)]
        return Top(at_ns, *where, int(mid - half), sizes[0], int(mid + half) + 1, sizes[1])


class Quiet(NamedTuple):
    """Something whose price hardly moves."""

    venue: str
    symbol: str
    mid_e8: int
    size_e8: int
    swing_bps: float  # how far it goes to either side


QUIET = (
    # All coins' prices here are dollars, whatever a venue calls its currency: a rate that moved would make
    # gaps out of nothing.
    Quiet("paradex", "USDC-USD-PERP", E8, 10**5 * E8, 0.2),
    Quiet("hyperliquid", "@2", E8, 10**5 * E8, 0.2),  # USDT0 in USDC
    Quiet("hyperliquid", "@1", 40 * E8, 500 * E8, 5.0),  # HYPE
    Quiet("hyperliquid", "PURR/USDC", E8 // 5, 10**5 * E8, 20.0),
)


class QuietMarket:
    """What is watched and not traded, once a second: spot pairs, and the rates between quote currencies."""

    def tops(self) -> Iterator[Top]:
        """Tops for ever."""
        for second in count():
            for item in QUIET:
                mid = item.mid_e8 * (1 + 1e-4 * item.swing_bps * math.sin(second / 20))
                half = mid * 1e-5
                bid_e8, ask_e8 = int(mid - half), int(mid + half) + 1
                at_ns = second * _SECOND_NS
                yield Top(at_ns, item.venue, item.symbol, bid_e8, item.size_e8, ask_e8, item.size_e8)
