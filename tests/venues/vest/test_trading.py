"""Requests are the documented ones, byte for byte where signed; answers keep their meaning."""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from tests.venues.vest.builders import (
    API_KEY,
    BTC,
    BTC_ROW,
    LISTEN_KEY,
    NOW_UNIX_MS,
    PRIMARY_KEY,
    SIGNING_KEY,
    VECTORS,
    a_session,
    an_answer,
    an_order,
    drive,
)
from venues.contract import (
    E8,
    HttpRequest,
    OffGrid,
    OrderRef,
    OrderStatus,
    Outcome,
    Position,
    Side,
    TimeInForce,
    Trading,
    TransportError,
    VenueError,
    VenueHosts,
)
from venues.contract import (
    Account as AccountState,
)
from venues.vest import (
    DEVELOPMENT_HOSTS,
    PRODUCTION_HOSTS,
    CloseAction,
    VestCredentials,
    VestTrading,
    close_action,
)
from venues.vest.assumptions import SEND_MARGIN_MS
from venues.vest.instruments import fetch_instruments

ORDER_ID: Final = "0x9f4a1c7e2b3d5f60718293a4b5c6d7e8f90123456789abcdef0123456789abcd"
LOOPBACK_HOSTS: Final = VenueHosts(
    "http://127.0.0.1:1/v2", "ws://127.0.0.1:1/ws-api", "ws://127.0.0.1:1/ws-api"
)
HALF_HOUR_MS: Final = 30 * 60_000
DAY_MS: Final = 24 * 3_600_000

# The documentation's example of GET /orders, its id made whole.
ROW: Final[dict[str, Any]] = {
    "id": ORDER_ID, "nonce": NOW_UNIX_MS, "symbol": "BTC-PERP", "isBuy": True, "orderType": "LIMIT",
    "limitPrice": "90000.00", "markPrice": "89950.10", "size": "0.1000", "status": "FILLED",
    "reduceOnly": False, "initMarginRatio": "0.1000", "code": None, "lastFilledSize": "0.1000",
    "lastFilledPrice": "89960.00", "lastFilledTime": 1763600000120, "avgFilledPrice": "89960.00",
    "settledFunding": "0.000000", "fees": "0.899600", "realizedPnl": "-0.899600",
    "postTime": 1763600000050, "tpPrice": None, "slPrice": None,
}  # fmt: skip
UNFILLED: Final = dict.fromkeys(
    ("lastFilledSize", "lastFilledPrice", "lastFilledTime", "avgFilledPrice", "fees")
)
OPEN_ROW: Final = ROW | UNFILLED | {"status": "NEW"}

# The documentation's example of GET /account.
ACCOUNT: Final[dict[str, Any]] = {
    "address": "0x2c7536e3605d9c16a7a3d7b1898e529396a65c23",
    "balances": [{"asset": "USDC", "total": "1000.000000", "locked": "0.000000"}],
    "collateral": "1000.000000", "withdrawable": "551.500000", "totalAccountValue": "1001.000000",
    "openOrderMargin": "0.000000", "totalMaintMargin": "224.750000",
    "positions": [{"symbol": "BTC-PERP", "isLong": True, "size": "0.1000", "entryPrice": "89900.00",
      "entryFunding": "1.230000000000", "unrealizedPnl": "1.000000", "settledFunding": "0.000000",
      "markPrice": "89910.00", "indexPrice": "89900.00", "liqPrice": "82000.00",
      "initMargin": "449.500000", "maintMargin": "224.750000", "initMarginRatio": "0.0500"}],
    "leverages": [{"symbol": "BTC-PERP", "value": 20}],
    "lp": {"balance": "0.000000", "shares": "0.000000", "unrealizedPnl": "0.000000"},
    "time": 1763600000500, "twitterUsername": None, "discordUsername": None,
}  # fmt: skip

