"""One account against a venue played by hand: what is asked, what is sent, what is reported."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from fast_stark_crypto import verify
from hypothesis import given
from hypothesis import strategies as st

from tests.venues.paradex.samples import (
    ACCOUNT,
    BTC,
    CONFIG,
    HOSTS,
    NOW_MS,
    PRIVATE_KEY,
    VECTORS,
    a_trading,
    an_order,
    answer,
    converse,
    notification,
    rate_limited,
    refusal,
    sbe_frame,
)
from venues.contract import (
    Account,
    Fill,
    FrameError,
    HttpRequest,
    OffGrid,
    OrderAck,
    OrderRef,
    OrderStatus,
    OrderUpdate,
    Outcome,
    Position,
    Side,
    StreamReady,
    TimeInForce,
    TransportError,
    VenueError,
)
from venues.paradex import ParadexCredentials, ParadexTrading
from venues.paradex.signing import Signer

AUTH = VECTORS["auth_request_example"]
PUBLIC_KEY = 0x31B88D91E173D70B5BD284F7A898D99005D9ADE236EE671E0DB0078996AA599
MARKET_JSON = {
    "symbol": "BTC-USD-PERP",
    "base_currency": "BTC",
    "price_tick_size": "0.1",
    "order_size_increment": "0.00001",
    "min_notional": "10",
    "max_order_size": "100",
}
PRIVATE_FRAMES = ("order_open", "order_closed_market_ro", "fill_maker", "position_short", "account")
VENUE_ID = "1790000000131201709277900001"

FILL = {
    "id": "f1",
    "order_id": VENUE_ID,
    "client_id": "td-17",
    "market": "BTC-USD-PERP",
    "side": "SELL",
    "price": "64990",
    "size": "0.04",
    "fee": "0.077988000001",
    "realized_funding": "-0.000000250001",
    "created_at": NOW_MS,
}


def order_json(**changes: Any) -> dict[str, Any]:
    return {
        "id": VENUE_ID,
        "account": ACCOUNT,
        "market": "BTC-USD-PERP",
        "side": "BUY",
        "type": "LIMIT",
        "size": "0.01",
        "remaining_size": "0.01",
        "price": "60000.1",
        "status": "NEW",
        "last_updated_at": NOW_MS,
        "cancel_reason": "",
        "client_id": "td-17",
        "avg_fill_price": "",
    } | changes


def vector_signature(name: str) -> str:
    (case,) = (case for case in VECTORS["signing_cases"] if case["name"] == name)
    expected = case["signatures"]["noseed"]
    return f'["{expected["r"]}","{expected["s"]}"]'


def knowing_btc(trading: ParadexTrading) -> ParadexTrading:
    converse(trading.fetch_instruments({"BTC-USD-PERP": 7}), answer({"results": [MARKET_JSON]}))
    return trading


def a_jwt(*, issued_s: int, expires_s: int) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"iat": issued_s, "exp": expires_s}).encode())
    return f"e30.{claims.decode().rstrip('=')}.c2ln"


# --- login ---


def test_login_reads_the_chain_and_signs_in_with_the_derived_account() -> None:
    """The address of the vectors, and a signature that verifies for exactly these headers."""
    trading = a_trading(logged_in=False)

    requests, _ = converse(trading.login(NOW_MS), answer(CONFIG), answer({"jwt_token": "t"}))

    assert requests[0] == HttpRequest("GET", "/system/config")
    auth = requests[1]
    headers = dict(auth.headers)
    assert (auth.method, auth.path, auth.body) == ("POST", AUTH["path"].removeprefix("/v1"), b"")
    assert headers["PARADEX-STARKNET-ACCOUNT"] == AUTH["headers"]["PARADEX-STARKNET-ACCOUNT"] == ACCOUNT
    assert headers["PARADEX-TIMESTAMP"] == str(NOW_MS // 1_000)
    signer = Signer(
        private_key=int(PRIVATE_KEY, 16), account=int(ACCOUNT, 16), chain_id="PRIVATE_SN_POTC_SEPOLIA"
    )
    signed = signer.auth_hash(
        timestamp_s=int(headers["PARADEX-TIMESTAMP"]),
        expiration_s=int(headers["PARADEX-SIGNATURE-EXPIRATION"]),
    )
    r, s = (int(number) for number in json.loads(headers["PARADEX-STARKNET-SIGNATURE"]))
    assert verify(PUBLIC_KEY, signed, r, s)


def test_a_subkey_signs_for_the_main_account() -> None:
    """The key finds itself by its public key in the path; the address is the main account's."""
    trading = a_trading(logged_in=False, account="0xabc")

    requests, _ = converse(trading.login(NOW_MS), answer(CONFIG), answer({"jwt_token": "t"}))

    assert dict(requests[1].headers)["PARADEX-STARKNET-ACCOUNT"] == "0xabc"
    assert requests[1].path == f"/auth/{PUBLIC_KEY:#x}"


def test_a_new_account_is_onboarded_and_logs_in_again() -> None:
    """The venue says NOT_ONBOARDED to an account it has never seen."""
    trading = ParadexTrading(HOSTS, ParadexCredentials(PRIVATE_KEY, l1_address="0x" + "11" * 20))

    requests, _ = converse(
        trading.login(NOW_MS),
        answer(CONFIG),
        refusal("NOT_ONBOARDED"),
        answer(b""),
        answer({"jwt_token": "t"}),
    )

    assert [request.path for request in requests[1:]] == [
        f"/auth/{PUBLIC_KEY:#x}",
        "/onboarding",
        f"/auth/{PUBLIC_KEY:#x}",
    ]
    onboarding = requests[2]
    assert json.loads(onboarding.body) == {"public_key": f"{PUBLIC_KEY:#x}"}
    headers = dict(onboarding.headers)
    assert headers["PARADEX-ETHEREUM-ACCOUNT"] == "0x" + "11" * 20
    assert headers["PARADEX-STARKNET-SIGNATURE"] == vector_signature("onboarding_testnet")


