"""The private stream tells what became of orders, and claims nothing it does not know."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.venues.vest.builders import BTC, NOW_UNIX_MS, a_session
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
)
from venues.vest.assumptions import PING_INTERVAL_NS

ORDER_ID = "0x9f4a1c7e2b3d5f60718293a4b5c6d7e8f90123456789abcdef0123456789abcd"

NEW = {
    "id": ORDER_ID,
    "symbol": "BTC-PERP",
    "isBuy": True,
    "orderType": "LIMIT",
    "limitPrice": "90000.00",
    "size": "0.1000",
    "reduceOnly": False,
    "initMarginRatio": "0.1000",
    "status": "NEW",
    "postTime": 1_763_600_000_050,
    "nonce": NOW_UNIX_MS,
}
FILLED = NEW | {
    "status": "FILLED",
    "lastFilledSize": "0.1000",
    "lastFilledPrice": "89960.00",
    "lastFilledTime": 1_763_600_000_120,
    "avgFilledPrice": "89960.00",
    "cumFunding": "1.230000000000",
    "fees": "0.899600",
}
CANCELLED = {"id": ORDER_ID, "status": "CANCELLED", "postTime": 1_763_600_000_050, "nonce": NOW_UNIX_MS}
REJECTED = CANCELLED | {"status": "REJECTED", "code": 3002, "postTime": 1_763_600_000_055}


def a_push(args: object, event: str = "ORDER", channel: str = "account_private") -> bytes:
    return json.dumps({"channel": channel, "data": {"event": event, "args": args}}).encode()


def events_of(*pushes: object) -> list[PrivateEvent]:
    trading = a_session()
    trading.stream_connected(0)
    for push in pushes:
        trading.stream_receive(push if isinstance(push, bytes) else a_push(push), True, 5)
    return trading.stream_take_events()


def test_ready_comes_with_the_acknowledgement_of_this_connection() -> None:
    """Before it, silence on the stream says nothing about orders."""
    trading = a_session()
    trading.stream_connected(0)
    [first] = [json.loads(frame) for frame in trading.stream_take_frames()]
    assert (first["method"], first["params"]) == ("SUBSCRIBE", ["account_private"])
    trading.stream_connected(1)
    [second] = [json.loads(frame) for frame in trading.stream_take_frames()]
    trading.stream_receive(json.dumps({"result": None, "id": first["id"]}).encode(), True, 7)
    assert trading.stream_take_events() == []
    trading.stream_receive(json.dumps({"result": None, "id": second["id"]}).encode(), False, 8)
    assert trading.stream_take_events() == [StreamReady(8)]


def test_a_refused_subscription_is_an_error_not_readiness() -> None:
    with pytest.raises(FrameError, match="1002 UNAUTHORIZED no"):
        events_of(b'{"id":1,"code":1002,"msg":"no"}')


def test_a_new_order_is_open_and_unfilled() -> None:
    assert events_of(NEW) == [
        OrderUpdate(
            NOW_UNIX_MS, ORDER_ID, BTC.instrument_id, OrderStatus.OPEN, E8 // 10, 0, None, None, "",
            1_763_600_000_050_000_000, side=Side.BUY,
        )
    ]  # fmt: skip


def test_a_filled_order_tells_its_fill_first() -> None:
    """Whoever sees the final update must already have the fill it ends with."""
    fill, update = events_of(FILLED)
    assert fill == Fill(
        f"{ORDER_ID}:1763600000120:10000000:8996000000000:89960000", NOW_UNIX_MS, ORDER_ID,
        BTC.instrument_id, Side.BUY, 89_960 * E8, E8 // 10, 89_960_000, 1_763_600_000_120_000_000,
    )  # fmt: skip
    assert update == OrderUpdate(
        NOW_UNIX_MS, ORDER_ID, BTC.instrument_id, OrderStatus.FILLED, E8 // 10, E8 // 10, 89_960 * E8,
        89_960_000, "", 1_763_600_000_120_000_000, side=Side.BUY,
    )  # fmt: skip


def test_a_partial_fill_does_not_claim_the_sum() -> None:
    """The event tells its last execution only."""
    partial = FILLED | {"status": "PARTIALLY_FILLED", "lastFilledSize": "0.0400", "fees": "0.359840"}
    fill, update = events_of(partial)
    assert isinstance(fill, Fill)
    assert (fill.size_e8, fill.fee_e8) == (4_000_000, 35_984_000)
    assert isinstance(update, OrderUpdate)
    assert (update.status, update.filled_e8, update.fee_e8) == (OrderStatus.OPEN, None, 35_984_000)


def test_a_partial_fill_without_figures_is_an_open_order_without_a_fill() -> None:
    """What PARTIALLY_FILLED carries is not documented: nulls must do."""
    [update] = events_of(NEW | {"status": "PARTIALLY_FILLED", "lastFilledSize": None, "fees": None})
    assert isinstance(update, OrderUpdate)
    assert (update.status, update.filled_e8) == (OrderStatus.OPEN, None)


def test_fees_told_in_sum_are_split_over_the_fills() -> None:
    partial = FILLED | {"status": "PARTIALLY_FILLED", "lastFilledSize": "0.0400", "fees": "0.359840"}
    last = FILLED | {"lastFilledSize": "0.0600", "lastFilledTime": 1_763_600_000_130}
    fills = [event for event in events_of(partial, last) if isinstance(event, Fill)]
    assert [fill.fee_e8 for fill in fills] == [35_984_000, 53_976_000]
    assert sum(fill.size_e8 for fill in fills) == E8 // 10
    assert len({fill.fill_id for fill in fills}) == 2


@pytest.mark.parametrize(
    "event", [FILLED, FILLED | {"status": "PARTIALLY_FILLED", "lastFilledSize": "0.0400", "fees": "0.359840"}]
)
def test_an_event_told_twice_is_one_fill(event: dict[str, object]) -> None:
    """Delivery is not documented to be exactly once."""
    fills = [item for item in events_of(event, event) if isinstance(item, Fill)]
    assert len(fills) == 1


def test_executions_that_no_event_named_come_with_the_last_one() -> None:
    """FILLED names its last execution only; the average price settles what the rest cost."""
    partial = FILLED | {"status": "PARTIALLY_FILLED", "lastFilledSize": "0.0200", "fees": "0.17990"}
    partial["lastFilledPrice"] = "89950.00"
    last = FILLED | {"lastFilledSize": "0.0100", "lastFilledPrice": "89970.00", "avgFilledPrice": "89960.00"}
    fills = [event for event in events_of(partial, last) if isinstance(event, Fill)]
    assert [fill.size_e8 for fill in fills] == [2_000_000, 8_000_000]
    assert sum(fill.size_e8 * fill.price_e8 for fill in fills) == E8 // 10 * 89_960 * E8


def test_a_sell_is_a_sell() -> None:
    fill = events_of(FILLED | {"isBuy": False})[0]
    assert isinstance(fill, Fill)
    assert fill.side is Side.SELL


def test_a_cancel_names_neither_instrument_nor_side_nor_filled_size() -> None:
    """A side it does not say is none: a guessed one would be compared with the order's own."""
    assert events_of(CANCELLED) == [
        OrderUpdate(
            NOW_UNIX_MS, ORDER_ID, -1, OrderStatus.CANCELLED, None, None, None, None, "",
            1_763_600_000_050_000_000, side=None,
        )
    ]  # fmt: skip