REF: Final = OrderRef(NOW_UNIX_MS, BTC, ORDER_ID)
REF_BY_NONCE: Final = OrderRef(NOW_UNIX_MS, BTC)


def query_of(request: HttpRequest) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}


def sent(wire: HttpRequest | bytes) -> dict[str, Any]:
    assert isinstance(wire, HttpRequest)
    body: dict[str, Any] = json.loads(wire.body)
    return body


# --- session ---


def test_it_offers_what_the_contract_asks() -> None:
    trading: Trading = a_session()
    assert (trading.venue, trading.create_transport) == ("vest", "http")
    assert trading.taker_time_in_force is TimeInForce.FOK


@pytest.mark.parametrize(
    ("hosts", "contract"),
    [(PRODUCTION_HOSTS, "prod"), (DEVELOPMENT_HOSTS, "dev"), (LOOPBACK_HOSTS, "dev")],
)
def test_login_proves_the_signing_key_for_the_contract_of_the_host(hosts: VenueHosts, contract: str) -> None:
    """The proof is checked by eth-account; one made for the simulator must not open production."""
    trading = VestTrading(hosts, VestCredentials(PRIMARY_KEY, SIGNING_KEY))
    [register, listen_key], _ = drive(
        trading.login(NOW_UNIX_MS),
        an_answer({"apiKey": API_KEY, "accGroup": 3}),
        an_answer({"listenKey": LISTEN_KEY}),
    )
    body = json.loads(register.body)
    assert (register.method, register.path) == ("POST", "/register")
    assert body["expiryTime"] == NOW_UNIX_MS + 7 * DAY_MS
    assert body["networkType"] == 0
    assert (body["signingAddr"], body["primaryAddr"]) == (
        VECTORS["keys"]["signing_address"].lower(),
        VECTORS["keys"]["primary_address"].lower(),
    )
    message = encode_typed_data(
        {"name": "VestRouterV2", "version": "0.0.1", "verifyingContract": VECTORS["contracts"][contract]},
        VECTORS["register_prod"]["types"],
        {"approvedSigner": body["signingAddr"], "signerExpiry": body["expiryTime"]},
    )
    recovered = Account.recover_message(message, signature=body["signature"])
    assert recovered == VECTORS["keys"]["primary_address"]
    assert (listen_key.method, listen_key.path) == ("POST", "/account/listenKey")
    assert dict(listen_key.headers) == {
        "xrestservermm": "restserver3",
        "X-API-KEY": API_KEY,
        "Content-Type": "application/json",
    }


def test_account_group_zero_is_as_good_as_any() -> None:
    """A public client tested it for truth and could never trade on group 0."""
    trading = a_session(account_group=0)
    wire = trading.sign_create(an_order(), NOW_UNIX_MS).wire
    assert isinstance(wire, HttpRequest)
    assert ("xrestservermm", "restserver0") in wire.headers
    assert "xwebsocketserver=restserver0" in trading.stream_url()


def test_the_stream_url_carries_route_and_listen_key() -> None:
    parts = urlsplit(a_session(account_group=4).stream_url())
    assert (parts.scheme, parts.hostname, parts.path) == ("wss", "ws-prod.hz.vestmarkets.com", "/ws-api")
    assert parse_qs(parts.query) == {
        "version": ["1.0"],
        "xwebsocketserver": ["restserver4"],
        "listenKey": [LISTEN_KEY],
    }


@pytest.mark.parametrize(
    "granted",
    [
        {"apiKey": API_KEY},
        {"apiKey": "", "accGroup": 0},
        {"apiKey": "a\r\nb: c", "accGroup": 0},
        {"apiKey": "a\n", "accGroup": 0},
        {"apiKey": API_KEY, "accGroup": -1},
        {"apiKey": API_KEY, "accGroup": None},
        [],
        b"<html>",
    ],
)
def test_a_registration_that_is_not_as_documented_ends_the_login(granted: object) -> None:
    trading = VestTrading(LOOPBACK_HOSTS, VestCredentials(PRIMARY_KEY))
    with pytest.raises(TransportError, match="POST /register is not as documented"):
        drive(trading.login(NOW_UNIX_MS), an_answer(granted))