def test_onboarding_without_an_l1_address_says_what_to_do() -> None:
    """Onboarding is signed for an Ethereum address; it cannot be guessed."""
    trading = a_trading(logged_in=False)

    with pytest.raises(VenueError, match="set l1_address"):
        converse(trading.login(NOW_MS), answer(CONFIG), refusal("NOT_ONBOARDED"))


def test_a_refused_onboarding_ends_the_login() -> None:
    """Logging in again would be refused for the same reason."""
    trading = ParadexTrading(HOSTS, ParadexCredentials(PRIVATE_KEY, l1_address="0x" + "11" * 20))

    with pytest.raises(VenueError, match="GEO_IP_BLOCK"):
        converse(
            trading.login(NOW_MS),
            answer(CONFIG),
            refusal("NOT_ONBOARDED"),
            refusal("GEO_IP_BLOCK", status=403),
        )


def test_a_refused_login_is_not_taken_for_a_missing_onboarding() -> None:
    """Only one code means onboarding; a wrong key must not start one."""
    trading = ParadexTrading(HOSTS, ParadexCredentials(PRIVATE_KEY, l1_address="0x" + "11" * 20))

    with pytest.raises(VenueError, match="INVALID_STARKNET_SIGNATURE"):
        converse(trading.login(NOW_MS), answer(CONFIG), refusal("INVALID_STARKNET_SIGNATURE", status=401))


@pytest.mark.parametrize(
    "config",
    [
        {},
        CONFIG | {"paraclear_account_hash": "not hex"},
        CONFIG | {"starknet_chain_id": "X" * 32},
        CONFIG | {"starknet_chain_id": ""},
        CONFIG | {"starknet_chain_id": "X" * 31 + "\n"},
        CONFIG | {"paraclear_account_hash": "0x1\n"},
    ],
)
def test_a_config_nobody_can_sign_for_is_no_usable_answer(config: dict[str, str]) -> None:
    """Signing for a guessed chain would look like a wrong key."""
    with pytest.raises(TransportError, match="not as documented"):
        converse(a_trading(logged_in=False).login(NOW_MS), answer(config))


def test_a_token_is_renewed_well_before_it_expires() -> None:
    """Three of five minutes, as the venue advises; an opaque token counts as documented."""
    assert a_trading().renew_due_unix_ms == NOW_MS + 180_000


def test_a_tokens_own_life_counts_and_not_our_clock() -> None:
    """Claims of another clock: a token of 10 s is renewed after 6, however far off the clocks are."""
    trading = a_trading(logged_in=False)
    token = a_jwt(issued_s=5_000_000_000, expires_s=5_000_000_010)

    converse(trading.login(NOW_MS), answer(CONFIG), answer({"jwt_token": token}))

    assert trading.renew_due_unix_ms == NOW_MS + 6_000


@pytest.mark.parametrize("token", ["a.b.c", "..", "e30.e30.e30", a_jwt(issued_s=9, expires_s=3)])
def test_tokens_with_odd_claims_live_as_documented(token: str) -> None:
    """A token is the venue's business; ours is only when to ask for the next."""
    trading = a_trading(logged_in=False)

    converse(trading.login(NOW_MS), answer(CONFIG), answer({"jwt_token": token}))

    assert trading.renew_due_unix_ms == NOW_MS + 180_000


@pytest.mark.parametrize("token", ["", "a b", "a\n", "a\r\nX-Evil: 1", "é"])
def test_a_token_that_no_header_can_carry_is_no_answer(token: str) -> None:
    """Everything after a line break would be a header of the venue's choosing."""
    with pytest.raises(TransportError, match="jwt_token"):
        converse(a_trading(logged_in=False).login(NOW_MS), answer(CONFIG), answer({"jwt_token": token}))


def test_renew_replaces_the_token_in_later_calls() -> None:
    """Nothing keeps a copy of the old one."""
    trading = a_trading()

    converse(trading.renew(NOW_MS + 180_000), answer({"jwt_token": "second"}))
    call = trading.query_account(NOW_MS)

    assert ("Authorization", "Bearer second") in next(call).headers


@pytest.mark.parametrize(
    "response", [refusal("INVALID_TOKEN", status=401), refusal("UNAUTHORIZED_ERROR"), answer(b"", 401)]
)
def test_a_refused_token_is_due_for_renewal_at_once(response: Any) -> None:
    """However long it should still have lived."""
    trading = a_trading()

    with pytest.raises((VenueError, TransportError)):
        converse(trading.query_account(NOW_MS), response)

    assert trading.renew_due_unix_ms == 0


def test_other_refusals_leave_the_token_alone() -> None:
    """A rate limit does not call for another login, which has a rate limit too."""
    trading = a_trading()

    with pytest.raises(VenueError):
        converse(trading.query_account(NOW_MS), rate_limited())

    assert trading.renew_due_unix_ms == NOW_MS + 180_000


def test_secrets_are_in_no_repr_and_no_error() -> None:
    """Neither the key nor the token may reach a log."""
    trading = a_trading()
    credentials = ParadexCredentials(PRIVATE_KEY, ACCOUNT)
    with pytest.raises(ValueError, match="l2_private_key") as wrong_key:
        ParadexTrading(HOSTS, ParadexCredentials("0xSECRETkey"))

    shown = f"{trading!r} {credentials!r} {credentials} {wrong_key.value} {wrong_key.value.__context__}"

    assert PRIVATE_KEY[2:] not in shown
    assert str(int(PRIVATE_KEY, 16)) not in shown
    assert "opaque-token" not in shown
    assert "SECRET" not in shown


