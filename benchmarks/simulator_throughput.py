"""Measures how many orders and quotes a second the simulated venues manage.

    python -m benchmarks.simulator_throughput [--seconds 3] [--speed 5]

The simulator runs in a process of its own, as ``python -m simulator``, with every signature verified.
Vest takes orders over 16 HTTP connections at a time, signed beforehand; what is counted are answers
that accept. (Paradex's own limit of 800 orders a second is enforced there and would be what is
measured.) Quotes are frames of both venues' books, the recording played ``--speed`` times as fast.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterator

import aiohttp

from venues.contract import (
    E8,
    Call,
    HttpRequest,
    HttpResponse,
    MarketData,
    OrderRequest,
    Outcome,
    Side,
    SignedOrder,
    TimeInForce,
    VenueHosts,
)
from venues.paradex import ParadexMarketData
from venues.rest_client import perform
from venues.vest import VestCredentials, VestMarketData, VestTrading

CONNECTIONS = 16
ORDERS = 1_000
SYMBOL = "BTC-PERP"


async def main(seconds: float, speed: float) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "simulator", "--speed", str(speed), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        ports = json.loads(await process.stdout.readline())["ports"]
        vest, paradex = _hosts(ports["vest"], "v2", "ws-api"), _hosts(ports["paradex"], "v1", "v1")
        async with aiohttp.ClientSession() as session:
            for feed in (VestMarketData(vest, {SYMBOL: 0}), ParadexMarketData(paradex, {"BTC-USD-PERP": 1})):
                rate = await _frames(session, feed, seconds) / seconds
                print(f"{feed.venue}: {rate:,.0f} quotes/s at {speed:g} times the recording")
            print(f"vest: {await _orders_per_s(session, vest):,.0f} orders/s over {CONNECTIONS} connections")
    finally:
        process.terminate()
        await process.wait()


def _hosts(port: int, rest: str, ws: str) -> VenueHosts:
    url = f"ws://127.0.0.1:{port}/{ws}"
    return VenueHosts(f"http://127.0.0.1:{port}/{rest}", url, url)


async def _frames(session: aiohttp.ClientSession, feed: MarketData, seconds: float) -> int:
    count, end_s = 0, time.monotonic() + seconds
    async with session.ws_connect(feed.url) as socket:
        feed.connected(time.monotonic_ns())
        for frame in feed.take_frames():
            await socket.send_str(frame.decode())
        while (left_s := end_s - time.monotonic()) > 0:
            try:
                message = await socket.receive(timeout=left_s)
            except TimeoutError:
                break
            if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                raise SystemExit(f"{feed.venue} closed the socket after {count} frames: {message.data}")
            count += 1
    return count


async def _orders_per_s(session: aiohttp.ClientSession, hosts: VenueHosts) -> float:
    trading = VestTrading(hosts, VestCredentials(f"0x{7:064x}"), recv_window_ms=60_000)
    now_unix_ms = time.time_ns() // 1_000_000
    [instrument] = await perform(
        session, hosts.rest_url, trading.fetch_instruments({SYMBOL: 0}), timeout_s=10.0
    )
    await perform(session, hosts.rest_url, trading.login(now_unix_ms), timeout_s=10.0)
    price_e8 = 1_000 * E8 // instrument.tick_e8 * instrument.tick_e8  # far below: nothing fills
    signed = [
        trading.sign_create(
            OrderRequest(
                now_unix_ms + n,
                instrument,
                Side.BUY,
                instrument.min_size_e8,
                price_e8,
                False,
                TimeInForce.FOK,
            ),
            now_unix_ms,
        )
        for n in range(ORDERS)
    ]
    queue, accepted = iter(signed), [0]
    started_s = time.perf_counter()
    await asyncio.gather(*(_send(session, hosts, trading, queue, accepted) for _ in range(CONNECTIONS)))
    elapsed_s = time.perf_counter() - started_s
    if accepted[0] < ORDERS:
        print(f"only {accepted[0]} of {ORDERS} orders were accepted", file=sys.stderr)
    return accepted[0] / elapsed_s


async def _send(
    session: aiohttp.ClientSession,
    hosts: VenueHosts,
    trading: VestTrading,
    queue: Iterator[SignedOrder],
    accepted: list[int],
) -> None:
    def ask(request: HttpRequest) -> Call[HttpResponse]:
        return (yield request)

    for order in queue:
        assert isinstance(order.wire, HttpRequest)
        answer = await perform(session, hosts.rest_url, ask(order.wire), timeout_s=10.0)
        ack = trading.parse_create_response(order.request, answer)
        accepted[0] += ack.outcome is Outcome.ACCEPTED


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="Orders and quotes a second of the simulated venues.")
    arguments.add_argument("--seconds", type=float, default=3.0)
    arguments.add_argument("--speed", type=float, default=5.0)
    chosen = arguments.parse_args()
    asyncio.run(main(chosen.seconds, chosen.speed))