def test_a_refused_registration_says_so_with_the_venues_words() -> None:
    """An account must have been created in the web application first."""
    trading = VestTrading(LOOPBACK_HOSTS, VestCredentials(PRIMARY_KEY))
    refusal = an_answer({"detail": {"code": 1099, "msg": "no account"}}, status=400)
    with pytest.raises(VenueError, match="1099 no account") as caught:
        drive(trading.login(NOW_UNIX_MS), refusal)
    assert caught.value.retry_after_ms is None


def test_before_login_nothing_can_be_signed() -> None:
    trading = VestTrading(LOOPBACK_HOSTS, VestCredentials(PRIMARY_KEY))
    with pytest.raises(RuntimeError, match=r"drive login\(\) first"):
        trading.sign_create(an_order(), NOW_UNIX_MS)


def test_before_the_instruments_are_known_no_position_is_reported_flat() -> None:
    """An empty list would read as "no positions"."""
    trading = VestTrading(LOOPBACK_HOSTS, VestCredentials(PRIMARY_KEY))
    with pytest.raises(RuntimeError, match=r"fetch_instruments\(\) first"):
        drive(trading.query_positions(NOW_UNIX_MS))


def test_renewal_is_due_every_half_hour_and_extends_the_listen_key() -> None:
    trading = a_session()
    assert trading.renew_due_unix_ms == NOW_UNIX_MS + HALF_HOUR_MS
    later = NOW_UNIX_MS + HALF_HOUR_MS
    [request], _ = drive(trading.renew(later), an_answer({"listenKey": LISTEN_KEY}))
    assert (request.method, request.path) == ("PUT", "/account/listenKey")
    assert trading.renew_due_unix_ms == later + HALF_HOUR_MS


def test_an_expired_listen_key_is_replaced() -> None:
    trading = a_session()
    requests, _ = drive(
        trading.renew(NOW_UNIX_MS + 1),
        an_answer({"code": 1125, "msg": "INVALID_LISTEN_KEY"}, status=400),
        an_answer({"listenKey": "fresh"}),
    )
    assert [request.method for request in requests] == ["PUT", "POST"]
    assert trading.stream_url().endswith("listenKey=fresh")


def test_another_refusal_of_the_renewal_is_not_swallowed() -> None:
    trading = a_session()
    with pytest.raises(VenueError, match="1002"):
        drive(trading.renew(NOW_UNIX_MS + 1), an_answer({"code": 1002, "msg": "x"}, status=403))


def test_the_registration_is_renewed_in_its_last_day() -> None:
    """Its end would make every signature invalid, in the middle of a trade."""
    trading = a_session()
    requests, _ = drive(
        trading.renew(NOW_UNIX_MS + 6 * DAY_MS + 1),
        an_answer({"apiKey": "second", "accGroup": 1}),
        an_answer({"listenKey": LISTEN_KEY}),
    )
    assert [request.path for request in requests] == ["/register", "/account/listenKey"]
    assert ("X-API-KEY", "second") in requests[1].headers


def test_secrets_are_in_no_repr() -> None:
    trading = a_session()
    shown = repr(trading) + repr(VestCredentials(PRIMARY_KEY, SIGNING_KEY)) + repr(trading._session._grant)
    for secret in (PRIMARY_KEY, SIGNING_KEY, API_KEY, LISTEN_KEY):
        assert secret.removeprefix("0x") not in shown


def test_a_missing_primary_key_and_an_unusable_window_are_refused() -> None:
    with pytest.raises(ValueError, match="primary private key is missing"):
        VestTrading(LOOPBACK_HOSTS, VestCredentials(""))
    with pytest.raises(ValueError, match="recv_window_ms 0 must be above 0"):
        VestTrading(LOOPBACK_HOSTS, VestCredentials(PRIMARY_KEY), recv_window_ms=0)