def test_signing_before_login_is_a_clear_error() -> None:
    """Without the chain's id there is nothing to sign for."""
    with pytest.raises(RuntimeError, match="log in first"):
        a_trading(logged_in=False).sign_create(an_order(), NOW_MS)
    with pytest.raises(RuntimeError, match="log in first"):
        a_trading(logged_in=False).stream_connected(0)


# --- orders ---


def sent_params(trading: ParadexTrading, **changes: Any) -> dict[str, Any]:
    wire = trading.sign_create(an_order(**changes), NOW_MS).wire
    assert isinstance(wire, bytes)
    message: dict[str, Any] = json.loads(wire)
    assert message["method"] == "order.create"
    params: dict[str, Any] = message["params"]
    return params


def test_a_create_is_one_signed_frame_with_our_id() -> None:
    """Hash and signature are the vector's for this very order: LIMIT BUY 0.01 at 60000.1."""
    signed = a_trading().sign_create(an_order(), NOW_MS)

    assert isinstance(signed.wire, bytes)
    assert json.loads(signed.wire) == {
        "jsonrpc": "2.0",
        "id": 17,
        "method": "order.create",
        "params": {
            "market": "BTC-USD-PERP",
            "side": "BUY",
            "type": "LIMIT",
            "size": "0.01000",
            "price": "60000.1",
            "instruction": "IOC",
            "client_id": "td-17",
            "flags": [],
            "recv_window": 60_000,
            "signature_timestamp": NOW_MS,
            "signature": vector_signature("limit_buy_testnet"),
        },
    }
    assert signed.valid_until_unix_ms == NOW_MS + 59_000


def test_side_and_reduce_only_reach_the_wire() -> None:
    """Reduce-only is a flag, and not part of what is signed."""
    params = sent_params(a_trading(), side=Side.SELL, reduce_only=True)

    assert (params["side"], params["flags"]) == ("SELL", ["REDUCE_ONLY"])
    case = next(
        case
        for case in VECTORS["signing_cases"]
        if case["name"] == "limit_sell_reduce_only_post_only_testnet"
    )
    expected = case["signatures"]["noseed"]
    assert params["signature"] == f'["{expected["r"]}","{expected["s"]}"]'


def test_good_till_cancelled_reaches_the_wire() -> None:
    """For tests and tools."""
    assert sent_params(a_trading(), time_in_force=TimeInForce.GTC)["instruction"] == "GTC"


def test_fill_or_kill_is_refused_before_signing() -> None:
    """The venue has none; sent as something else it would be another order."""
    with pytest.raises(ValueError, match="no FOK; use IOC"):
        a_trading().sign_create(an_order(time_in_force=TimeInForce.FOK), NOW_MS)


@pytest.mark.parametrize(
    "changes",
    [
        {"limit_price_e8": 6_000_010_000_001},
        {"size_e8": 1_000_001},
        {"size_e8": 0},
        {"size_e8": 101 * 10**8},
        {"size_e8": 1_000},  # 0.6 USD
    ],
)
def test_off_the_grid_is_refused_before_signing(changes: dict[str, int]) -> None:
    """The venue would refuse it a round trip later."""
    with pytest.raises(OffGrid):
        a_trading().sign_create(an_order(**changes), NOW_MS)


def test_timestamps_differ_between_orders_and_are_never_in_the_future() -> None:
    """Two equal orders in one millisecond would have one hash; a future date may be refused."""
    trading = a_trading()

    stamps = [
        json.loads(trading.sign_create(an_order(client_order_id=n + 1), now).wire)["params"][  # type: ignore[arg-type]
            "signature_timestamp"
        ]
        for n, now in enumerate([NOW_MS, NOW_MS, NOW_MS + 1, NOW_MS + 1, NOW_MS - 5, NOW_MS + 1])
    ]

    assert len(set(stamps)) == 6
    nows = [NOW_MS, NOW_MS, NOW_MS + 1, NOW_MS + 1, NOW_MS - 5, NOW_MS + 1]
    assert all(stamp <= now for stamp, now in zip(stamps, nows, strict=True))


def test_over_http_a_create_carries_the_token_and_outlives_it_never() -> None:
    """The fallback transport: the same fields, and a token that must still be good."""
    trading = a_trading(create_transport="http", recv_window_ms=1_000_000)

    signed = trading.sign_create(an_order(), NOW_MS)

    assert isinstance(signed.wire, HttpRequest)
    assert (signed.wire.method, signed.wire.path) == ("POST", "/orders")
    assert ("Authorization", "Bearer opaque-token") in signed.wire.headers
    assert json.loads(signed.wire.body)["client_id"] == "td-17"
    assert signed.valid_until_unix_ms == NOW_MS + 299_000


