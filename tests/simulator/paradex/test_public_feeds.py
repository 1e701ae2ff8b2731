"""Public channels in SBE and JSON: frames, numbers, heartbeats, pings, slow readers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from simulator.faults import Fault
from simulator.paradex.settings import RateLimits
from tests.simulator.paradex.client import NULL, Client, Frame, Socket
from tests.simulator.paradex.conftest import BTC, StartVenue, Venue, price
from tests.waiting import DEADLINE_S, eventually
from venues.contract import E8

SBE = "?sbeSchemaId=1&sbeSchemaVersion=2"
TRADE, BBO, BOOK, SUMMARY, ORDER, FILL, HEARTBEAT = 1, 2, 3, 4, 20, 21, 40
DELTAS = f"order_book.{BTC}.deltas"


@pytest.fixture
async def client(venue: Venue) -> AsyncIterator[Client]:
    async with Client(venue.url) as client:
        yield client


class BookFrame:
    def __init__(self, frame: Frame) -> None:
        self.ts_us, self.seq_no = frame.integers(2)
        self.is_delta = frame.byte(16) == 1
        self.best = frame.integers(4, at=57)
        self.bids = frame.group()
        self.asks = frame.group()
        self.market = frame.text()


@pytest.mark.parametrize("version", [1, 2, 3])
async def test_best_prices_come_in_the_version_that_was_asked(venue: Venue, version: int) -> None:
    async with Client(venue.url) as client:
        socket = await client.socket(f"?sbeSchemaId=1&sbeSchemaVersion={version}", auth=False)
        await socket.subscribe(f"bbo.{BTC}")
        venue.show(bids=[(price(65010), E8)], asks=[(price(65011, 5), 3 * E8)])
        frame = await socket.next_frame(BBO)

    ts_us, _, bid, bid_size, ask, ask_size = frame.integers(6)
    assert (frame.schema, frame.version, frame.block_length) == (1, version, 48)
    assert (bid, bid_size, ask, ask_size) == (price(65010), E8, price(65011, 5), 3 * E8)
    assert abs(ts_us - time.time() * 10**6) < 5 * 10**6
    assert frame.text() == BTC


async def test_an_empty_side_is_null(client: Client, venue: Venue) -> None:
    socket = await client.socket(SBE, auth=False)
    await socket.subscribe(f"bbo.{BTC}")
    venue.show(bids=[(price(65010), E8)], asks=[])
    frame = await socket.next_frame(BBO)

    assert frame.integers(6)[2:] == (price(65010), E8, NULL, NULL)


@pytest.mark.parametrize(
    "query",
    [
        "?sbeSchemaId=1&sbeSchemaVersion=4",
        "?sbeSchemaId=1&sbeSchemaVersion=0",
        "?sbeSchemaId=2&sbeSchemaVersion=1",
        "?sbeSchemaId=1",
        "?sbeSchemaVersion=2",
    ],
)
async def test_an_unsupported_encoding_is_refused_at_the_handshake(client: Client, query: str) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await client.socket(query, auth=False)

    assert refused.value.status == 400


async def test_the_venue_can_insist_on_sbe_as_the_live_one_does(start: StartVenue) -> None:
    venue = await start(require_sbe=True)
    async with Client(venue.url) as client:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.socket(auth=False)
        await client.socket(SBE, auth=False)

    assert refused.value.status == 400


async def test_the_book_is_followed_from_a_snapshot_by_consecutive_deltas(
    client: Client, venue: Venue
) -> None:
    """Applied one after the other, the deltas give exactly the book the venue shows."""
    socket = await client.socket(SBE, auth=False)
    await socket.subscribe(DELTAS)
    snapshot = BookFrame(await socket.next_frame(BOOK))
    books = (dict(snapshot.bids), dict(snapshot.asks))
    venue.show(
        bids=[(price(65000), 2 * E8), (price(64999), 4 * E8), (price(64990), E8)],
        asks=[(price(65001), 2 * E8)],
    )
    venue.show(bids=[(price(64999), 4 * E8)], asks=[(price(65001), 2 * E8), (price(65003), E8)])
    venue.show(bids=[(price(64999), 4 * E8)], asks=[(price(65001), 2 * E8), (price(65003), 2 * E8)])
    last_seq = snapshot.seq_no
    while books != (dict(venue.bids), dict(venue.asks)):
        delta = BookFrame(await socket.next_frame(BOOK))
        assert delta.is_delta
        assert delta.seq_no == last_seq + 1
        assert delta.best == (NULL,) * 4
        last_seq = delta.seq_no
        for book, changes in zip(books, (delta.bids, delta.asks), strict=True):
            for level, size in changes:
                book.pop(level, None)
                if size:
                    book[level] = size

    assert not snapshot.is_delta
    assert snapshot.bids == [(price(65000), 2 * E8), (price(64999), 3 * E8)]
    assert snapshot.best == (price(65000), 2 * E8, price(65001), 2 * E8)


async def test_a_delta_names_only_what_changed(client: Client, venue: Venue) -> None:
    socket = await client.socket(SBE, auth=False)
    await socket.subscribe(DELTAS)
    await socket.next_frame(BOOK)
    venue.show(bids=[(price(65000), E8), (price(64999), 3 * E8)], asks=[(price(65001), 2 * E8)])
    delta = BookFrame(await socket.next_frame(BOOK))

    assert delta.bids == [(price(65000), E8)]
    assert delta.asks == [(price(65002), 0)]


async def test_changes_below_the_top_are_gathered(start: StartVenue) -> None:
    """A hundred changes of depth within the interval make one delta."""
    venue = await start(delta_interval_ms=100.0)
    async with Client(venue.url) as client:
        socket = await client.socket(SBE, auth=False)
        await socket.subscribe(DELTAS)
        snapshot = BookFrame(await socket.next_frame(BOOK))
        began = time.monotonic()
        for size in range(4, 104):
            venue.show(bids=[(price(65000), 2 * E8), (price(64999), size * E8)], asks=venue.asks)
        delta = BookFrame(await socket.next_frame(BOOK))
        elapsed_s = time.monotonic() - began

    assert delta.seq_no == snapshot.seq_no + 1
    assert delta.bids == [(price(64999), 103 * E8)]
    assert elapsed_s >= 0.099


async def test_best_prices_and_book_share_one_numbering(client: Client, venue: Venue) -> None:
    socket = await client.socket(SBE, auth=False)
    await socket.subscribe(DELTAS, f"bbo.{BTC}")
    await socket.next_frame(BOOK)
    bbo_numbers, book_numbers = [], []
    for step in range(1, 6):
        venue.show(bids=[(price(65000 - step), E8)], asks=venue.asks)
        bbo_numbers.append((await socket.next_frame(BBO)).integers(2)[1])
        book_numbers.append(BookFrame(await socket.next_frame(BOOK)).seq_no)

    assert bbo_numbers == book_numbers


async def test_a_newcomer_gets_its_own_snapshot_and_disturbs_nobody(client: Client, venue: Venue) -> None:
    first = await client.socket(SBE, auth=False)
    await first.subscribe(DELTAS)
    snapshot = BookFrame(await first.next_frame(BOOK))
    venue.show(bids=[(price(65000), 2 * E8), (price(64000), E8)], asks=venue.asks)  # waits for its delta
    second = await client.socket(SBE, auth=False)
    await second.subscribe(DELTAS)
    late = BookFrame(await second.next_frame(BOOK))
    delta = BookFrame(await first.next_frame(BOOK))

    assert delta.is_delta
    assert delta.seq_no == snapshot.seq_no + 1 == late.seq_no
    assert not late.is_delta
    assert late.bids == [(price(65000), 2 * E8), (price(64000), E8)]


async def test_after_a_resubscription_the_snapshot_comes_first(client: Client, venue: Venue) -> None:
    socket = await client.socket(SBE, auth=False)
    await socket.subscribe(DELTAS)
    await socket.result("unsubscribe", {"channel": DELTAS})
    socket.frames.clear()
    venue.show(bids=[(price(60000), E8)], asks=venue.asks)
    await socket.subscribe(DELTAS)
    frame = BookFrame(await socket.next_frame(BOOK))

    assert not frame.is_delta
    assert frame.bids == [(price(60000), E8)]


async def test_json_connections_hear_the_same_book_in_words(client: Client, venue: Venue) -> None:
    socket = await client.socket(auth=False)
    channel = f"{DELTAS}@15@50ms"
    await socket.subscribe(channel, f"bbo.{BTC}")
    snapshot = await socket.next_on(channel)
    venue.show(bids=[(price(65000), E8), (price(64998, 5), E8)], asks=venue.asks)
    bbo = await socket.next_on(f"bbo.{BTC}")
    delta = await socket.next_on(channel)

    assert snapshot["update_type"] == "s"
    assert snapshot["inserts"][0] == {"side": "BUY", "price": "65000", "size": "2"}
    assert snapshot["best_bid_api"] == snapshot["inserts"][0]
    assert (bbo["bid"], bbo["bid_size"], bbo["ask"]) == ("65000", "1", "65001")
    assert delta["update_type"] == "d"
    assert delta["seq_no"] == snapshot["seq_no"] + 1 == bbo["seq_no"]
    assert delta["updates"] == [{"side": "BUY", "price": "65000", "size": "1"}]
    assert delta["inserts"] == [{"side": "BUY", "price": "64998.5", "size": "1"}]
    assert delta["deletes"] == [{"side": "BUY", "price": "64999", "size": "0"}]


@pytest.mark.parametrize("query", [SBE, ""])
async def test_snapshots_come_at_their_rate_and_only_when_changed(
    client: Client, venue: Venue, query: str
) -> None:
    socket = await client.socket(query, auth=False)
    channel = f"order_book.{BTC}.snapshot@15@50ms"
    await socket.subscribe(channel)

    async def next_snapshot() -> tuple[int, Any]:
        if query:
            book = BookFrame(await socket.next_frame(BOOK))
            return book.seq_no, book.bids[0][0]
        data = await socket.next_on(channel)
        return data["seq_no"], int(data["inserts"][0]["price"]) * E8

    first_seq, first_bid = await next_snapshot()
    began = time.monotonic()
    venue.show(bids=[(price(64000), E8)], asks=venue.asks)
    venue.show(bids=[(price(63000), E8)], asks=venue.asks)
    second_seq, second_bid = await next_snapshot()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(next_snapshot(), 0.15)

    assert (first_bid, second_bid) == (price(65000), price(63000))
    assert second_seq > first_seq
    assert time.monotonic() - began < 1.0


async def test_every_word_ends_in_a_newline_and_every_subscriber_gets_the_same(
    client: Client, venue: Venue
) -> None:
    one, two = await client.socket(auth=False), await client.socket(auth=False)
    for socket in (one, two):
        await socket.subscribe("bbo.ALL")
    venue.show(bids=[(price(64000), E8)], asks=venue.asks)
    for socket in (one, two):
        await socket.next_on("bbo.ALL", market=BTC)

    assert all(text.endswith("\n") for text in one.texts)
    assert one.texts[-1] == two.texts[-1]


async def test_trades_are_public_with_the_takers_side(venue: Venue) -> None:
    async with Client(venue.url) as client:
        await client.onboard()
        await client.log_in()
        socket = await client.socket(SBE)
        await socket.subscribe(f"trades.{BTC}", DELTAS)
        await socket.next_frame(BOOK)
        await socket.result("order.create", client.key.order(side="SELL", price="65000", size="0.25"))
        frame = await socket.next_frame(TRADE)
        delta = BookFrame(await socket.next_frame(BOOK))
        (listed,) = (await client.get(f"/trades?market={BTC}"))["results"]

    _, seq_no, low_id = frame.integers(3)
    assert frame.byte(24) == 2  # SELL
    assert frame.integers(2, at=25) == (price(65000), E8 // 4)
    assert frame.text() == BTC
    trade_id = frame.text()
    assert int(trade_id) % 2**64 == low_id % 2**64
    assert seq_no == delta.seq_no
    assert delta.bids == [(price(65000), 175 * E8 // 100)]
    assert (listed["id"], listed["side"], listed["price"]) == (trade_id, "SELL", "65000")


async def test_summaries_are_repeated(start: StartVenue) -> None:
    venue = await start(summary_interval_ms=20.0)
    async with Client(venue.url) as client:
        socket = await client.socket(SBE, auth=False)
        words = await client.socket(auth=False)
        await socket.subscribe(f"markets_summary.{BTC}")
        await words.subscribe("markets_summary.ALL")
        first, second = await socket.next_frame(SUMMARY), await socket.next_frame(SUMMARY)
        logged = await words.next_on("markets_summary.ALL", symbol=BTC)

    assert first.block_length == 240
    assert second.integers(2)[1] > first.integers(2)[1]
    assert second.integers(1, at=16) == (price(65000, 5),)
    assert logged["mark_price"] == "65000.5"


@pytest.mark.parametrize(
    ("query", "channel", "data"),
    [
        (SBE, f"{DELTAS}@15@50ms", "no parameters expected for deltas topic."),
        (SBE, f"order_book.{BTC}.snapshot@20@50ms", "Expecting depth=15"),
        (SBE, "bbo.DOGE-USD-PERP", "invalid channel"),
        ("", "nonsense", "invalid channel"),
        ("", f"order_book.{BTC}.deltas@1@1ms", "invalid channel"),
        ("", 7, "invalid channel"),
    ],
)
async def test_a_channel_that_is_not_served_is_refused(
    client: Client, query: str, channel: object, data: str
) -> None:
    socket = await client.socket(query, auth=False)
    error = await socket.error("subscribe", {"channel": channel})

    assert error == {"code": -32600, "message": "invalid subscribe request", "data": data}


async def test_one_book_channel_per_market_on_an_sbe_connection(client: Client) -> None:
    """SBE frames do not name their channel, so two could not be told apart."""
    socket = await client.socket(SBE, auth=False)
    await socket.subscribe(DELTAS, "order_book.ETH-USD-PERP.deltas")
    error = await socket.error("subscribe", {"channel": f"order_book.{BTC}.snapshot@15@50ms"})

    assert error["data"] == "cannot share an SBE session"


async def test_subscribing_twice_and_unsubscribing_twice_are_errors(client: Client) -> None:
    socket = await client.socket(auth=False)
    await socket.subscribe("bbo.ALL")
    twice = await socket.error("subscribe", {"channel": "bbo.ALL"})
    assert await socket.result("unsubscribe", {"channel": "bbo.ALL"}) == {"channel": "bbo.ALL"}
    gone = await socket.error("unsubscribe", {"channel": "bbo.ALL"})

    assert twice["data"] == "already subscribed"
    assert gone["data"] == "not subscribed"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", -32700),
        ("[]", -32600),
        ('{"jsonrpc":"2.0","id":1}', -32600),
        ('{"jsonrpc":"2.0","id":1,"method":"fly"}', -32601),
        ('{"jsonrpc":"2.0","id":1,"method":"subscribe","params":[]}', -32600),
        ('{"jsonrpc":"2.0","id":1,"method":"subscribe","params":["x"]}', -32602),
        ('{"jsonrpc":"2.0","id":1,"method":"auth","params":{"bearer":"x"}}', 40110),
        ('{"jsonrpc":"2.0","id":1,"method":"auth","params":{"bearer":"a.b.c"}}', 40111),
        ('{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"channel":"account"}}', 40300),
        ('{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"channel":"transfers"}}', 40300),
        ('{"jsonrpc":"2.0","id":1,"method":"order.cancel_all","params":{}}', 40300),
    ],
)
async def test_rubbish_gets_a_documented_error(client: Client, text: str, code: int) -> None:
    socket = await client.socket(auth=False)
    await socket.raw.send_str(text)
    await socket.read()
    reply = json.loads(socket.texts[-1])

    assert reply["error"]["code"] == code
    assert {"usIn", "usDiff", "usOut"} <= reply.keys()
    assert reply["id"] == (1 if '"id"' in text else 0)


async def test_an_authenticated_socket_outlives_its_token(venue: Venue) -> None:
    async with Client(venue.url) as client:
        await client.onboard()
        await client.log_in()
        socket = await client.socket()
        again = await socket.error("auth", {"bearer": client.token})
        venue.clock.ahead_s = 400.0
        await socket.subscribe("account")
        late = await (await client.socket(auth=False)).error("auth", {"bearer": client.token})

    assert again["code"] == -32600
    assert late["code"] == 40111


async def test_an_idle_sbe_connection_hears_a_heartbeat(start: StartVenue) -> None:
    venue = await start(heartbeat_idle_s=0.05)
    async with Client(venue.url) as client:
        socket = await client.socket("?sbeSchemaId=1&sbeSchemaVersion=1", auth=False)
        first, second = await socket.next_frame(HEARTBEAT), await socket.next_frame(HEARTBEAT)

    assert (first.block_length, first.version) == (16, 1)
    assert second.integers(1)[0] - first.integers(1)[0] >= 45_000


async def test_the_venue_pings_and_drops_who_does_not_answer(start: StartVenue) -> None:
    venue = await start(ping_interval_s=0.05, pong_timeout_s=0.2)
    async with Client(venue.url) as client:
        silent = await client.socket(auth=False, autoping=False)
        answering = await client.socket(auth=False)  # pongs are sent beneath, while it receives
        listening = asyncio.create_task(asyncio.wait_for(answering.raw.receive(), 0.4))
        ping = await silent.raw.receive(timeout=DEADLINE_S)
        gone = ping
        while gone.type is aiohttp.WSMsgType.PING:
            gone = await silent.raw.receive(timeout=DEADLINE_S)
        with pytest.raises(TimeoutError):
            await listening

    assert ping.type is aiohttp.WSMsgType.PING
    assert gone.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)


async def test_clients_may_ping_too(client: Client) -> None:
    socket = await client.socket(auth=False, autoping=False)
    await socket.raw.ping(b"are you there")
    pong = await socket.raw.receive(timeout=DEADLINE_S)

    assert (pong.type, bytes(pong.data)) == (aiohttp.WSMsgType.PONG, b"are you there")


async def test_a_reader_that_falls_behind_is_cut_off(start: StartVenue) -> None:
    """The sockets' own buffers fill first; then the venue counts what waits, and ends it."""
    venue = await start(undelivered_max=200)
    async with Client(venue.url) as client:
        slow = await client.socket(SBE, auth=False)
        await slow.subscribe(f"bbo.{BTC}")
        transport = slow.raw._response.connection.transport  # type: ignore[union-attr]
        assert transport is not None
        transport.pause_reading()
        sessions = venue.front._sockets
        assert len(sessions) == 1
        step = 0

        def is_gone() -> bool:
            nonlocal step
            for _ in range(1000):
                step += 1
                venue.show(bids=[(price(60000 + step % 1000), E8)], asks=venue.asks)
            return not sessions

        await eventually(is_gone, "the slow reader is dropped")