def test_every_login_without_a_signing_key_has_its_own() -> None:
    first, second = (VestTrading(LOOPBACK_HOSTS, VestCredentials(PRIMARY_KEY)) for _ in range(2))
    assert repr(first) != repr(second)


# --- instruments ---


def test_the_grid_follows_from_the_decimals() -> None:
    [request], found = drive(fetch_instruments({"BTC-PERP": 7}), an_answer({"symbols": [BTC_ROW]}))
    assert (request.method, request.path) == ("GET", "/exchangeInfo?symbols=BTC-PERP")
    assert request.headers == (("xrestservermm", "restserver0"),)
    assert found == [BTC]


@pytest.mark.parametrize(("status", "is_trading"), [("TRADING", True), ("HALT", False), (None, True)])
def test_a_halted_market_is_not_trading(status: str | None, is_trading: bool) -> None:
    row = BTC_ROW | {"tradingStatus": status}
    _, [found] = drive(fetch_instruments({"BTC-PERP": 7}), an_answer({"symbols": [row]}))
    assert found.is_trading is is_trading


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([], "does not list BTC-PERP"),
        ([BTC_ROW | {"priceDecimals": 9}], "9 price and 4 size decimals"),
        ([BTC_ROW | {"takerFee": "1e-4"}], "takerFee"),
    ],
)
def test_an_unusable_listing_names_the_symbol(rows: list[Any], why: str) -> None:
    with pytest.raises(VenueError, match=why) as caught:
        drive(fetch_instruments({"BTC-PERP": 7}), an_answer({"symbols": rows}))
    assert "BTC-PERP" in str(caught.value)


def test_an_unknown_symbol_is_refused_in_a_200_too() -> None:
    with pytest.raises(VenueError, match="1121 BAD_SYMBOL"):
        drive(fetch_instruments({"X-PERP": 1}), an_answer({"code": 1121, "msg": "BAD_SYMBOL"}))


# --- orders ---


def test_a_limit_order_is_the_vectors_bytes() -> None:
    """Body, signature and all, as two independent libraries computed them."""
    order = an_order(time_in_force=TimeInForce.GTC)
    signed = a_session().sign_create(order, NOW_UNIX_MS)
    assert isinstance(signed.wire, HttpRequest)
    assert (signed.wire.method, signed.wire.path) == ("POST", "/orders")
    assert sent(signed.wire) == VECTORS["order_limit"]["request_body"]
    assert dict(signed.wire.headers) == {
        "xrestservermm": "restserver0",
        "X-API-KEY": API_KEY,
        "Content-Type": "application/json",
    }
    assert signed.request is order
    assert signed.valid_until_unix_ms == NOW_UNIX_MS + 60_000 - SEND_MARGIN_MS


def test_ioc_is_a_market_order_bounded_by_its_limit_price() -> None:
    eth = BTC._replace(symbol="ETH-PERP", tick_e8=10**5, lot_e8=10**5, min_size_e8=10**5,
                       price_decimals=3, size_decimals=3)  # fmt: skip
    order = an_order(
        client_order_id=1763600001000, instrument=eth, side=Side.SELL, size_e8=125_000_000,
        limit_price_e8=2970 * E8, reduce_only=True, time_in_force=TimeInForce.IOC,
    )  # fmt: skip
    body = sent(a_session().sign_create(order, 1763600001000).wire)
    assert body == VECTORS["order_market"]["request_body"]


def test_fok_is_a_limit_order_that_says_fok() -> None:
    order = sent(a_session().sign_create(an_order(), NOW_UNIX_MS).wire)["order"]
    assert (order["orderType"], order["timeInForce"]) == ("LIMIT", "FOK")