@pytest.mark.parametrize(
    ("response", "ack"),
    [
        (answer(order_json(), 201), OrderAck(17, Outcome.ACCEPTED, VENUE_ID)),
        (
            refusal("INVALID_ORDER_SIZE", text="too small"),
            OrderAck(17, Outcome.REFUSED, code="INVALID_ORDER_SIZE", text="too small", is_of_grid=True),
        ),
        (
            refusal("SERVICE_UNAVAILABLE", status=503, text="later"),
            OrderAck(17, Outcome.IN_DOUBT, code="SERVICE_UNAVAILABLE", text="later"),
        ),
        (
            answer(b"<html>bad gateway", 502),
            OrderAck(17, Outcome.IN_DOUBT, code="HTTP 502", text="<html>bad gateway"),
        ),
        (
            rate_limited(),
            OrderAck(17, Outcome.REFUSED, code="RATE", text="slow", retry_after_ms=2_000),
        ),
        (
            answer({"error": "RATE", "message": "slow"}, 429, {"retry-after": "2"}),
            OrderAck(17, Outcome.IN_DOUBT, code="RATE", text="slow", retry_after_ms=2_000),
        ),
        (
            answer(order_json(client_id="td-16"), 201),
            OrderAck(17, Outcome.IN_DOUBT, text="about another order: td-16 BUY 0.01 BTC-USD-PERP"),
        ),
        (
            answer(order_json(side="SELL", client_id=None), 201),
            OrderAck(17, Outcome.IN_DOUBT, text="about another order: None SELL 0.01 BTC-USD-PERP"),
        ),
        (
            answer(order_json(size="0.02"), 201),
            OrderAck(17, Outcome.IN_DOUBT, text="about another order: td-17 BUY 0.02 BTC-USD-PERP"),
        ),
        (
            answer(order_json(market="ETH-USD-PERP"), 201),
            OrderAck(17, Outcome.IN_DOUBT, text="about another order: td-17 BUY 0.01 ETH-USD-PERP"),
        ),
    ],
)
def test_http_answers_to_a_create(response: Any, ack: OrderAck) -> None:
    """Accepted, refused, in doubt, or again later."""
    assert a_trading(create_transport="http").parse_create_response(an_order(), response) == ack


def test_an_unreadable_success_leaves_the_order_in_doubt() -> None:
    """The venue said 201 and then something else: it may well have the order."""
    ack = a_trading().parse_create_response(an_order(), answer(b"{", 201))

    assert ack.outcome is Outcome.IN_DOUBT
    assert "HTTP 201" in ack.text


# --- queries ---


def test_an_open_order_is_found_by_our_id() -> None:
    """The client id is the key that was fixed before sending."""
    response = answer(order_json(status="OPEN", remaining_size="0.004", avg_fill_price="60000.05"))

    requests, update = converse(a_trading().query_order(OrderRef(17, BTC), NOW_MS), response)

    assert requests[0].path == "/orders/by_client_id/td-17?market=BTC-USD-PERP"
    assert ("Authorization", "Bearer opaque-token") in requests[0].headers
    assert update == OrderUpdate(
        17,
        VENUE_ID,
        7,
        OrderStatus.OPEN,
        1_000_000,
        600_000,
        6_000_005_000_000,
        None,
        "",
        NOW_MS * 10**6,
        side=Side.BUY,
    )


def test_a_finished_order_is_found_in_the_history() -> None:
    """The open endpoint forgets an order the moment it closes."""
    closed = order_json(status="CLOSED", remaining_size="0", avg_fill_price="60000.1")
    foreign = order_json(client_id="td-170")

    requests, update = converse(
        a_trading().query_order(OrderRef(17, BTC), NOW_MS),
        refusal("CLIENT_ORDER_ID_NOT_FOUND"),
        answer({"results": [foreign, closed], "next": None, "prev": None}),
    )

    assert requests[1].path == "/orders-history?client_id=td-17&market=BTC-USD-PERP"
    assert update is not None
    assert (update.status, update.filled_e8) == (OrderStatus.FILLED, 1_000_000)


def test_an_order_nobody_knows_is_none_for_now() -> None:
    """Not an error: a create may still be on its way."""
    _, update = converse(
        a_trading().query_order(OrderRef(17, BTC), NOW_MS),
        refusal("CLIENT_ORDER_ID_NOT_FOUND"),
        answer({"results": []}),
    )

    assert update is None


def test_with_the_venues_id_the_order_is_asked_for_by_it() -> None:
    """That endpoint also shows orders still waiting for the risk check."""
    requests, _ = converse(a_trading().query_order(OrderRef(17, BTC, VENUE_ID), NOW_MS), answer(order_json()))

    assert requests[0].path == f"/orders/{VENUE_ID}"


def test_a_query_that_fails_is_not_an_unknown_order() -> None:
    """None would end the doubt; an outage must not."""
    for failed in (refusal("INTERNAL_ERROR", status=500), answer(b"no json"), answer(b"<html>", 404)):
        with pytest.raises(TransportError):
            converse(a_trading().query_order(OrderRef(17, BTC), NOW_MS), failed)


def test_an_order_found_under_a_wrong_id_is_looked_for_by_our_own() -> None:
    """The answer to its create may have been another order's; what is told of that one is not its fate."""
    requests, update = converse(
        a_trading().query_order(OrderRef(17, BTC, VENUE_ID), NOW_MS),
        answer(order_json(client_id="td-16", status="CLOSED", remaining_size="0")),
        answer({"results": [order_json(id="2", status="CLOSED", remaining_size="0")]}),
    )

    assert requests[1].path == "/orders-history?client_id=td-17&market=BTC-USD-PERP"
    assert update is not None
    assert (update.client_order_id, update.venue_order_id) == (17, "2")


def test_a_history_that_goes_on_is_not_the_last_word() -> None:
    """A venue that overlooks the filter must not pass for one that does not know the order."""
    others = {"results": [order_json(client_id="td-16")], "next": "cursor"}
    with pytest.raises(TransportError, match="goes on"):
        converse(
            a_trading().query_order(OrderRef(17, BTC), NOW_MS),
            refusal("CLIENT_ORDER_ID_NOT_FOUND"),
            answer(others),
        )


