"""One contract, one suite: every adapter against its simulated venue over real sockets.

The simulators share no protocol code with the adapters, and clients that share none with either trade
on them in ``tests/simulator``: an error both sides share would have to be theirs too.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from simulator.paradex.sockets import Socket
from tests.venues.account import (
    SIZE_E8,
    VenueHarness,
    Watch,
    a_venue_harness,
    is_ack,
    is_fill,
    is_final,
    now_unix_ms,
    only,
)
from tests.venues.venue_case import INSTRUMENT_ID, VenueCase
from tests.venues.venue_cases import VENUE_CASES
from tests.waiting import DEADLINE_S
from venues.contract import (
    E8,
    FaultKind,
    Fill,
    OrderAck,
    OrderRef,
    OrderStatus,
    OrderUpdate,
    Outcome,
    PrivateEvent,
    Side,
    TimeInForce,
    TransportError,
    VenueError,
)

pytestmark = pytest.mark.parametrize("venue_case", VENUE_CASES.values(), ids=VENUE_CASES.keys())


def last_update(events: list[PrivateEvent]) -> OrderUpdate:
    return only(OrderUpdate, events)[-1]


# --- market data ---


async def test_market_data_follows_the_book(venue_case: VenueCase) -> None:
    async with a_venue_harness(venue_case) as harness:
        watch = Watch(venue_case.market_data(harness.hosts))
        async with harness.session.ws_connect(watch.feed.url) as socket:
            watch.feed.connected(0)
            await watch.until(socket, lambda: bool(watch.depths))
            harness.show(61_000, 61_002)
            await watch.until(
                socket,
                lambda: (
                    any(top.bid_e8 == 61_000 * E8 for top in watch.tops)
                    and watch.depths[-1].bids == [(61_000 * E8, E8)]
                ),
            )
        assert watch.tops[-1][:5] == (INSTRUMENT_ID, 61_000 * E8, E8, 61_002 * E8, E8)
        assert watch.depths[-1].asks == [(61_002 * E8, E8)]
        assert all(top.is_valid for top in watch.tops)
        assert watch.faults == []


async def test_a_lost_message_of_the_book_is_a_gap_or_made_good_by_the_next(venue_case: VenueCase) -> None:
    """Where messages are counted it is named and the book void until mended; else each is whole."""
    async with a_venue_harness(venue_case) as harness:
        watch = Watch(venue_case.market_data(harness.hosts))
        async with harness.session.ws_connect(watch.feed.url) as socket:
            watch.feed.connected(0)
            await watch.until(socket, lambda: bool(watch.depths))
            lost = harness.front.faults.add(venue_case.strikes().lost_push)
            bid = 60_000

            def struck() -> bool:
                nonlocal bid
                bid += 1
                harness.show(bid, bid + 1)
                return bool(lost.struck and (watch.faults or not venue_case.counts_messages))

            await watch.until(socket, struck)
            if venue_case.counts_messages:
                assert [fault.kind for fault in watch.faults] == [FaultKind.GAP]
                assert not watch.depths[-1].is_valid
            harness.show(62_000, 62_001)
            await watch.until(
                socket,
                lambda: watch.depths[-1].is_valid and watch.depths[-1].bids == [(62_000 * E8, E8)],
            )
        assert len(watch.faults) == venue_case.counts_messages


async def test_pings_are_answered_on_both_sides(
    venue_case: VenueCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours by the venue, without a fault; the venue's by the socket library, or it would hang up."""
    async with a_venue_harness(venue_case) as harness:
        if venue_case.pings_by_itself:
            watch = Watch(venue_case.market_data(harness.hosts))
            async with harness.session.ws_connect(watch.feed.url) as socket:
                watch.feed.connected(0)
                await watch.until(socket, lambda: bool(watch.tops and watch.depths))
                watch.feed.tick(60 * 10**9)
                await watch.until(socket, lambda: any(b"PONG" in frame.upper() for frame in watch.received))
            assert watch.faults == []
        else:
            # The venue pings every 20 ms here and gives up after ten seconds without an answer.
            [session] = harness.front._sockets  # type: ignore[attr-defined]
            pongs = await pongs_heard(session.socket, at_least=3)
            assert pongs >= 3
        await harness.place(harness.order(price=60_100))
        assert last_update(await harness.until(is_final)).status is OrderStatus.FILLED


async def pongs_heard(socket: Socket, at_least: int) -> int:
    """Count the pongs a simulated socket hears."""

    class Counting(asyncio.Event):
        count = 0

        def set(self) -> None:
            self.count += 1
            super().set()

    heard = socket._ponged = Counting()
    async with asyncio.timeout(DEADLINE_S):
        while heard.count < at_least:
            heard.clear()
            await heard.wait()
    return heard.count


