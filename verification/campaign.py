"""``make campaign``: a thousand trades, some under a fault drawn at random; how long legs stood alone.

    python -m verification.campaign [--trades N] [--faults SHARE] [--seed N] [--seconds N] [--pairs PAIR ...]

One executor process trades on the simulated venues, entry and exit back to back: a third of the trades each
on Vest and Paradex, and with Hyperliquid on either side. A fault strikes at the
entry or the exit of a share of the trades, at one venue; which, when and where comes from the seed.
After every trade the executor's view, and what it reported to persistence, are compared with the venues' own
books. A halted pair is resumed as the operator would: ``tools reconcile flatten``. Exit code 1 for a
client order id that came twice, books that differ, or a trade that does not come to rest.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from runtime.reconcile_request import answered, ask
from shm.records import PairPhase
from simulator import fault_scripts
from simulator.fault_runs import FaultRuns
from tests.executor.harness import HYPERLIQUID_PAIRS, SYMBOLS, Harness, a_harness, symbols_of
from tests.executor.invariants import REST, broken_promises, halt_reason, until_at_rest
from venues.contract import E8
from verification.faults import signal

# Not those that take long by design (a venue that is away) or do nothing to an order.
SCRIPTS: Final = (
    *("reply_lost", "reply_delayed:delay_ms=300", "rejected", "rejected_late", "gateway_timeout"),
    *("malformed_reply", "malformed_event", "event_lost", "event_duplicated", "events_reordered"),
    *("filled_in_part", "filled_in_steps:delay_ms=20", "executed_late:delay_ms=200", "server_error"),
    *("rate_limited", "tokens_expired"),
    *("budget_used_up", "nonce_too_old", "answer_without_id", "refused_in_other_words", "upgrade"),
)
PAIRS: Final = {"-".join(pair): symbols_of(pair) for pair in (tuple(SYMBOLS), *HYPERLIQUID_PAIRS)}
_STAYS_S: Final = 0.2  # shorter, and on a loaded machine an order sent just now is not seen yet
_RESUME_S: Final = 60.0
# What a campaign would use up though nothing is wrong.
_ROOM: Final[dict[str, Any]] = {
    "risk__max_consecutive_failures": 1000,
    "risk__max_orders_per_minute": 100_000,
    "risk__naked_budget_s_per_day": 86_400,
    "risk__max_daily_loss_quote": "1000000",
}


@dataclass(slots=True)
class Tally:
    """What the campaign has seen."""

    trades: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    struck: int = 0
    ends: Counter[str] = field(default_factory=Counter)  # at rest after the exit
    naked_ms: list[float] = field(default_factory=list)  # of each trade that closed
    naked_notional_max_e8: int = 0
    broken: list[str] = field(default_factory=list)


async def campaign(
    harness: Harness, tally: Tally, *, trades: int, share: float, seed: int, end_s: float
) -> None:
    """Trade until there were enough, or the time (``time.monotonic``) is up. Figures go to ``tally``."""
    chance = random.Random(seed)
    faults = FaultRuns(harness.simulator)
    try:
        while tally.trades < trades and time.monotonic() < end_s and not tally.broken:
            fault = None
            if chance.random() < share:
                fault = draw(chance, tuple(harness.symbols))
            await _trade(harness, tally, faults, fault)
            tally.trades += 1
            _collect(harness, tally, fault)
    finally:
        await faults.stop()


@cache
def known_at(venue: str) -> tuple[str, ...]:
    """The scripts that can happen at a venue."""
    return tuple(text for text in SCRIPTS if venue in (fault_scripts.parse(text).venues or (venue,)))


def draw(chance: random.Random, venues: tuple[str, ...]) -> tuple[str, str, str]:
    """A fault of a venue that knows it, that venue, and when it strikes."""
    venue = chance.choice(venues)
    return chance.choice(known_at(venue)), venue, chance.choice(("entry", "exit"))


async def _trade(
    harness: Harness, tally: Tally, faults: FaultRuns, fault: tuple[str, str, str] | None
) -> None:
    first, second = harness.symbols
    harness.show(second, 50_050, 50_051)
    harness.show(first, 50_000, 50_001)
    text, venue, when = fault or ("", "", "")
    for moment in ("entry", "exit"):
        if moment == "exit" and harness.phase is not PairPhase.HEDGED:
            break
        runs = []
        if moment == when:
            tally.faults[text.partition(":")[0]] += 1
            script = fault_scripts.parse(f"{text}{',' if ':' in text else ':'}venue={venue}")
            runs = await faults.start(script)
        await signal(harness, moment)
        await until_at_rest(harness, stays_s=_STAYS_S)
        if runs:
            await faults.stop()
            tally.struck += sum(run.struck for run in runs)
            await until_at_rest(harness, stays_s=_STAYS_S)
    tally.ends[f"{harness.phase.name} {halt_reason(harness)}".strip()] += 1
    tally.broken += _broken(harness, fault)
    while harness.phase is PairPhase.HEDGED:  # the exit found a venue that took nothing
        await signal(harness, "exit")
        await until_at_rest(harness, stays_s=_STAYS_S)
    if harness.phase is PairPhase.HALTED:
        number = ask(harness.directory, "flatten")
        await harness.until(lambda: answered(harness.directory, number) is not None, "flatten", _RESUME_S)
    await harness.until(
        lambda: harness.view is not None and harness.view.entries_allowed == 1,
        f"leave to open after fault {fault}",
        _RESUME_S,
    )


def _broken(harness: Harness, fault: tuple[str, str, str] | None) -> list[str]:
    """What does not hold where the trade should be at rest; first of all that it is not."""
    unrest = [] if harness.phase in REST else [f"{harness.phase.name} is no rest"]
    return [f"{text} (fault {fault})" for text in (*unrest, *broken_promises(harness))]


def _collect(harness: Harness, tally: Tally, fault: tuple[str, str, str] | None) -> None:
    """Take the figures out of the log of one trade, and its events out of persistence's queue."""
    for line in harness.logged("trade_closed"):
        tally.naked_ms.append(line["naked_ms"])
        tally.naked_notional_max_e8 = max(tally.naked_notional_max_e8, line["naked_notional_max_e8"])
    held_e8: tuple[int, ...] = ()
    while (message := harness.events.poll()) is not None:
        event = json.loads(message)
        if event["event"] == "holding":
            held_e8 = tuple(leg["size_e8"] for leg in event["legs"])
    harness.events.commit()
    if held_e8 and held_e8 != harness.positions_e8:
        tally.broken.append(
            f"the journal would hold {held_e8}, venues {harness.positions_e8} (fault {fault})"
        )
    harness.lines.clear()