def test_the_client_order_id_travels_as_nonce_apart_from_the_time() -> None:
    order = sent(a_session().sign_create(an_order(client_order_id=2**53 - 1), 5).wire)["order"]
    assert (order["nonce"], order["time"]) == (2**53 - 1, 5)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"size_e8": 10**7 + 1}, "size"),
        ({"limit_price_e8": 90_000 * E8 + 1}, "price"),
        ({"size_e8": 0}, "size"),
    ],
)
def test_an_order_off_the_grid_is_refused_before_it_is_signed(changes: Any, field: str) -> None:
    with pytest.raises(OffGrid) as caught:
        a_session().sign_create(an_order(**changes), NOW_UNIX_MS)
    assert caught.value.field == field


# --- answers to create ---


def test_an_id_means_accepted() -> None:
    ack = a_session().parse_create_response(an_order(), an_answer({"id": ORDER_ID}))
    assert (ack.client_order_id, ack.outcome, ack.venue_order_id) == (NOW_UNIX_MS, Outcome.ACCEPTED, ORDER_ID)


CREATE_ANSWERS: Final[list[tuple[str, int, object, Outcome, str]]] = [
    ("flat body", 400, {"code": 1111, "msg": "BAD_DECIMALS"}, Outcome.REFUSED, "1111"),
    ("detail body", 400, {"detail": {"code": 1022, "msg": "x"}}, Outcome.REFUSED, "1022"),
    ("error in a 200", 200, {"code": 3002, "msg": "MARGIN"}, Outcome.REFUSED, "3002"),
    ("detail is a text", 404, {"detail": "Not Found"}, Outcome.IN_DOUBT, "404"),
    ("detail is a list", 422, {"detail": [{"loc": ["body"]}]}, Outcome.IN_DOUBT, "422"),
    ("edge page", 403, b"<html>denied</html>", Outcome.IN_DOUBT, "403"),
    ("duplicate", 400, {"code": 3015, "msg": "DUPLICATE"}, Outcome.IN_DOUBT, "3015"),
    ("duplicate in a 200", 200, {"code": 3015, "msg": "DUPLICATE"}, Outcome.IN_DOUBT, "3015"),
    ("nonce", 400, {"code": 1023, "msg": "INVALID_NONCE"}, Outcome.IN_DOUBT, "1023"),
    ("code without text", 400, {"code": 1111}, Outcome.IN_DOUBT, "400"),
    ("another request's code", 400, {"code": 3017, "msg": "ORDER_NOT_FOUND"}, Outcome.IN_DOUBT, "3017"),
    ("limit of the edge", 429, b"", Outcome.IN_DOUBT, "429"),
    ("error with a server's status", 405, {"code": 1111, "msg": "x"}, Outcome.IN_DOUBT, "1111"),
    ("accepted and refused", 200, {"id": "0x1", "code": 1111, "msg": "x"}, Outcome.IN_DOUBT, "200"),
    ("accepted with another status", 202, {"id": "0x1"}, Outcome.IN_DOUBT, "202"),
    ("undocumented code", 400, {"code": 9999, "msg": "?"}, Outcome.IN_DOUBT, "9999"),
    ("code of another type", 400, {"code": ["1111"], "msg": "?"}, Outcome.IN_DOUBT, "['1111']"),
    ("origin down", 530, b"<html>530</html>", Outcome.IN_DOUBT, "530"),
    ("broken behind the door", 500, {"code": 1111, "msg": "x"}, Outcome.IN_DOUBT, "1111"),
    ("bad gateway", 502, b"", Outcome.IN_DOUBT, "502"),
    ("request timeout", 408, b"", Outcome.IN_DOUBT, "408"),
    ("redirect", 302, b"", Outcome.IN_DOUBT, "302"),
    ("unparsable success", 200, b"{", Outcome.IN_DOUBT, "200"),
    ("success without id", 200, {}, Outcome.IN_DOUBT, "200"),
    ("success with odd id", 200, {"id": 5}, Outcome.IN_DOUBT, "200"),
    ("nested beyond reason", 200, b"[" * 100_000, Outcome.IN_DOUBT, "200"),
]