# --- outcomes ---


async def test_a_taken_order_is_filled_and_every_source_tells_the_same(venue_case: VenueCase) -> None:
    """Ack, update, fill, query, position and account."""
    async with a_venue_harness(venue_case) as harness:
        request = harness.order(price=60_100)
        await harness.place(request)

        events = await harness.until(is_ack, is_final, is_fill)

        [ack], final, [fill] = only(OrderAck, events), last_update(events), only(Fill, events)
        assert (ack.client_order_id, ack.outcome) == (request.client_order_id, Outcome.ACCEPTED)
        assert (final.status, final.filled_e8) == (OrderStatus.FILLED, SIZE_E8)
        assert (final.client_order_id, final.venue_order_id) == (request.client_order_id, ack.venue_order_id)
        assert (fill.client_order_id, fill.side) == (request.client_order_id, Side.BUY)
        assert (fill.price_e8, fill.size_e8) == (60_001 * E8, SIZE_E8)
        assert 0 < fill.fee_e8 < 60_001 * SIZE_E8 // 1_000
        queried = await harness.query(request)
        assert queried is not None
        assert queried._replace(venue_unix_ns=0, funding_e8=None) == final._replace(venue_unix_ns=0)
        # What it settled in funding is told with the fill, or in the order's row.
        assert (fill.funding_e8, queried.funding_e8) in ((0, None), (None, 0))
        [position] = await harness.run(harness.trading.query_positions(now_unix_ms()))
        assert position[:3] == (INSTRUMENT_ID, SIZE_E8, 60_001 * E8)
        account = await harness.run(harness.trading.query_account(now_unix_ms()))
        assert account.value_e8 > account.free_e8 > account.maintenance_margin_e8 > 0


async def test_an_order_out_of_reach_fills_nothing(venue_case: VenueCase) -> None:
    async with a_venue_harness(venue_case) as harness:
        await harness.place(harness.order(price=59_000))

        events = await harness.until(is_ack, is_final)

        assert last_update(events).status in (OrderStatus.CANCELLED, OrderStatus.REJECTED)
        assert not last_update(events).filled_e8
        assert not only(Fill, events)
        assert await harness.position_e8() == 0


async def test_a_partly_filled_order_ends_cancelled_and_the_position_tells_how_much(
    venue_case: VenueCase,
) -> None:
    """One unit is shown, one and a half is asked for. A venue may not say how much was filled."""
    async with a_venue_harness(venue_case) as harness:
        size_e8 = 3 * E8 // 2
        await harness.place(harness.order(price=60_100, size_e8=size_e8, time_in_force=TimeInForce.IOC))

        final = last_update(await harness.until(is_final))

        assert final.status is OrderStatus.CANCELLED
        assert final.filled_e8 == (E8 if venue_case.tells_partial_fills else None)
        assert await harness.position_e8() == E8