def test_the_fills_of_an_order_are_picked_out_of_every_page() -> None:
    """The venue filters by market and time alone; somebody else's fills are not the order's."""
    first, other, last = (
        FILL | {"id": "f1", "client_id": "td-17"},
        FILL | {"id": "f2", "client_id": "td-170"},
        FILL | {"id": "f3", "client_id": "td-17"},
    )

    requests, fills = converse(
        a_trading().query_fills(OrderRef(17, BTC), NOW_MS - 5_000, NOW_MS),
        answer({"results": [first, other], "next": "f2", "prev": None}),
        answer({"results": [last], "next": None, "prev": "f1"}),
    )

    path = f"/fills?market=BTC-USD-PERP&start_at={NOW_MS - 5_000}&page_size=1000"
    assert [request.path for request in requests] == [path, f"{path}&cursor=f2"]
    assert fills is not None
    assert [(fill.fill_id, fill.client_order_id) for fill in fills] == [("f1", 17), ("f3", 17)]


def test_fills_without_end_are_no_answer() -> None:
    page = answer({"results": [FILL], "next": "again", "prev": None})
    with pytest.raises(TransportError, match="more than"):
        converse(a_trading().query_fills(OrderRef(17, BTC), 0, NOW_MS), *[page] * 1_000)


def test_open_orders_of_known_instruments() -> None:
    """Other markets are other people's business; foreign orders on ours are not."""
    results = [
        order_json(status="OPEN"),
        order_json(status="OPEN", client_id="by hand", id="2"),
        order_json(status="OPEN", market="DOGE-USD-PERP"),
    ]

    requests, updates = converse(
        knowing_btc(a_trading()).query_open_orders(NOW_MS), answer({"results": results})
    )

    assert requests[0].path == "/orders"
    assert [(update.client_order_id, update.venue_order_id) for update in updates] == [
        (17, VENUE_ID),
        (0, "2"),
    ]


def position_json(**changes: Any) -> dict[str, Any]:
    return {
        "market": "BTC-USD-PERP",
        "status": "OPEN",
        "side": "LONG",
        "size": "0.04",
        "average_entry_price": "64990.123456789012",
        "liquidation_price": "",
    } | changes


@pytest.mark.parametrize(
    ("changes", "size_e8"),
    [
        ({}, 4_000_000),
        ({"side": "SHORT", "size": "-0.04"}, -4_000_000),
        ({"side": "SHORT", "size": "0.04"}, -4_000_000),  # as SBE has it
        ({"status": "CLOSED", "size": "0"}, 0),
        ({"status": "CLOSED", "side": "SHORT", "size": "0"}, 0),
    ],
)
def test_positions_are_signed(changes: dict[str, str], size_e8: int) -> None:
    """The sign is the side's, whichever way the size is written."""
    _, positions = converse(
        knowing_btc(a_trading()).query_positions(NOW_MS), answer({"results": [position_json(**changes)]})
    )

    assert positions == [Position(7, size_e8, 6_499_012_345_678, 0, 0)]


@pytest.mark.parametrize(
    "changes",
    [
        {"size": "-0.04"},
        {"status": "CLOSED"},
        {"side": "BOTH"},
        {"size": "x"},
        {"average_entry_price": "-1"},
        {"liquidation_price": "-1"},
    ],
)
def test_a_position_that_contradicts_itself_is_no_answer(changes: dict[str, str]) -> None:
    """Exposure is never guessed."""
    with pytest.raises(TransportError):
        converse(
            knowing_btc(a_trading()).query_positions(NOW_MS), answer({"results": [position_json(**changes)]})
        )


def test_account_figures() -> None:
    """Value, what is free, and what must remain."""
    body = {
        "account_value": "9999.6",
        "free_collateral": "9900.5",
        "maintenance_margin_requirement": "26",
        "status": "ACTIVE",
    }

    _, account = converse(a_trading().query_account(NOW_MS), answer(body))

    assert account == Account(999_960_000_000, 990_050_000_000, 2_600_000_000)


def test_cancel_by_our_id_is_queued_with_an_empty_204() -> None:
    """ACCEPTED says no more than that."""
    requests, ack = converse(a_trading().cancel_order(OrderRef(17, BTC), NOW_MS), answer(b"", 204))

    assert (requests[0].method, requests[0].path) == (
        "DELETE",
        "/orders/by_client_id/td-17?market=BTC-USD-PERP",
    )
    assert ack == OrderAck(17, Outcome.ACCEPTED)


def test_a_refused_cancel_keeps_the_venues_words() -> None:
    """ORDER_IS_CLOSED is the everyday case: it was filled meanwhile."""
    requests, ack = converse(
        a_trading().cancel_order(OrderRef(17, BTC, VENUE_ID), NOW_MS),
        refusal("ORDER_IS_CLOSED", text="closed"),
    )

    assert requests[0].path == f"/orders/{VENUE_ID}"
    assert ack == OrderAck(17, Outcome.REFUSED, VENUE_ID, code="ORDER_IS_CLOSED", text="closed")


# --- order life cycle ---