def test_a_rejection_filled_nothing_and_says_why() -> None:
    [update] = events_of(REJECTED)
    assert isinstance(update, OrderUpdate)
    assert (update.status, update.filled_e8) == (OrderStatus.REJECTED, 0)
    assert update.reason == "3002 MARGIN_CHECK_FAILED"


def test_an_order_deleted_by_liquidation_may_have_been_filled_in_part() -> None:
    [update] = events_of(REJECTED | {"code": 3008})
    assert isinstance(update, OrderUpdate)
    assert (update.filled_e8, update.reason) == (None, "3008 DELETED_BY_LIQ")


def test_the_rejection_of_a_double_is_not_that_of_the_order() -> None:
    """Both carry the nonce; to believe it would forget the position the first one built."""
    [ack] = events_of(REJECTED | {"code": 3015})
    assert isinstance(ack, OrderAck)
    assert (ack.client_order_id, ack.outcome) == (NOW_UNIX_MS, Outcome.IN_DOUBT)


def test_an_unknown_code_is_passed_on_as_it_is() -> None:
    [update] = events_of(REJECTED | {"code": 3999})
    assert isinstance(update, OrderUpdate)
    assert update.reason == "3999"


def test_orders_of_other_hands_come_through_with_what_they_say() -> None:
    """A liquidation has no nonce of ours; an unknown symbol no number."""
    [update] = events_of(NEW | {"nonce": None, "symbol": "DOGE-PERP", "orderType": "LIQUIDATION"})
    assert isinstance(update, OrderUpdate)
    assert (update.client_order_id, update.instrument_id) == (0, -1)