async def test_too_many_connects_are_refused(start: StartVenue) -> None:
    venue = await start(rate_limits=RateLimits(connects=((2, 60),)))
    async with Client(venue.url) as client:
        await client.socket(auth=False)
        await client.socket(auth=False)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.socket(auth=False)

    assert refused.value.status == 429


async def test_a_dropped_delta_leaves_a_gap(client: Client, venue: Venue) -> None:
    socket = await client.socket(SBE, auth=False)
    await socket.subscribe(DELTAS)
    snapshot = BookFrame(await socket.next_frame(BOOK))
    venue.front.faults.add(Fault(f"push.{DELTAS}", drop=True))
    for step in (1, 2):
        venue.show(bids=[(price(65000 - step), E8)], asks=venue.asks)
    delta = BookFrame(await socket.next_frame(BOOK))

    assert delta.seq_no == snapshot.seq_no + 2


async def test_private_channels_are_words_unless_the_venue_is_told_otherwise(start: StartVenue) -> None:
    for in_sbe in (False, True):
        venue = await start(sbe_private=in_sbe)
        async with Client(venue.url) as client:
            await client.onboard()
            await client.log_in()
            socket = await client.socket(SBE)
            await socket.subscribe("orders.ALL", "fills.ALL")
            await socket.result("order.create", client.key.order(side="SELL", price="65000", client_id="p"))
            if in_sbe:
                await _check_private_frames(socket, client)
            else:
                closed = await socket.next_on("orders.ALL", status="CLOSED")
                assert closed["client_id"] == "p"
                assert socket.frames == []


async def _check_private_frames(socket: Socket, client: Client) -> None:
    fill = await socket.next_frame(FILL)
    await socket.next_frame(ORDER)  # NEW
    order = await socket.next_frame(ORDER)
    assert (fill.byte(17), fill.byte(18)) == (2, 2)  # SELL, TAKER
    assert fill.integers(2, at=19) == (price(65000), E8 // 100)
    assert (order.byte(16), order.byte(17)) == (4, 2)  # CLOSED, SELL
    assert order.text().isdigit()
    assert order.text() == "p"


async def test_closing_the_private_sockets_leaves_the_public_ones(venue: Venue) -> None:
    async with Client(venue.url) as client:
        await client.onboard()
        await client.log_in()
        private, public = await client.socket(), await client.socket(auth=False)
        await venue.front.close_sockets("private", 1012)
        closed = await private.raw.receive(timeout=DEADLINE_S)
        await public.subscribe("bbo.ALL")

    assert closed.type is aiohttp.WSMsgType.CLOSE
    assert private.raw.close_code == 1012