@pytest.mark.parametrize(
    ("status", "remaining", "reason", "expected"),
    [
        ("NEW", "0.01", "", OrderStatus.OPEN),
        ("UNTRIGGERED", "0.01", "", OrderStatus.OPEN),
        ("OPEN", "0.004", "", OrderStatus.OPEN),
        ("CLOSED", "0", "", OrderStatus.FILLED),
        ("CLOSED", "0", "NONE", OrderStatus.FILLED),
        ("CLOSED", "0.004", "NO_LIQUIDITY", OrderStatus.CANCELLED),
        ("CLOSED", "0.01", "USER_CANCELED", OrderStatus.CANCELLED),
        ("CLOSED", "0.01", "A_REASON_NOBODY_PUBLISHED", OrderStatus.CANCELLED),
        ("CLOSED", "0.01", "", OrderStatus.CANCELLED),
        ("CLOSED", "0.01", "NOT_ENOUGH_MARGIN", OrderStatus.REJECTED),
        ("CLOSED", "0.01", "ORDER_EXCEEDS_POSITION_LIMIT", OrderStatus.REJECTED),
        ("CLOSED", "0.004", "NOT_ENOUGH_MARGIN", OrderStatus.CANCELLED),
    ],
)
def test_what_closed_means(status: str, remaining: str, reason: str, expected: OrderStatus) -> None:
    """The venue has no word for filled, cancelled or rejected."""
    trading = knowing_btc(a_trading())
    order = order_json(status=status, remaining_size=remaining, cancel_reason=reason)

    trading.stream_receive(notification("orders.BTC-USD-PERP", order), False, 1)

    (update,) = trading.stream_take_events()
    assert isinstance(update, OrderUpdate)
    assert update.status is expected
    assert update.filled_e8 == 1_000_000 - round(float(remaining) * 10**8)
    assert update.reason == ("" if reason == "NONE" else reason)


@pytest.mark.parametrize(
    ("client_id", "client_order_id"),
    [
        ("td-17", 17),
        ("td-9007199254740991", 2**53 - 1),
        ("td-9007199254740992", 0),
        ("td-017", 0),
        ("td-", 0),
        ("td-x", 0),
        ("td-1٣", 0),
        ("17", 0),
        ("other-17", 0),
        ("", 0),
        (None, 0),
    ],
)
def test_only_our_own_client_ids_are_ours(client_id: str | None, client_order_id: int) -> None:
    """An order somebody named alike must not be taken for one of ours."""
    trading = knowing_btc(a_trading())

    trading.stream_receive(notification("orders.ALL", order_json(client_id=client_id)), False, 1)

    (update,) = trading.stream_take_events()
    assert isinstance(update, OrderUpdate)
    assert update.client_order_id == client_order_id


# --- the private stream ---


def requests_of(trading: ParadexTrading) -> dict[str, int]:
    """The queued requests by what they are about, with their ids."""
    frames = [json.loads(frame) for frame in trading.stream_take_frames()]
    return {
        f"{frame['method']} {frame['params'].get('channel', '')}".strip(): frame["id"] for frame in frames
    }


