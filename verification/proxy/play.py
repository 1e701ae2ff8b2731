"""One run: the real executor trades at simulated venues through two relays, one of them faulty once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from persistence.server import start_server
from shm.records import PairPhase
from tests.executor.harness import Harness, a_harness
from tests.executor.invariants import broken_promises, halt_reason, until_at_rest
from tests.instance import a_directory
from verification.faults import signal
from verification.proxy.kept import MONEY_E8, Kept, kept
from verification.proxy.kinds import Fault, Kind, Road
from verification.proxy.relay import Relay

MOMENTS: Final = ("entry", "exit")
_SETTLE_S: Final = 90.0  # the longest doubt, and a socket that nobody says is dead, end before
_STRIKES: Final = {Road.READ: 3, Road.EVENT: 2}


class Run(NamedTuple):
    """A fault at a moment, and which of all runs that is, from 1 on."""

    number: int
    fault: Fault
    moment: str


@dataclass(slots=True)
class Outcome:
    """What became of a run. ``broken`` is empty when the venues' books, ours, the journal and the database
    agree."""

    fault: Fault
    moment: str
    struck: int = 0
    ends: list[str] = field(default_factory=list)
    is_estimated: bool = False
    took_s: float = 0.0
    broken: list[str] = field(default_factory=list)


async def play(fault: Fault, moment: str, server_url: str, database: str) -> Outcome:
    """Never raises for what the executor did. ``database`` is a name that is free on the server."""
    began_s, outcome = time.monotonic(), Outcome(fault, moment)
    async with (
        a_harness(risk__max_consecutive_failures=1000) as harness,
        kept(harness, server_url, database) as books,
    ):
        relays = {
            venue: Relay(port) for venue, port in harness.simulator.ports.items() if venue in harness.legs
        }
        try:
            for relay in relays.values():
                await relay.start()
            _lead_through(harness, relays)
            await harness.start()
            began_e8 = _collateral_e8(harness)
            if moment == "exit":
                await harness.open()
            relay = relays[fault.venue]
            relay.arm(fault.road, fault.kind, _STRIKES.get(fault.road, 1))
            await signal(harness, moment)
            await _rest(harness, outcome)
            outcome.struck = relay.struck
            relay.disarm()
            await _rest(harness, outcome)
            if harness.phase is PairPhase.HEDGED:
                await signal(harness, "exit")
                await _rest(harness, outcome)
            await _judge(harness, books, outcome, _collateral_e8(harness) - began_e8)
        except AssertionError as error:
            text = str(error)
            outcome.broken.append(f"{text.partition(chr(10))[0]}: … {text[-2_000:]}")  # the newest lines
        finally:
            if harness.process is not None and harness.process.returncode is None:
                await harness.kill()  # before the relays: it would call them anew
            for relay in relays.values():
                await relay.stop()
    outcome.took_s = time.monotonic() - began_s
    return outcome


def _lead_through(harness: Harness, relays: dict[str, Relay]) -> None:
    """The executor's settings with every URL on the relay's port."""
    for venue, relay in relays.items():
        old = f":{harness.simulator.ports[venue]}/"
        urls: dict[str, Any] = harness.raw["venues"][venue]
        harness.raw["venues"][venue] = {
            key: value.replace(old, f":{relay.port}/") if isinstance(value, str) else value
            for key, value in urls.items()
        }
    harness.rewrite_launch()


async def _rest(harness: Harness, outcome: Outcome) -> None:
    await until_at_rest(harness, _SETTLE_S)
    outcome.ends.append(f"{harness.phase.name} {halt_reason(harness)}".strip())
    outcome.broken += broken_promises(harness)


async def _judge(harness: Harness, books: Kept, outcome: Outcome, gained_e8: int) -> None:
    """Compare what we say, and keep, with the venues' books and with what their accounts have gained."""
    has_traded = any(order.filled_e8 for venue in harness.legs for order in harness.orders(venue))
    if harness.phase is PairPhase.FLAT and has_traded:  # its books wait a little for a fee that is missing
        await harness.until_logged("trade_closed")
    closed = harness.logged("trade_closed")
    outcome.is_estimated = any(line.get("is_estimated") for line in closed)
    is_flat = harness.phase is PairPhase.FLAT
    if is_flat and not outcome.is_estimated:
        net_e8 = sum(line["net_e8"] for line in closed)
        if abs(net_e8 - gained_e8) > MONEY_E8:
            outcome.broken.append(f"we say {net_e8} e8 were earned, the accounts have gained {gained_e8}")
    if halt_reason(harness) != "unexplained":  # what nobody can explain is nobody's in our books
        outcome.broken += await books.disagreements(gained_e8 if is_flat else None)


def _collateral_e8(harness: Harness) -> int:
    return sum(
        exchange.account(account).collateral_e8
        for exchange in (harness.exchange(venue) for venue in harness.legs)
        for account in exchange.account_ids
    )


async def play_all(runs: list[Run], jobs: int) -> list[Outcome]:
    """Play runs, ``jobs`` at a time, each with a database of its own on one server."""
    slots = asyncio.Semaphore(jobs)

    async def one(run: Run, server_url: str) -> Outcome:
        async with slots:
            outcome = await play(run.fault, run.moment, server_url, f"run{run.number}")
            print(f"{run.number:3} {line_of(outcome)}", flush=True)
            return outcome

    with a_directory() as directory:
        server_url = start_server(directory / "var")
        return await asyncio.gather(*(one(run, server_url) for run in runs))


def line_of(outcome: Outcome) -> str:
    verdict = "BROKEN" if outcome.broken else "estimated" if outcome.is_estimated else "agrees"
    strikes = "" if outcome.struck else " (never struck)"
    return (
        f"{verdict:9} {outcome.moment:5} {outcome.fault}{strikes}  -> {', '.join(outcome.ends)}  "
        f"{outcome.took_s:.0f} s" + "".join(f"\n          {text}" for text in outcome.broken)
    )


__all__ = ["MOMENTS", "Fault", "Kind", "Outcome", "Run", "play", "play_all"]
