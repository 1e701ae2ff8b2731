"""Both venues as a flood: quotes at any rate, on command, without a trade.

    python -m benchmarks.wire.flood [--pairs 1]

Prints its ports as one JSON line; then each line ``RATE SECONDS`` on standard input sends that many
quotes a second on each venue, spread over the pairs, and is answered with what was sent last.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
import time

import uvloop

from benchmarks.wire.market import Market, paradex_symbol, vest_symbol
from benchmarks.wire.servers import Client, serve
from benchmarks.wire.venues import Venues
from shm.records import Quote
from venues.contract import E8

_TICK_S = 0.001
_VARIANTS = 64  # Vest frames rendered beforehand: rendering would be slower than reading
_SEQUENCE_AT, _SIZE_AT = 16, 32  # in an SBE bbo: header, time, sequence, bid, bid size


class Flood:
    """Ready-made frames of every pair, and who gets them."""

    def __init__(self, venues: Venues) -> None:
        self._venues = venues
        self._vest = [[market.vest_depth() for _ in range(_VARIANTS)] for market in venues.markets]
        self._bbo = [bytearray(market.paradex_bbo(is_sbe=True)) for market in venues.markets]
        self._count = 0

    async def send(self, rate: float, seconds: float) -> dict[str, int]:
        """Send at a rate, in bursts of a millisecond; (quotes sent on each venue, the last one's number)."""
        vest = _listeners(self._venues.vest_clients, f"{vest_symbol(0)}@depth")
        paradex = _listeners(self._venues.paradex_clients, f"bbo.{paradex_symbol(0)}")
        started_s, sent, wanted = time.monotonic(), 0, round(rate * seconds)
        while sent < wanted:
            due = min(wanted, int((time.monotonic() - started_s) * rate) + 1)
            for _ in range(due - sent):
                self._send_one(vest, paradex)
            sent = due
            await asyncio.sleep(_TICK_S)
        return {"sent": sent, "last": self._count}

    def _send_one(self, vest: list[Client], paradex: list[Client]) -> None:
        self._count += 1
        pair = self._count % len(self._bbo)
        frame = self._bbo[pair]
        frame[_SEQUENCE_AT : _SEQUENCE_AT + 8] = (1_000_000 + self._count).to_bytes(8, "little")
        frame[_SIZE_AT : _SIZE_AT + 8] = (E8 + self._count).to_bytes(8, "little")
        for client in paradex:
            client.send(bytes(frame), is_binary=True)
        for client in vest:
            client.send(self._vest[pair][self._count // len(self._bbo) % _VARIANTS], is_binary=True)


def is_newest(quote: Quote, count: int) -> bool:
    """Whether a Paradex quote in shared memory is the one sent last."""
    return quote.venue_sequence == 1_000_000 + count and quote.bid_size_e8 == E8 + count


def _listeners(clients: list[Client], channel: str) -> list[Client]:
    return [client for client in clients if channel in client.channels]


async def run(pairs: int) -> None:
    venues = Venues(pairs)
    for market in venues.markets:
        market.approach(is_entry=True)
    vest = serve(venues.vest_request, venues.vest_message, None)
    paradex = serve(venues.paradex_request, venues.paradex_message, None)
    venues.vest_clients, venues.paradex_clients = vest.clients, paradex.clients
    print(json.dumps({"vest": vest.port, "paradex": paradex.port}), flush=True)
    flood = Flood(venues)
    gc.collect()
    gc.freeze()
    calm = asyncio.create_task(_stay_calm(venues.markets, venues))
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        rate, seconds = map(float, line.split())
        print(json.dumps(await flood.send(rate, seconds)), flush=True)
    calm.cancel()


async def _stay_calm(markets: list[Market], venues: Venues) -> None:
    """Keep the feeds alive while no flood is wanted; Vest alone, so that the last bbo stays the last."""
    while True:
        await asyncio.sleep(1.0)
        for market in markets:
            venues.send_first(market)
            venues.send_book(market)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=1)
    uvloop.run(run(parser.parse_args().pairs))


if __name__ == "__main__":
    main()