def reply(request_id: int, **content: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": request_id, "usIn": 1, "usOut": 2} | content).encode() + b"\n"


def connected(trading: ParadexTrading) -> ParadexTrading:
    """A stream that has been through its whole opening."""
    trading.stream_connected(0)
    for _ in range(2):
        for request_id in requests_of(trading).values():
            trading.stream_receive(reply(request_id, result={}), False, 5)
    assert trading.stream_take_events() == [StreamReady(5)]
    return trading


def test_the_stream_opens_in_order_and_is_ready_when_all_is_confirmed() -> None:
    """auth, its reply, then cancel-on-disconnect and the four channels; ready after the last reply."""
    trading = a_trading()
    trading.stream_connected(0)
    (frame,) = trading.stream_take_frames()
    auth = json.loads(frame)
    assert (auth["method"], auth["params"]) == ("auth", {"bearer": "opaque-token"})

    trading.stream_receive(reply(auth["id"], result={"node_id": "a1"}), False, 1)
    frames = [json.loads(frame) for frame in trading.stream_take_frames()]

    assert frames[0]["method"] == "order.cancel_on_disconnect"
    assert frames[0]["params"] == {"enabled": True}
    channels = ["orders.ALL", "fills.ALL", "positions", "account"]
    assert [(f["method"], f["params"]) for f in frames[1:]] == [
        ("subscribe", {"channel": name}) for name in channels
    ]
    for request in reversed(frames[1:]):
        trading.stream_receive(reply(request["id"], result={}), False, 2)
        assert trading.stream_take_events() == []
    trading.stream_receive(reply(frames[0]["id"], result={"enabled": True}), False, 3)
    assert trading.stream_take_events() == [StreamReady(3)]


def test_every_connection_is_armed_again() -> None:
    """Cancel-on-disconnect is per connection: after a reconnect it is off until asked for."""
    trading = connected(a_trading())

    trading.stream_connected(9)
    (auth_id,) = requests_of(trading).values()
    trading.stream_receive(reply(auth_id, result={}), False, 10)

    assert "order.cancel_on_disconnect" in requests_of(trading)


def test_what_a_lost_connection_left_unanswered_is_not_waited_for() -> None:
    """Its replies will never come; the new connection is ready by its own."""
    trading = a_trading()
    trading.stream_connected(0)

    connected(trading)


def test_session_ids_never_meet_client_order_ids() -> None:
    """A reply is told apart by its id alone; the doubles of other languages keep these exact."""
    trading = a_trading()
    trading.stream_connected(0)

    (auth_id,) = requests_of(trading).values()

    assert auth_id >= 2**53
    assert int(float(auth_id)) == auth_id


def test_a_refused_bearer_ends_the_connection_and_asks_for_a_new_token() -> None:
    """40111: the token died between renewal and connecting."""
    trading = a_trading()
    trading.stream_connected(0)
    (auth_id,) = requests_of(trading).values()

    with pytest.raises(FrameError, match="auth refused: 40111 invalid bearer"):
        trading.stream_receive(reply(auth_id, error={"code": 40111, "message": "invalid bearer"}), False, 1)

    assert trading.renew_due_unix_ms == 0


def test_a_refused_subscription_ends_the_connection() -> None:
    """A stream that does not tell everything must never be called ready."""
    trading = a_trading()
    trading.stream_connected(0)
    (auth_id,) = requests_of(trading).values()
    trading.stream_receive(reply(auth_id, result={}), False, 1)
    fills_id = requests_of(trading)["subscribe fills.ALL"]

    error = {"code": -32600, "message": "invalid subscribe request", "data": "invalid channel"}
    with pytest.raises(FrameError, match=r"subscribe fills\.ALL refused: -32600 .*invalid channel"):
        trading.stream_receive(reply(fills_id, error=error), False, 2)

    assert trading.stream_take_events() == []


def test_the_reply_to_a_create_is_its_ack() -> None:
    """Found by id: replies come in any order."""
    trading = connected(a_trading())
    result = {"order": order_json(), "created_at": NOW_MS, "received_at": NOW_MS * 10**6}

    trading.stream_receive(reply(17, result=result), False, 6)

    assert trading.stream_take_events() == [OrderAck(17, Outcome.ACCEPTED, VENUE_ID)]


@pytest.mark.parametrize(
    ("error", "outcome", "retry_after_ms"),
    [
        ({"code": 100, "message": "INVALID_ORDER_SIZE", "data": "too small"}, Outcome.REFUSED, None),
        (
            {"code": 100, "message": "method error", "data": "SYSTEM_STATUS_CANCEL_ONLY"},
            Outcome.REFUSED,
            5_000,
        ),
        ({"code": 100, "message": "DUPLICATED_CLIENT_ID"}, Outcome.IN_DOUBT, None),
        ({"code": 100, "message": "something new"}, Outcome.REFUSED, None),
        ({"code": 42901, "message": "rate limited"}, Outcome.REFUSED, 1_000),
        ({"code": -32603, "message": "internal"}, Outcome.IN_DOUBT, None),
        ({"code": 777, "message": "undocumented", "data": {"odd": 1}}, Outcome.IN_DOUBT, None),
    ],
)
def test_errors_to_a_create(error: dict[str, Any], outcome: Outcome, retry_after_ms: int | None) -> None:
    """Number, message and data are shown as the venue sent them."""
    trading = connected(a_trading())

    trading.stream_receive(reply(17, error=error), False, 6)

    (ack,) = trading.stream_take_events()
    assert isinstance(ack, OrderAck)
    assert (ack.client_order_id, ack.outcome, ack.retry_after_ms) == (17, outcome, retry_after_ms)
    assert ack.code == str(error["code"])
    assert error["message"] in ack.text
    assert str(error.get("data", "")) in ack.text


def test_an_update_may_come_before_the_reply() -> None:
    """Nothing orders the channel against the reply; both are reported as they come."""
    trading = knowing_btc(connected(a_trading()))

    trading.stream_receive(
        notification("orders.BTC-USD-PERP", order_json(status="CLOSED", remaining_size="0")), False, 6
    )
    trading.stream_receive(reply(17, result={"order": order_json()}), False, 7)

    update, ack = trading.stream_take_events()
    assert isinstance(update, OrderUpdate)
    assert (update.client_order_id, update.status) == (17, OrderStatus.FILLED)
    assert ack == OrderAck(17, Outcome.ACCEPTED, VENUE_ID)


def test_a_signed_order_makes_its_instrument_known() -> None:
    """Whoever trades an instrument hears about it, even if another process fetched the grids."""
    trading = connected(a_trading())
    trading.sign_create(an_order(), NOW_MS)

    trading.stream_receive(notification("orders.ALL", order_json()), False, 6)

    assert len(trading.stream_take_events()) == 1


def test_fills_positions_and_account_from_json() -> None:
    """The private channels as documented."""
    trading = knowing_btc(connected(a_trading()))
    account = {"account_value": "1", "free_collateral": "0.5", "maintenance_margin_requirement": "0"}

    trading.stream_receive(notification("fills.BTC-USD-PERP", FILL), False, 6)
    trading.stream_receive(notification("positions", position_json()), False, 7)
    trading.stream_receive(notification("account", account), False, 8)
    trading.stream_receive(notification("fills.DOGE-USD-PERP", FILL | {"market": "DOGE-USD-PERP"}), False, 9)

    assert trading.stream_take_events() == [
        Fill("f1", 17, VENUE_ID, 7, Side.SELL, 6_499_000_000_000, 4_000_000, 7_798_800, NOW_MS * 10**6, -25),
        Position(7, 4_000_000, 6_499_012_345_678, 0, 0),
        Account(10**8, 5 * 10**7, 0),
    ]


@pytest.mark.parametrize("version", [1, 2])
def test_the_private_channels_from_sbe(version: int) -> None:
    """The schema has templates for them, whatever the documentation says; prefix c as in the vectors."""
    trading = knowing_btc(connected(a_trading(client_id_prefix="c")))

    for name in (
        "order_open",
        "order_closed_market_ro",
        "fill_maker",
        "position_short",
        "account",
        "heartbeat",
    ):
        trading.stream_receive(sbe_frame(name, version=version), True, 6)

    opened, rejected, fill, position, account = trading.stream_take_events()
    assert opened == OrderUpdate(
        1,
        "1790000000118201709277900001",
        7,
        OrderStatus.OPEN,
        10_000_000,
        4_000_000,
        6_499_000_000_000,
        None,
        "",
        1_790_000_000_123_356_000,
        side=Side.BUY,
    )
    assert isinstance(rejected, OrderUpdate)
    assert (rejected.client_order_id, rejected.status, rejected.reason, rejected.filled_e8) == (
        0,
        OrderStatus.REJECTED,
        "NOT_ENOUGH_MARGIN",
        0,
    )
    assert isinstance(fill, Fill)
    assert (fill.client_order_id, fill.side, fill.size_e8, fill.fee_e8) == (1, Side.BUY, 4_000_000, 7_798_800)
    assert position == Position(7, -4_000_000, 6_499_000_000_000, 0, 9_876_540_000_000)
    assert account == Account(999_960_000_000, 990_050_000_000, 2_600_000_000)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b'{"id":null,"error":{"code":-32700,"message":"parse"}}',
        b'{"id":-4,"result":{"order":{"id":"1"}}}',
        b'{"id":0,"error":{"code":100}}',
        b'{"id":9007199254740992,"result":{"order":{"id":"1"}}}',
        notification("orders.ALL", order_json()).replace(b'"method"', b'"id":17,"result":{},"method"'),
        notification("orders.ALL", {}),
        notification("orders.ALL", order_json(status="FILLED")),
        notification("orders.ALL", order_json(remaining_size="0.02")),
        notification("orders.ALL", order_json(size="1e3")),
        notification("orders.ALL", order_json(last_updated_at=-1)),
        notification("orders.ALL", order_json(avg_fill_price="-1")),
        notification("fills.ALL", {"id": "1"}),
        notification("fills.ALL", FILL | {"size": "0"}),
        notification("fills.ALL", FILL | {"id": ""}),
        notification("fills.ALL", FILL | {"price": "-64990"}),
        notification("balance_events", {}),
        b"[" * 100_000,
        b'{"id":17,"result":' + b"[" * 100_000,
    ],
)
def test_rubbish_is_a_frame_error_and_leaves_no_event(frame: bytes) -> None:
    """The session reconnects; nothing half-read is reported."""
    trading = knowing_btc(connected(a_trading()))

    with pytest.raises(FrameError):
        trading.stream_receive(frame, False, 6)

    assert trading.stream_take_events() == []