def _report(harness: Harness, tally: Tally, took_s: float) -> None:
    naked_ms = sorted(tally.naked_ms)
    print(f"trades {tally.trades} in {took_s:.0f} s; faults {tally.faults.total()}, strikes {tally.struck}")
    print("faults:", ", ".join(f"{n} {name}" for name, n in tally.faults.most_common()))
    print("at rest after the exit:", ", ".join(f"{n} {name}" for name, n in tally.ends.most_common()))
    if naked_ms:
        p50, p99 = (naked_ms[int(q * (len(naked_ms) - 1))] for q in (0.5, 0.99))
        print(
            f"legs alone, ms of a trade: p50 {p50:.1f}  p99 {p99:.1f}  max {naked_ms[-1]:.1f}",
            f" n {len(naked_ms)}",
        )
    print(f"worst notional alone: {tally.naked_notional_max_e8 / E8:.0f}")
    sent = Counter(
        order.client_id for venue in harness.symbols for order in harness.orders(venue) if order.client_id
    )
    print(f"orders at the venues {sent.total()}, client order ids that came twice {sent.total() - len(sent)}")
    print(f"positions at the end {harness.positions_e8}; broken promises {len(tally.broken)}")
    for text in tally.broken:
        print(f"    {text}")


async def _run(*, pair: str, trades: int, share: float, seed: int, seconds: float) -> int:
    print(f"\n{pair}:", flush=True)
    tally = Tally()
    async with a_harness(PAIRS[pair], **_ROOM) as harness:
        await harness.start()
        began_s = time.monotonic()
        try:
            await campaign(harness, tally, trades=trades, share=share, seed=seed, end_s=began_s + seconds)
        except AssertionError as error:
            tally.broken.append(str(error))
        _report(harness, tally, time.monotonic() - began_s)
    return int(bool(tally.broken))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m verification.campaign", description=__doc__)
    parser.add_argument("--trades", type=int, default=1_000)
    parser.add_argument("--faults", type=float, default=0.05, help="share of the trades that one strikes in")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3_600.0, help="stop after this long")
    parser.add_argument("--pairs", nargs="*", default=list(PAIRS), choices=PAIRS)
    chosen = parser.parse_args()
    share = 1 / len(chosen.pairs)  # of trades and time, for each of the pairs
    ends = [
        asyncio.run(
            _run(
                pair=pair,
                trades=round(chosen.trades * share),
                share=chosen.faults,
                seed=chosen.seed,
                seconds=chosen.seconds * share,
            )
        )
        for pair in chosen.pairs
    ]
    return max(ends)


if __name__ == "__main__":
    sys.exit(main())
