"""Shows side by side what the executor knows, the database has and the venues hold.

Without a switch it only looks: exit code 0 when all agree, 1 when they do not (asked three times, a
second apart: a trade may be under way). ``--adopt`` and ``--flatten`` are the operator's decision about
what the executor cannot explain (a HALTED pair, open orders of others, what was held by a pair that is
configured no more): it gets a request to adopt or to close it, and its answer is awaited.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Final, NamedTuple

import aiohttp

from configuration.arguments import path_argument
from executor.pair.state import load
from executor.recovery.state_store import StateStore
from monitoring.instance import instance_directory
from runtime import reconcile_request
from settings import PROJECT, Problem, Settings, SettingsError, load_raw
from shm.layout import Memory
from shm.segment import SegmentError
from supervision.preflight import resolve
from tools.access import VenueAccess
from tools.database import reading
from tools.table import as_json, as_table
from venues.contract import E8, TransportError, VenueError

_LOOKS: Final = 3
_BETWEEN_LOOKS_S: Final = 1.0
_LOOK_S: Final = 0.1

# Positions by instrument_id (None: the venue does not answer) and how many orders are open on each.
_Told = tuple[dict[int, int] | None, dict[int, int]]


class Row(NamedTuple):
    """One leg; sizes in base currency, signed, "?" where the venue did not answer."""

    venue: str
    symbol: str
    executor: str
    database: str
    at_venue: str
    open_orders: str
    agree: str


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--env-file", type=path_argument, default=PROJECT / ".env", help="keys; default: .env"
    )
    decision = parser.add_mutually_exclusive_group()
    decision.add_argument("--adopt", action="store_true", help="what is not explained is ours from now on")
    decision.add_argument("--flatten", action="store_true", help="close what is not explained")
    parser.add_argument("--timeout-s", type=float, default=60.0, help="how long to wait for the executor")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")


def run(arguments: argparse.Namespace) -> int:
    settings, _ = resolve(load_raw(arguments.config), str(arguments.config))
    if settings.mode == "paper":
        problem = Problem("mode", "'paper'", "no venue holds anything of ours to compare")
        raise SettingsError(str(arguments.config), [problem])
    if arguments.adopt or arguments.flatten:
        _decide(instance_directory(settings), "adopt" if arguments.adopt else "flatten", arguments.timeout_s)
    rows = _compare(settings, arguments.env_file)
    for _ in range(_LOOKS - 1):
        if all(row.agree == "yes" for row in rows):
            break
        time.sleep(_BETWEEN_LOOKS_S)
        rows = _compare(settings, arguments.env_file)
    sys.stdout.write(as_json(rows) if arguments.json else as_table(rows))
    return int(not all(row.agree == "yes" for row in rows))


def _decide(directory: Path, action: str, timeout_s: float) -> None:
    number = reconcile_request.ask(directory, action)
    deadline_s = time.monotonic() + timeout_s
    while reconcile_request.answered(directory, number) is None:
        if time.monotonic() > deadline_s:
            problem = Problem(
                f"--{action}", "", f"the executor has not finished it within {timeout_s:g} s; see its log"
            )
            raise SettingsError("reconcile", [problem])
        time.sleep(_LOOK_S)


def _compare(settings: Settings, env_file: Path) -> list[Row]:
    known = _known_e8(settings)
    stored = _stored(settings, env_file)
    reported = asyncio.run(_ask_venues(settings, env_file))
    rows = []
    for number, leg in enumerate(settings.legs):
        positions_e8, orders = reported[leg.venue]
        sizes = {
            "executor": None if known is None else _base(known[number]),
            "database": None if stored is None else stored.get((leg.venue, leg.symbol), Decimal(0)),
            "at_venue": None if positions_e8 is None else _base(positions_e8.get(number, 0)),
        }
        agree = len(set(sizes.values())) == 1 and None not in sizes.values() and not orders.get(number, 0)
        shown = {name: "?" if size is None else f"{size.normalize():f}" for name, size in sizes.items()}
        count = "?" if positions_e8 is None else str(orders.get(number, 0))
        rows.append(Row(leg.venue, leg.symbol, **shown, open_orders=count, agree="yes" if agree else "NO"))
    return rows


def _known_e8(settings: Settings) -> list[int] | None:
    """Signed size of every leg as the running executor's machines have it; None where none runs."""
    try:
        memory = Memory(instance_directory(settings))
    except SegmentError:
        return None
    journal = StateStore(memory.machines(), memory.taken())
    sizes_e8 = []
    for number in range(len(settings.pairs)):
        entry = journal.read(number)
        legs = load(entry.state).legs if entry else ()
        sizes_e8 += [leg.held_e8 for leg in legs] or [0, 0]
    journal.close()
    return sizes_e8


def _stored(settings: Settings, env_file: Path) -> dict[tuple[str, str], Decimal] | None:
    try:
        with reading(settings, env_file) as connection:
            rows = connection.execute(
                "select venue, symbol, coalesce(size_base, 0) from positions where bot_id = %s and mode = %s",
                (settings.bot_id, settings.mode),
            ).fetchall()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return None
    return {(venue, symbol): size for venue, symbol, size in rows}


async def _ask_venues(
    settings: Settings, env_file: Path
) -> dict[str, tuple[dict[int, int] | None, dict[int, int]]]:
    async with aiohttp.ClientSession() as session:
        return {
            venue: await _ask(VenueAccess(settings, env_file, venue, session))
            for venue in settings.venue_names
        }


async def _ask(access: VenueAccess) -> _Told:
    try:
        await access.login()
        positions_e8, orders = await access.positions_e8(), await access.open_orders()
    except (TransportError, VenueError) as error:
        sys.stderr.write(f"{access.venue}: {error}\n")
        return None, {}
    numbers = [order.instrument_id for order in orders]
    return positions_e8, {number: numbers.count(number) for number in set(numbers)}


def _base(size_e8: int) -> Decimal:
    return Decimal(size_e8) / E8