@pytest.mark.parametrize(
    "frame",
    [
        b'{"id":17,"result":null}',
        b'{"id":17,"result":{}}',
        b'{"id":17,"result":{"order":{"id":5}}}',
        b'{"id":17,"error":{"message":"no code"}}',
        b'{"id":17,"error":"text"}',
        b'{"id":17,"error":{"code":"100","message":"x"}}',
        b'{"id":17,"error":{"code":100,"message":"INVALID_ORDER_SIZE"}}',  # not JSON-RPC 2.0
        b'{"jsonrpc":"2.0","id":17,"result":{"order":{}},"error":{"code":100,"message":"INVALID_ORDER_SIZE"}}',
        b'{"jsonrpc":"2.0","id":17,"error":{"code":9,"message":"INVALID_ORDER_SIZE"}}',
        b'{"id":17}',
    ],
)
def test_a_reply_to_a_create_that_cannot_be_read_leaves_the_order_in_doubt(frame: bytes) -> None:
    """At once: its time-out would say the same half a second later."""
    trading = knowing_btc(connected(a_trading()))

    trading.stream_receive(frame, False, 6)

    (ack,) = trading.stream_take_events()
    assert isinstance(ack, OrderAck)
    assert (ack.client_order_id, ack.outcome) == (17, Outcome.IN_DOUBT)


def test_an_enumeration_nobody_published_is_a_frame_error() -> None:
    """254 is the schema's "not representable"; an order in no known state is not guessed at."""
    trading = knowing_btc(connected(a_trading()))
    frame = bytearray(sbe_frame("order_open"))
    frame[8 + 16] = 254

    with pytest.raises(FrameError, match="OrderStateCode 254"):
        trading.stream_receive(bytes(frame), True, 6)


def test_a_price_below_zero_is_a_frame_error() -> None:
    """The mark price of an SBE position, its sixth number."""
    trading = knowing_btc(connected(a_trading()))
    frame = bytearray(sbe_frame("position_short"))
    at = 8 + 8 + 8 + 1 + 4 * 8
    frame[at : at + 8] = (-5).to_bytes(8, "little", signed=True)

    with pytest.raises(FrameError, match="price of -5 e8"):
        trading.stream_receive(bytes(frame), True, 6)


@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_give_events_or_a_frame_error(frame: bytes, is_binary: bool) -> None:
    """Never another exception."""
    trading = a_trading_for_fuzzing()
    try:
        trading.stream_receive(frame, is_binary, 1)
    except FrameError:
        return


@given(st.data())
def test_damaged_real_frames_give_events_or_a_frame_error(data: st.DataObject) -> None:
    """Nearly right is the harder kind of wrong."""
    texts = [notification("orders.ALL", order_json()), notification("positions", position_json())]
    frame = bytearray(data.draw(st.sampled_from([*map(sbe_frame, PRIVATE_FRAMES), *texts])))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    trading = a_trading_for_fuzzing()
    try:
        trading.stream_receive(bytes(frame), not bytes(frame).startswith(b"{"), 1)
    except FrameError:
        return
    for event in trading.stream_take_events():
        if isinstance(event, OrderUpdate):
            assert event.size_e8 is not None
            assert 0 <= (event.filled_e8 or 0) <= event.size_e8


def a_trading_for_fuzzing() -> ParadexTrading:
    return knowing_btc(ParadexTrading(HOSTS, ParadexCredentials(PRIVATE_KEY)))


@pytest.mark.parametrize("prefix", ["", "a-b", "é", "x" * 41])
def test_a_prefix_the_venue_might_not_take_is_refused(prefix: str) -> None:
    """64 characters are allowed for prefix, dash and number together."""
    with pytest.raises(ValueError, match="client_id_prefix"):
        a_trading(logged_in=False, client_id_prefix=prefix)


def test_the_stream_asks_for_sbe_as_the_service_requires() -> None:
    """The live service refuses a handshake without a version; a loopback may want plain JSON."""
    assert a_trading().stream_url() == "ws://127.0.0.1:1/v1?sbeSchemaId=1&sbeSchemaVersion=2"
    assert a_trading(sbe=False).stream_url() == "ws://127.0.0.1:1/v1"
