"""Closes everything now, from outside: latch → cancel → reduce-only close → two flat reads → receipt.

It needs neither supervisor nor executor nor database, only the keys and the venues: its own process,
its own connections. The receipt says flat only where both venues have shown it twice.
Exit codes: 0 proven flat, 1 not (the exposure last seen is printed and in the receipt).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Final

import aiohttp

from configuration.arguments import path_argument
from executor.pair.client_order_id import compose
from observability.plain_text import plain
from runtime import kill_switch
from runtime.epochs import Epochs
from settings import PROJECT, Settings, SettingsError, load_raw
from shm.layout import Memory
from shm.segment import SegmentError
from supervision.preflight import resolve
from tools.access import VenueAccess, var_path
from tools.flatten import READS_AGREEING, Flattening, flatten
from venues.contract import Instrument

_TIMEOUT_S: Final = 60.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--env-file", type=path_argument, default=PROJECT / ".env", help="keys; default: .env"
    )
    parser.add_argument("--timeout-s", type=float, default=_TIMEOUT_S, help="how long to try")
    reason = "kept in the latch and the receipt"
    parser.add_argument("--reason", type=plain, default="python -m tools kill", help=reason)
    parser.add_argument("--release", action="store_true", help="only let entries through again")
    parser.add_argument("--json", action="store_true", help="print the receipt itself")


def run(arguments: argparse.Namespace) -> int:
    settings, _ = resolve(load_raw(arguments.config), str(arguments.config))
    latch = kill_switch.kill_file(settings)
    if arguments.release:
        kill_switch.release(latch, _running_memory(settings))
        print(f"released: {latch} is gone; entries are allowed where nothing else stops them")
        return 0
    receipt: dict[str, Any] = {"bot_id": settings.bot_id, "mode": settings.mode, "reason": arguments.reason}
    receipt["began"] = datetime.now(UTC).isoformat()
    receipt["latch"] = _pull(settings, latch, arguments.reason)
    if settings.mode == "paper":
        print(f"latch: {receipt['latch']}\nmode paper: no venue holds anything of ours")
        return 0
    flattenings, unusable, failures = asyncio.run(
        _flatten_all(settings, arguments.env_file, arguments.timeout_s)
    )
    if len(unusable) == len(flattenings):
        print(f"latch: {receipt['latch']}\nNOTHING IS CLOSED: no venue could be asked")
        raise unusable[0]
    receipt |= {
        "ended": datetime.now(UTC).isoformat(),
        "is_flat": all(item.is_flat for item in flattenings),
        "reads_that_agreed": READS_AGREEING,
        "instruments": [f"{leg.venue}:{leg.symbol}" for leg in settings.legs],
        "venues": {item.venue: _receipt_of(item) for item in flattenings},
    }
    receipt["receipt"] = _keep(settings, receipt)
    print(json.dumps(receipt, indent=1) if arguments.json else _summary(receipt, flattenings))
    if failures:  # of this program: what every venue holds has been said all the same
        raise failures[0]
    return 0 if receipt["is_flat"] else 1


def _running_memory(settings: Settings) -> Memory | None:
    """The running instance's memory; None where none runs or it cannot be read."""
    try:
        return Memory(Path(settings.runtime.memory_dir) / f"tandem-{settings.bot_id}")
    except SegmentError:
        return None


def _pull(settings: Settings, latch: Path, reason: str) -> str:
    """Pull the latch. Whatever keeps it from being pulled must not keep positions from being closed."""
    try:
        kill_switch.engage(latch, _running_memory(settings), reason)
    except (OSError, SegmentError) as error:
        return f"COULD NOT BE PULLED ({error}): stop the instance yourself"
    return f"pulled: {latch}"


async def _flatten_all(
    settings: Settings, env_file: Path, timeout_s: float
) -> tuple[list[Flattening], list[SettingsError], list[BaseException]]:
    """What was done at each venue, what keeps venues from being asked at all, and what nobody expected."""
    unusable: list[SettingsError] = []
    began_mono_s = time.monotonic()
    epoch, sequence = _epoch(settings), count()

    def next_client_order_id(instrument: Instrument) -> int:
        leg, pair_id = instrument.instrument_id % 2, instrument.instrument_id // 2
        return compose(epoch, pair_id, next(sequence), leg)

    async with aiohttp.ClientSession() as session:
        flattenings = [Flattening(venue) for venue in settings.venue_names]
        work = {}
        for item in flattenings:
            try:
                access = VenueAccess(settings, env_file, item.venue, session)
            except SettingsError as error:  # what is wrong with one venue's keys must not spare the other
                item.note(error)
                unusable.append(error)
                continue
            work[item.venue] = flatten(
                access,
                item,
                began_mono_s=began_mono_s,
                deadline_mono_s=began_mono_s + timeout_s,
                next_client_order_id=next_client_order_id,
            )
        # Whatever goes wrong at one venue, the others are worked on to the end.
        ends = await asyncio.gather(*work.values(), return_exceptions=True)
    failed = {venue: end for venue, end in zip(work, ends, strict=True) if end is not None}
    for item in flattenings:
        if item.venue in failed:
            item.note(f"this program failed here: {type(failed[item.venue]).__name__}, see below")
    return flattenings, unusable, list(failed.values())


def _epoch(settings: Settings) -> int:
    """A number for our client order ids that no process has, even where the disk takes none."""
    path = var_path(settings) / f"epoch-{settings.bot_id}"
    try:
        epochs = Epochs(path)
        number = epochs.next()
        epochs.close()
    except (OSError, ValueError):
        number = int(time.time() - datetime(2026, 1, 1, tzinfo=UTC).timestamp())
    return number


def _receipt_of(item: Flattening) -> dict[str, Any]:
    return {
        "is_flat": item.is_flat,
        "cancelled": item.cancelled,
        "closes": item.closes,
        "reads": item.reads,
        "problems": item.problems,
    }


def _keep(settings: Settings, receipt: dict[str, Any]) -> str:
    """Write the receipt beside the journal; say where, or why not."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    path = var_path(settings) / f"receipt-kill-{settings.bot_id}-{stamp}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(receipt, indent=1))
    except OSError as error:
        return f"could not be written: {path}: {error.strerror}"
    return str(path)


def _summary(receipt: dict[str, Any], flattenings: list[Flattening]) -> str:
    lines = [f"latch {receipt['latch']}"]
    for item in flattenings:
        lines.append(
            f"{item.venue}: {len(item.cancelled)} orders cancelled, {len(item.closes)} closing orders sent, "
            + (f"flat by {READS_AGREEING} reads" if item.is_flat else f"NOT PROVEN FLAT: {_shown(item)}")
        )
        lines += [f"  {problem}" for problem in item.problems[-3:]]
    lines.append(f"receipt: {receipt['receipt']}")
    lines.append("FLAT" if receipt["is_flat"] else "NOT FLAT: look at the venues, then run this again")
    return "\n".join(lines)


def _shown(item: Flattening) -> str:
    if item.exposure is None:
        return "the venue has not reported what is held"
    read = item.exposure
    return f"it last showed positions {read['positions_e8']} (times 10**8), open orders {read['open_orders']}"
