"""Answer, update and fills in every order, doubled and lost: what an order did is told once, and in full."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import pytest

from tests.venues.hyperliquid.builders import NOW_UNIX_MS, a_session, an_order, leave
from tests.venues.hyperliquid.venue_case import TIME, acknowledge, done, fills, frame, refused, update
from tests.venues.venue_case import Frame
from venues.contract import (
    E8,
    Fill,
    FrameError,
    OrderAck,
    OrderStatus,
    OrderUpdate,
    Outcome,
    PrivateEvent,
    Side,
    StreamReady,
    TimeInForce,
)
from venues.hyperliquid import HyperliquidTrading

SIZE_E8 = E8 // 10
OID = 569017209592
FILLED = done({"filled": {"totalSz": "0.1", "avgPx": "89960.0", "oid": OID}})


def a_stream(**changes: Any) -> HyperliquidTrading:
    """A stream that is ready and an order, ``an_order`` with changes, on its way."""
    trading = a_session()
    leave(trading, trading.sign_create(an_order(**changes), NOW_UNIX_MS))
    trading.stream_connected(0)
    for request in trading.stream_take_frames():
        trading.stream_receive(*acknowledge(request), 1)
    assert trading.stream_take_events() == [StreamReady(1)]
    return trading


def reported(trading: HyperliquidTrading, frames: Sequence[Frame]) -> list[PrivateEvent]:
    events: list[PrivateEvent] = []
    for each in frames:
        trading.stream_receive(*each, 2)
        events += trading.stream_take_events()
    return events


def updates(events: Sequence[PrivateEvent]) -> list[OrderUpdate]:
    return [event for event in events if isinstance(event, OrderUpdate)]


@pytest.mark.parametrize("frames", [*permutations((FILLED, update("filled", "0.0"), fills("0.04", "0.06")))])
def test_whatever_comes_first_the_last_update_says_everything(frames: Sequence[Frame]) -> None:
    """Price and fee, too, which neither the answer nor the update tells."""
    events = reported(a_stream(), frames)

    last = updates(events)[-1]
    assert (last.status, last.filled_e8, last.size_e8) == (OrderStatus.FILLED, SIZE_E8, SIZE_E8)
    assert (last.average_price_e8, last.fee_e8) == (89_960 * E8, 71_800_000)
    assert sum(event.size_e8 for event in events if isinstance(event, Fill)) == SIZE_E8
    [ack] = [event for event in events if isinstance(event, OrderAck)]
    assert (ack.outcome, ack.venue_order_id) == (Outcome.ACCEPTED, str(OID))


@pytest.mark.parametrize("word", ["filled", "canceled"])
@pytest.mark.parametrize("place", range(3))
def test_an_ioc_filled_in_part_is_over_whatever_the_last_word(word: str, place: int) -> None:
    """Which word ends it is not settled: the amount comes from answer and fills."""
    frames = [done({"filled": {"totalSz": "0.04", "avgPx": "89960.0", "oid": OID}}), fills("0.04")]
    frames.insert(place, update(word, "0.06"))

    last = updates(reported(a_stream(), frames))[-1]

    assert (last.status, last.filled_e8) == (OrderStatus.CANCELLED, SIZE_E8 * 4 // 10)
    assert last.fee_e8 == 35_900_000


def test_a_limit_order_filled_in_part_at_once_stays_open() -> None:
    trading = a_stream(time_in_force=TimeInForce.GTC)
    events = reported(trading, [done({"filled": {"totalSz": "0.04", "avgPx": "89960.0", "oid": OID}})])
    assert (updates(events)[-1].status, updates(events)[-1].filled_e8) == (
        OrderStatus.OPEN,
        SIZE_E8 * 4 // 10,
    )


def test_a_reduce_only_order_that_was_cut_is_believed_by_answer_and_fills() -> None:
    """What remains of it (nothing) would say that all of it was filled."""
    trading = a_stream(reduce_only=True, side=Side.BUY)

    events = reported(trading, [update("filled", "0.0")])
    assert [(item.status, item.filled_e8) for item in updates(events)] == [(OrderStatus.OPEN, 0)]
    events = reported(trading, [fills("0.03")])
    assert not [item for item in updates(events) if item.status.is_final]
    events = reported(trading, [done({"filled": {"totalSz": "0.03", "avgPx": "89960.0", "oid": OID}})])

    last = updates(events)[-1]
    assert (last.status, last.filled_e8) == (OrderStatus.CANCELLED, SIZE_E8 * 3 // 10)


def test_a_fill_told_twice_counts_once_also_across_connections() -> None:
    """A new connection begins with a snapshot of the last fills."""
    trading = a_stream()
    once = reported(trading, [fills("0.04"), fills("0.04")])
    trading.stream_connected(5)
    content = json.loads(fills("0.04", "0.06").content)
    content["data"]["isSnapshot"] = True

    again = reported(trading, [frame(content)])

    assert [event.size_e8 for event in once if isinstance(event, Fill)] == [SIZE_E8 * 4 // 10]
    assert [event.size_e8 for event in again if isinstance(event, Fill)] == [SIZE_E8 * 6 // 10]


def test_a_snapshot_does_not_tell_what_others_filled_long_ago() -> None:
    trading = a_stream()
    content = json.loads(fills("0.04", cloid=None).content)
    content["data"]["isSnapshot"] = True
    assert reported(trading, [frame(content)]) == []


def test_a_frame_with_one_bad_fill_is_used_for_nothing() -> None:
    """Its good fill comes again, and is then no double."""
    trading = a_stream()
    content = json.loads(fills("0.04", "0.06").content)
    content["data"]["fills"][1]["sz"] = "-1"
    with pytest.raises(FrameError):
        reported(trading, [frame(content)])
    assert [event.size_e8 for event in reported(trading, [fills("0.04")]) if isinstance(event, Fill)] == [
        4_000_000
    ]


def test_funding_is_told_with_the_next_fill_of_its_coin_and_once() -> None:
    """It is paid every hour by itself; the contract counts it with the fill that ends the position."""
    trading = a_stream()
    hours = [
        {
            "time": TIME + hour,
            "coin": coin,
            "usdc": usdc,
            "szi": "0.1",
            "fundingRate": "0.0",
            "nSamples": None,
        }
        for hour, coin, usdc in ((1, "BTC", "-0.5"), (2, "BTC", "-0.25"), (3, "TAO", "-9.0"))
    ]
    data = {"isSnapshot": True, "user": "0x", "fundings": hours}
    first, second = fills("0.04", time=TIME), fills("0.01", "0.05", time=TIME + 10, tid=5)
    third = fills("0.02", time=TIME + 20, tid=9)

    events = reported(trading, [first, frame({"channel": "userFundings", "data": data}), second, third])

    assert [event.funding_e8 for event in events if isinstance(event, Fill)][:2] == [0, -75_000_000]
    assert sum(event.funding_e8 or 0 for event in events if isinstance(event, Fill)) == -75_000_000


def test_an_ioc_that_found_nothing_is_over_and_no_refusal() -> None:
    """The usual fate of a late taker."""
    text = "Order could not immediately match against any resting orders. asset=0"
    ack, last = reported(a_stream(), [done({"error": text})])
    assert isinstance(ack, OrderAck)
    assert isinstance(last, OrderUpdate)
    assert (ack.outcome, last.status, last.filled_e8) == (Outcome.ACCEPTED, OrderStatus.CANCELLED, 0)


def test_an_unknown_wallet_names_both_meanings_and_the_address() -> None:
    [ack] = reported(
        a_stream(), [refused("User or API Wallet 0x70997970c51812dc3a010c7d01b50e0d17dc79c8 does not exist.")]
    )
    assert isinstance(ack, OrderAck)
    assert "0x70997970c51812dc3a010c7d01b50e0d17dc79c8" in ack.text
    assert "no agent of this account" in ack.text
    assert "what was signed is not what was sent" in ack.text


def test_an_error_frame_never_shows_the_signature_it_quotes() -> None:
    trading = a_stream()
    signed = trading.sign_create(an_order(), NOW_UNIX_MS)
    assert isinstance(signed.wire, bytes)
    signature = json.loads(signed.wire)["request"]["payload"]["signature"]["r"]
    text = f"Error parsing JSON into valid websocket request: {signed.wire.decode()}"
    with pytest.raises(FrameError) as refused_frame:
        reported(trading, [frame({"channel": "error", "data": text})])
    assert signature not in f"{refused_frame.value!r} {refused_frame.value} {refused_frame.value.args}"