@pytest.mark.parametrize("nonce", [-5, 0, 2**53, 10**30])
def test_a_nonce_that_cannot_be_ours_is_nobodys(nonce: int) -> None:
    """Other hands number their orders as they like; ours are 1 to 2**53 - 1."""
    [update] = events_of(NEW | {"nonce": nonce})
    assert isinstance(update, OrderUpdate)
    assert update.client_order_id == 0


def test_an_average_that_belies_what_was_told_before_is_a_frame_error() -> None:
    """The rest of the order would have cost less than nothing."""
    partial = FILLED | {"status": "PARTIALLY_FILLED", "lastFilledSize": "0.0900", "fees": "0.1"}
    with pytest.raises(FrameError, match="a fill of"):
        events_of(partial, FILLED | {"avgFilledPrice": "1.00", "lastFilledSize": "0.0001"})


def test_pool_and_transfer_events_concern_no_order() -> None:
    args = {"id": "0x1", "size": "1", "orderType": "DEPOSIT", "status": "NEW", "postTime": 1, "nonce": 1}
    assert events_of(a_push(args, "LP"), a_push(args, "TRANSFER"), b'{"data":"PONG"}') == []


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (a_push(NEW, event="MARGIN_CALL"), "MARGIN_CALL"),
        (a_push(NEW, channel="tickers"), "not subscribed"),
        (a_push(NEW | {"status": "EXPIRED"}), "EXPIRED"),
        (a_push(NEW | {"size": "0,1"}), "plain decimal"),
        (a_push(NEW | {"size": "-0.1"}), "negative"),
        (a_push(NEW | {"postTime": -1}), "postTime"),
        (a_push(FILLED | {"lastFilledTime": 11_763_600_000_120}), "lastFilledTime"),
        (a_push(FILLED | {"lastFilledSize": "-0.1000"}), "negative"),
        (a_push(FILLED | {"lastFilledPrice": "-89960.00"}), "negative"),
        (a_push(FILLED | {"avgFilledPrice": "-89960.00"}), "negative"),
        (a_push(FILLED | {"status": "PARTIALLY_FILLED", "lastFilledPrice": "0"}), "a fill of"),
        (a_push(FILLED | {"status": "PARTIALLY_FILLED", "lastFilledSize": "0"}), "a fill of"),
        (b'{"result":null,"id":2}', "never made"),
        (a_push({"status": "NEW"}), "id"),
        (b"{}", "neither"),
        (b"\xff\xfe", "malformed"),
        (b"[" * 100_000, "4000 brackets"),
    ],
)
def test_what_is_not_documented_is_a_frame_error(frame: bytes, why: str) -> None:
    with pytest.raises(FrameError, match=why):
        events_of(frame)


def test_figures_of_the_venue_may_have_more_decimals_than_we_keep() -> None:
    """An average is computed; its ninth decimal must not cost us the fill."""
    update = events_of(FILLED | {"avgFilledPrice": "89960.001234567899"})[1]
    assert isinstance(update, OrderUpdate)
    assert update.average_price_e8 == 8_996_000_123_456


def test_it_pings_every_fifteen_seconds() -> None:
    trading = a_session()
    trading.stream_connected(100)
    trading.stream_take_frames()
    trading.stream_tick(99 + PING_INTERVAL_NS)
    assert trading.stream_take_frames() == []
    trading.stream_tick(100 + PING_INTERVAL_NS)
    assert [json.loads(frame)["method"] for frame in trading.stream_take_frames()] == ["PING"]


some_args = st.fixed_dictionaries(
    {},
    optional={
        name: st.one_of(st.just(value), st.none(), st.integers(), st.text("0123456789.-e", max_size=12))
        for name, value in FILLED.items()
    }
    | {"status": st.sampled_from(["NEW", "PARTIALLY_FILLED", "FILLED", "CANCELLED", "REJECTED", "X", 3])},
)


@given(st.one_of(st.binary(max_size=300), some_args.map(a_push), st.text(max_size=60).map(str.encode)))
def test_any_bytes_are_events_or_a_frame_error(frame: bytes) -> None:
    trading = a_session()
    trading.stream_connected(0)
    try:
        trading.stream_receive(frame, False, 1)
    except FrameError:
        assert trading.stream_take_events() == []