@pytest.mark.parametrize(
    ("status", "body", "outcome", "code"),
    [case[1:] for case in CREATE_ANSWERS],
    ids=[case[0] for case in CREATE_ANSWERS],
)
def test_each_answer_to_a_create_settles_what_it_settles(
    status: int, body: object, outcome: Outcome, code: str
) -> None:
    """Calling a live order refused loses a position; calling a dead one in doubt costs a question."""
    ack = a_session().parse_create_response(an_order(), an_answer(body, status=status))
    assert (ack.outcome, ack.code, ack.client_order_id) == (outcome, code, NOW_UNIX_MS)
    assert ack.retry_after_ms == (1_000 if status == 429 else None)
    assert ack.venue_order_id == ""


@pytest.mark.parametrize(
    ("answer", "wait_ms"),
    [
        (an_answer({"code": 429, "msg": "rate limited"}, status=429), 1_000),
        (an_answer({"code": 1003, "msg": "TOO_MANY"}, status=400), 1_000),
        (an_answer({"code": 429, "msg": "x"}, status=429, retry_after="7"), 7_000),
        (an_answer({"code": 429, "msg": "x"}, status=429, retry_after="Wed, 21 Oct 2026"), 1_000),
        (an_answer({"code": 3003, "msg": "PRICE_STALE"}), 1_000),
    ],
)
def test_a_limit_is_a_refusal_that_says_when_to_come_back(answer: Any, wait_ms: int) -> None:
    ack = a_session().parse_create_response(an_order(), answer)
    assert (ack.outcome, ack.retry_after_ms) == (Outcome.REFUSED, wait_ms)


def test_the_venues_words_reach_the_operator() -> None:
    ack = a_session().parse_create_response(
        an_order(), an_answer({"code": 3002, "msg": "need 5 more"}, status=400)
    )
    assert (ack.code, ack.text) == ("3002", "need 5 more")


# --- query ---