async def test_a_resting_order_partly_filled_stays_open(venue_case: VenueCase) -> None:
    async with a_venue_harness(venue_case) as harness:
        request = harness.order(price=60_001, size_e8=3 * E8 // 2, time_in_force=TimeInForce.GTC)
        await harness.place(request)
        events = await harness.until(is_ack, is_fill)

        [fill] = only(Fill, events)
        assert (fill.size_e8, fill.client_order_id) == (E8, request.client_order_id)
        assert {update.status for update in only(OrderUpdate, events)} == {OrderStatus.OPEN}
        [resting] = await harness.run(harness.trading.query_open_orders(now_unix_ms()))
        assert (resting.client_order_id, resting.status) == (request.client_order_id, OrderStatus.OPEN)
        assert resting.filled_e8 == (E8 if venue_case.tells_partial_fills else None)


async def test_a_resting_order_is_found_cancelled_and_gone(venue_case: VenueCase) -> None:
    """By our id alone, as after a lost answer; and a second cancel is refused."""
    async with a_venue_harness(venue_case) as harness:
        request = harness.order(price=59_000, time_in_force=TimeInForce.GTC)
        ref = OrderRef(request.client_order_id, harness.instrument)
        assert await harness.query(request) is None
        early = await harness.run(harness.trading.cancel_order(ref, now_unix_ms()))
        assert early.outcome is not Outcome.ACCEPTED
        await harness.place(request)
        await harness.until(is_ack, lambda event: isinstance(event, OrderUpdate))
        [resting] = await harness.run(harness.trading.query_open_orders(now_unix_ms()))
        assert (resting.client_order_id, resting.status) == (request.client_order_id, OrderStatus.OPEN)

        assert (
            await harness.run(harness.trading.cancel_order(ref, now_unix_ms()))
        ).outcome is Outcome.ACCEPTED

        final = last_update(await harness.until(is_final))
        assert (final.client_order_id, final.status) == (request.client_order_id, OrderStatus.CANCELLED)
        assert await harness.run(harness.trading.query_open_orders(now_unix_ms())) == []
        again = await harness.run(harness.trading.cancel_order(ref, now_unix_ms()))
        assert again.outcome is Outcome.REFUSED
        assert (await harness.found(request)).status is OrderStatus.CANCELLED


async def test_a_reduce_only_order_closes_and_cannot_open(venue_case: VenueCase) -> None:
    """The unwind of a leg must never become a new position."""
    async with a_venue_harness(venue_case) as harness:
        await harness.place(harness.order(price=60_100))
        await harness.until(is_final)
        closing = harness.order(price=59_900, side=Side.SELL, reduce_only=True)
        await harness.place(closing)
        assert last_update(await harness.until(is_final)).status is OrderStatus.FILLED
        assert await harness.position_e8() == 0

        await harness.place(harness.order(price=59_900, side=Side.SELL, reduce_only=True))

        events = await harness.until(lambda event: is_final(event) or is_refused(event))
        assert not only(Fill, events)
        assert await harness.position_e8() == 0


def is_refused(event: PrivateEvent) -> bool:
    return isinstance(event, OrderAck) and event.outcome is Outcome.REFUSED


async def test_an_order_beyond_the_margin_is_refused_or_rejected_with_a_reason(venue_case: VenueCase) -> None:
    async with a_venue_harness(venue_case) as harness:
        harness.front.exchange.apply_market(venue_case.symbol, [(60_000 * E8, E8)], [(60_001 * E8, 100 * E8)])
        await harness.place(harness.order(price=60_100, size_e8=99 * E8))

        events = await harness.until(lambda event: is_final(event) or is_refused(event))

        if is_refused(events[-1]):
            [ack] = only(OrderAck, events)
            assert ack.code
            assert ack.retry_after_ms is None
        else:
            assert (last_update(events).status, last_update(events).filled_e8) == (OrderStatus.REJECTED, 0)
            assert last_update(events).reason
        assert await harness.position_e8() == 0


async def test_the_same_order_written_twice_stays_one_order(venue_case: VenueCase) -> None:
    """The second is in doubt, never refused: an order with its id does stand."""
    async with a_venue_harness(venue_case) as harness:
        request = harness.order(price=59_000, time_in_force=TimeInForce.GTC)
        signed = harness.trading.sign_create(request, now_unix_ms())
        await harness.write(signed)
        [first] = only(OrderAck, await harness.until(is_ack))
        await harness.write(signed)
        second = only(OrderAck, await harness.until(is_ack))[-1]

        assert (first.outcome, second.outcome) == (Outcome.ACCEPTED, Outcome.IN_DOUBT)
        assert second.client_order_id == request.client_order_id
        [resting] = await harness.run(harness.trading.query_open_orders(now_unix_ms()))
        assert resting.venue_order_id == first.venue_order_id


async def test_an_answer_is_about_the_order_that_left_of_all_signed_under_its_id(
    venue_case: VenueCase,
) -> None:
    """Both directions are presigned for one id, and signed anew now and then: only one of them leaves."""
    async with a_venue_harness(venue_case) as harness:
        buy = harness.order(price=60_100)
        sell = buy._replace(side=Side.SELL, limit_price_e8=59_000 * E8)
        left = harness.trading.sign_create(buy, now_unix_ms())
        for later in (sell, buy):
            harness.trading.sign_create(later, now_unix_ms())
        harness.trading.sign_create(sell, now_unix_ms())
        await harness.write(left)
        [ack] = only(OrderAck, await harness.until(is_ack))

        assert (ack.client_order_id, ack.outcome) == (buy.client_order_id, Outcome.ACCEPTED)
        found = await harness.found(buy)
        assert (found.status, found.filled_e8) == (OrderStatus.FILLED, buy.size_e8)


async def test_an_order_written_too_late_is_refused(venue_case: VenueCase) -> None:
    """Past its window the venue drops it: a template kept too long cannot trade."""
    async with a_venue_harness(venue_case) as harness:
        request = harness.order(price=60_100)
        await harness.write(harness.trading.sign_create(request, now_unix_ms() - venue_case.late_ms))

        [ack] = only(OrderAck, await harness.until(is_ack))

        assert (ack.client_order_id, ack.outcome) == (request.client_order_id, Outcome.REFUSED)
        assert ack.retry_after_ms is None
        assert await harness.query(request) is None


async def test_a_changed_price_is_refused_for_its_signature(venue_case: VenueCase) -> None:
    """The simulator does verify: a wrong hash would have failed every test above."""
    async with a_venue_harness(venue_case) as harness:
        signed = harness.trading.sign_create(harness.order(price=60_100), now_unix_ms())
        wire: Any = signed.wire
        if isinstance(wire, bytes):
            changed: Any = wire.replace(b'"60100', b'"60200')
        else:
            changed = wire._replace(body=wire.body.replace(b'"60100', b'"60200'))
        assert changed != wire
        await harness.write(signed._replace(wire=changed))

        [ack] = only(OrderAck, await harness.until(is_ack))

        assert ack.outcome is Outcome.REFUSED
        assert "SIGNATURE" in f"{ack.code} {ack.text}"


async def test_a_limit_of_the_venues_is_a_refusal_for_now(venue_case: VenueCase) -> None:
    """Nothing stands, and the same order may be made again after a pause."""
    async with a_venue_harness(venue_case) as harness:
        harness.front.faults.add(venue_case.strikes().rate_limit)
        request = harness.order(price=60_100)
        await harness.place(request)

        [ack] = only(OrderAck, await harness.until(is_ack))

        assert ack.outcome is Outcome.REFUSED
        assert ack.retry_after_ms is not None
        assert 0 < ack.retry_after_ms <= 60_000
        assert await harness.query(request) is None
        await harness.place(request)
        assert last_update(await harness.until(is_final)).status is OrderStatus.FILLED


async def test_an_answer_that_settles_nothing_leaves_the_order_in_doubt(venue_case: VenueCase) -> None:
    async with a_venue_harness(venue_case) as harness:
        harness.front.faults.add(venue_case.strikes().doubt)
        request = harness.order(price=60_100)
        await harness.place(request)

        [ack] = only(OrderAck, await harness.until(is_ack))

        assert (ack.client_order_id, ack.outcome) == (request.client_order_id, Outcome.IN_DOUBT)


async def test_an_order_whose_answer_was_lost_is_found_by_our_id(venue_case: VenueCase) -> None:
    """It was carried out, and nobody said so: the question by client order id ends the doubt."""
    async with a_venue_harness(venue_case) as harness:
        harness.front.faults.add(venue_case.strikes().lost_answer)
        request = harness.order(price=60_100)
        try:
            await harness.place(request)
        except TransportError:
            assert harness.trading.create_transport == "http"  # over a socket nothing ever comes back
        else:
            assert harness.trading.create_transport == "ws"

        found = await harness.found(request)

        assert (found.status, found.filled_e8) == (OrderStatus.FILLED, SIZE_E8)
        assert found.client_order_id == request.client_order_id
        assert await harness.position_e8() == SIZE_E8


# --- session ---


async def test_a_renewed_session_goes_on(venue_case: VenueCase) -> None:
    """Renewal is due later, works now, and disturbs neither stream nor orders."""
    async with a_venue_harness(venue_case) as harness:
        assert harness.trading.renew_due_unix_ms > now_unix_ms()
        await harness.run(harness.trading.renew(now_unix_ms()))
        await harness.place(harness.order(price=60_100))
        assert last_update(await harness.until(is_final)).status is OrderStatus.FILLED
        assert (await harness.run(harness.trading.query_account(now_unix_ms()))).value_e8 > 0


async def test_an_unknown_symbol_is_named(venue_case: VenueCase) -> None:
    async with a_venue_harness(venue_case) as harness:
        with pytest.raises(VenueError, match="NOPE"):
            await harness.run(harness.trading.fetch_instruments({"NOPE-USD-PERP": 1}))


async def test_a_grid_the_venue_states_is_the_grid_it_enforces(venue_case: VenueCase) -> None:
    """One step off is refused by us; the order on the step beside it stands at the venue."""
    async with a_venue_harness(venue_case) as harness:
        tick_e8, lot_e8 = harness.instrument.price_step_e8(59_000 * E8), harness.instrument.lot_e8
        good = harness.order(price=59_000, time_in_force=TimeInForce.GTC)
        good = good._replace(limit_price_e8=good.limit_price_e8 + tick_e8, size_e8=good.size_e8 + lot_e8)
        for changes in (
            {"limit_price_e8": good.limit_price_e8 + 1},
            {"size_e8": good.size_e8 + 1},
            {"size_e8": harness.instrument.min_size_e8 - lot_e8},
        ):
            with pytest.raises(ValueError, match=venue_case.symbol):
                await harness.place(good._replace(**changes))  # type: ignore[arg-type]
        await place_and_stand(harness, good)


async def place_and_stand(harness: VenueHarness, request: Any) -> None:
    await harness.place(request)
    [ack] = only(OrderAck, await harness.until(is_ack))
    assert ack.outcome is Outcome.ACCEPTED, ack
    [resting] = await harness.run(harness.trading.query_open_orders(now_unix_ms()))
    assert resting.size_e8 == request.size_e8