def test_an_order_is_asked_for_by_the_venues_id_where_we_have_it() -> None:
    [request], update = drive(a_session().query_order(REF, 9), an_answer([ROW]))
    assert request.method == "GET"
    assert query_of(request) == {"id": ORDER_ID, "time": "9"}
    assert update is not None
    assert (update.client_order_id, update.venue_order_id) == (NOW_UNIX_MS, ORDER_ID)
    assert (update.status, update.filled_e8, update.fee_e8) == (OrderStatus.FILLED, E8 // 10, 89_960_000)
    assert (update.average_price_e8, update.instrument_id) == (89_960 * E8, BTC.instrument_id)


def test_an_order_without_a_venue_id_is_asked_for_by_nonce() -> None:
    [request], update = drive(a_session().query_order(REF_BY_NONCE, 9), an_answer([OPEN_ROW]))
    assert query_of(request) == {"nonce": str(NOW_UNIX_MS), "time": "9"}
    assert update is not None
    assert (update.status, update.filled_e8) == (OrderStatus.OPEN, 0)


@pytest.mark.parametrize(
    "rows",
    [[], [ROW | {"nonce": 5}], [ROW | {"symbol": "ETH-PERP"}], [ROW | {"status": "REJECTED", "code": 3015}]],
    ids=["none", "filter ignored", "another symbol", "only the rejected double"],
)
def test_an_order_the_venue_does_not_show_is_unknown_now(rows: list[Any]) -> None:
    """That the nonce filter works is not proven: rows of other orders must not pass as ours."""
    assert drive(a_session().query_order(REF_BY_NONCE, 9), an_answer(rows))[1] is None


def test_the_rejected_double_does_not_hide_the_order() -> None:
    rows = [ROW | {"id": "0x2", "status": "REJECTED", "code": 3015}, ROW]
    update = drive(a_session().query_order(REF_BY_NONCE, 9), an_answer(rows))[1]
    assert update is not None
    assert update.status is OrderStatus.FILLED


def test_two_orders_of_one_nonce_are_not_guessed_between() -> None:
    with pytest.raises(VenueError, match="2 orders have the nonce"):
        drive(a_session().query_order(REF_BY_NONCE, 9), an_answer([ROW, ROW | {"id": "0x2"}]))


@pytest.mark.parametrize("status", ["CANCELLED", "PARTIALLY_FILLED"])
def test_a_row_that_does_not_tell_the_filled_size_claims_none(status: str) -> None:
    update = drive(a_session().query_order(REF, 9), an_answer([ROW | UNFILLED | {"status": status}]))[1]
    assert update is not None
    assert update.filled_e8 is None


@pytest.mark.parametrize("answer", [an_answer(b"<html>", status=530), an_answer(b"<html>"), an_answer({}),
                                    an_answer([ROW | {"status": "?"}])])  # fmt: skip
def test_an_answer_that_settles_nothing_is_a_transport_error(answer: Any) -> None:
    with pytest.raises(TransportError, match="vest: "):
        drive(a_session().query_order(REF, 9), answer)


def test_open_orders_are_both_kinds_on_known_instruments() -> None:
    partial = OPEN_ROW | {"id": "0x2", "status": "PARTIALLY_FILLED", "nonce": 2}
    foreign = OPEN_ROW | {"id": "0x3", "symbol": "DOGE-PERP"}
    requests, orders = drive(
        a_session().query_open_orders(9),
        an_answer([OPEN_ROW, foreign, ROW | {"id": "0x4"}]),
        an_answer([partial]),
    )
    assert [query_of(request)["status"] for request in requests] == ["NEW", "PARTIALLY_FILLED"]
    assert [(order.venue_order_id, order.client_order_id) for order in orders] == [
        (ORDER_ID, NOW_UNIX_MS),
        ("0x2", 2),
    ]


def test_an_order_filled_in_part_between_the_two_questions_is_listed_once() -> None:
    moved = OPEN_ROW | {"status": "PARTIALLY_FILLED"}
    _, [order] = drive(a_session().query_open_orders(9), an_answer([OPEN_ROW]), an_answer([moved]))
    assert order.filled_e8 is None


def test_more_open_orders_than_a_page_are_all_found() -> None:
    """A page is the newest 1000 up to endTime; its last millisecond may continue on the next."""
    rows = [OPEN_ROW | {"id": hex(n), "nonce": n, "postTime": n // 2} for n in range(1500, 0, -1)]
    requests, orders = drive(
        a_session().query_open_orders(9), an_answer(rows[:1000]), an_answer(rows[999:]), an_answer([])
    )
    assert query_of(requests[1])["endTime"] == str(rows[999]["postTime"])
    assert {order.client_order_id for order in orders} == set(range(1, 1501))


def test_a_full_page_that_repeats_ends_the_paging() -> None:
    rows = [OPEN_ROW | {"id": hex(n), "nonce": n} for n in range(1000)]
    _, orders = drive(a_session().query_open_orders(9), an_answer(rows), an_answer(rows), an_answer([]))
    assert len(orders) == 1000


@pytest.mark.parametrize(("is_long", "size_e8"), [(True, E8 // 10), (False, -E8 // 10)])
def test_positions_are_signed_and_of_known_instruments(is_long: bool, size_e8: int) -> None:
    row = ACCOUNT["positions"][0] | {"isLong": is_long}
    answer = an_answer(ACCOUNT | {"positions": [row, row | {"symbol": "DOGE-PERP"}]})
    [request], positions = drive(a_session().query_positions(9), answer)
    assert request.path == "/account?time=9"
    assert positions == [Position(BTC.instrument_id, size_e8, 89_900 * E8, 89_910 * E8, 82_000 * E8)]


def test_a_position_without_liquidation_price_has_none() -> None:
    row = ACCOUNT["positions"][0] | {"liqPrice": None}
    _, [position] = drive(a_session().query_positions(9), an_answer(ACCOUNT | {"positions": [row]}))
    assert position.liquidation_price_e8 == 0


def test_the_account_is_read() -> None:
    _, account = drive(a_session().query_account(9), an_answer(ACCOUNT))
    assert account == AccountState(1_001 * E8, 55_150_000_000, 22_475_000_000)


@pytest.mark.parametrize("field", ["size", "entryPrice"])
def test_a_position_that_is_no_number_settles_nothing(field: str) -> None:
    """Zero in its place would be a position believed flat."""
    row = ACCOUNT["positions"][0] | {field: "n/a"}
    with pytest.raises(TransportError, match="plain decimal"):
        drive(a_session().query_positions(9), an_answer(ACCOUNT | {"positions": [row]}))


@pytest.mark.parametrize("changes", [{"size": "-0.1"}, {"entryPrice": "-1"}, {"liqPrice": "-1"}])
def test_a_position_that_contradicts_itself_settles_nothing(changes: dict[str, str]) -> None:
    """A negative long may be a short or a slip: exposure is never guessed."""
    row = ACCOUNT["positions"][0] | changes
    with pytest.raises(TransportError, match=r"a position of -0\.1, long|negative"):
        drive(a_session().query_positions(9), an_answer(ACCOUNT | {"positions": [row]}))


# --- cancel, leverage, close codes ---


def test_a_cancel_is_the_vectors_bytes() -> None:
    trading = a_session()
    [request], ack = drive(trading.cancel_order(REF, 1763600003000), an_answer({"id": ORDER_ID}))
    assert (request.method, request.path) == ("POST", "/orders/cancel")
    assert json.loads(request.body) == VECTORS["cancel"]["request_body"]
    assert (ack.outcome, ack.venue_order_id) == (Outcome.ACCEPTED, ORDER_ID)


def test_a_cancel_without_the_venues_id_looks_it_up_first() -> None:
    requests, ack = drive(
        a_session().cancel_order(REF_BY_NONCE, 9), an_answer([OPEN_ROW]), an_answer({"id": ORDER_ID})
    )
    assert query_of(requests[0])["nonce"] == str(NOW_UNIX_MS)
    assert json.loads(requests[1].body)["order"]["id"] == ORDER_ID
    assert ack.outcome is Outcome.ACCEPTED


def test_a_cancel_of_an_order_not_shown_settles_nothing() -> None:
    """The create may still be on its way."""
    [_], ack = drive(a_session().cancel_order(REF_BY_NONCE, 9), an_answer([]))
    assert ack.outcome is Outcome.IN_DOUBT
    assert str(NOW_UNIX_MS) in ack.text


def test_a_cancel_of_a_finished_order_is_refused() -> None:
    answer = an_answer({"detail": {"code": 3017, "msg": "ORDER_NOT_FOUND"}}, status=400)
    ack = drive(a_session().cancel_order(REF, 9), answer)[1]
    assert (ack.outcome, ack.code, ack.venue_order_id) == (Outcome.REFUSED, "3017", ORDER_ID)


def test_a_cancel_nobody_answered_is_in_doubt() -> None:
    ack = drive(a_session().cancel_order(REF, 9), TransportError("timed out"))[1]
    assert (ack.outcome, ack.text, ack.venue_order_id) == (Outcome.IN_DOUBT, "timed out", ORDER_ID)


@pytest.mark.parametrize(
    ("code", "action"),
    [(1006, CloseAction.RECONNECT), (1011, CloseAction.RECONNECT), (1012, CloseAction.RECONNECT),
     (4000, CloseAction.STOP), (4001, CloseAction.STOP), (4002, CloseAction.STOP),
     (4003, CloseAction.RENEW), (4004, CloseAction.RENEW), (4005, CloseAction.RENEW)],
)  # fmt: skip
def test_a_close_code_says_what_to_do(code: int, action: CloseAction) -> None:
    assert close_action(code) is action
