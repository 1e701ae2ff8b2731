"""Conversations with Hyperliquid: who may sign for whom, what an order did, and the end of doubt."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.venues.hyperliquid.builders import (
    AGENT,
    AGENT_KEY,
    BTC,
    BUDGET,
    FEES,
    HOSTS,
    MASTER,
    MASTER_KEY,
    META,
    NOW_UNIX_MS,
    USER,
    VECTORS,
    a_session,
    an_answer,
    an_order,
    drive,
    leave,
)
from tests.venues.hyperliquid.venue_case import order_row
from venues.contract import (
    E8,
    Account,
    OrderRef,
    OrderStatus,
    Outcome,
    Position,
    Side,
    TransportError,
    VenueError,
)
from venues.hyperliquid import (
    PRODUCTION_HOSTS,
    TESTNET_HOSTS,
    VENUE,
    HyperliquidCredentials,
    HyperliquidTrading,
    fetch_funding,
    fetch_instruments,
    fetch_server_time_ms,
    fetch_system_state,
    fetch_touch,
)

VAULT = VECTORS["keys"]["vault_address"]
REF = OrderRef(an_order().client_order_id, BTC)
UNKNOWN = {"status": "unknownOid"}
DONE = {"status": "ok", "response": {"type": "default"}}


def err(text: str) -> dict[str, Any]:
    return {"status": "err", "response": text}


def status(word: str, left: str, **changes: Any) -> dict[str, Any]:
    order = order_row(left) | changes
    return {"status": "order", "order": {"order": order, "status": word, "statusTimestamp": NOW_UNIX_MS}}


def fill(size: str, number: int = 1) -> dict[str, Any]:
    return {
        "coin": "BTC", "px": "89960.0", "sz": size, "side": "B", "time": NOW_UNIX_MS, "oid": 569017209592,
        "fee": "0.5", "tid": number,
    }  # fmt: skip


# --- who may sign for whom ---


def login(answers: list[Any], **credentials: str) -> None:
    trading = HyperliquidTrading(HOSTS, HyperliquidCredentials(AGENT_KEY, MASTER, **credentials))
    drive(trading.login(NOW_UNIX_MS), *answers)


OURS = {"role": "agent", "data": {"user": MASTER}}


def test_an_agent_of_the_account_may_log_in() -> None:
    ends = [{"name": "tandem", "address": AGENT, "validUntil": NOW_UNIX_MS + 10**9}]
    login(["default", OURS, BUDGET, ends])
    login(["default", OURS, BUDGET, []])  # the unnamed one is not listed
    sub_account = {"role": "subAccount", "data": {"master": MASTER}}
    login(["default", OURS, sub_account, BUDGET, []], sub_account=VAULT)


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([{"role": "missing"}], ["NOT_AN_AGENT", AGENT, "unknown on the testnet", "approve", "rest_url"]),
        ([{"role": "user"}], ["NOT_AN_AGENT", "an account of its own"]),
        (
            [{"role": "agent", "data": {"user": VAULT}}],
            ["NOT_AN_AGENT", f"an agent of {VAULT}", "HYPERLIQUID_ACCOUNT"],
        ),
        (
            [OURS, BUDGET, [{"address": AGENT, "validUntil": NOW_UNIX_MS}]],
            ["AGENT_EXPIRED", "approve a new one"],
        ),
    ],
)
def test_a_key_that_may_not_sign_is_refused_with_the_remedy(answers: list[Any], words: list[str]) -> None:
    """Before the first order, and never by a text that could mean two things."""
    with pytest.raises(VenueError) as refused:
        login(["default", *answers])
    assert all(word in str(refused.value) for word in words), str(refused.value)
    assert AGENT_KEY[2:] not in str(refused.value)
    assert refused.value.retry_after_ms is None


@pytest.mark.parametrize(
    ("role", "words"),
    [
        ({"role": "missing"}, ["unknown on the testnet", "HYPERLIQUID_ACCOUNT", "deposit"]),
        (OURS, [f"an agent of {MASTER}", f"set HYPERLIQUID_ACCOUNT={MASTER}"]),
    ],
)
def test_a_key_without_an_account_is_told_apart_from_an_account_of_its_own(
    role: dict[str, Any], words: list[str]
) -> None:
    """It would trade for an address that holds nothing, and every order would be refused."""
    trading = HyperliquidTrading(HOSTS, HyperliquidCredentials(AGENT_KEY))
    with pytest.raises(VenueError) as refused:
        drive(trading.login(NOW_UNIX_MS), "default", role)
    assert all(word in str(refused.value) for word in (AGENT, *words)), str(refused.value)


def an_agents_session(ends: list[dict[str, Any]]) -> HyperliquidTrading:
    trading = HyperliquidTrading(HOSTS, HyperliquidCredentials(AGENT_KEY, MASTER))
    drive(trading.fetch_instruments({"BTC": 7}), META, FEES)
    drive(trading.login(NOW_UNIX_MS), "default", OURS, BUDGET, ends)
    return trading


def listed(until_unix_ms: int) -> list[dict[str, Any]]:
    return [{"name": "tandem", "address": AGENT, "validUntil": until_unix_ms}]


def test_an_agent_that_is_removed_while_we_trade_stops_entries() -> None:
    """The list of agents is read with every renewal: what stood there and is gone signs nothing any more."""
    status_of_the_venue = {"time": NOW_UNIX_MS, "specialStatuses": None}
    trading = an_agents_session(listed(NOW_UNIX_MS + 10**9))
    assert drive(trading.query_closed(), status_of_the_venue)[1] == ""

    drive(trading.renew(NOW_UNIX_MS), BUDGET, [], META)

    assert drive(trading.query_closed(), status_of_the_venue)[1] == "AGENT EXPIRED"


@pytest.mark.parametrize(
    ("left_ms", "word", "has_remedy"),
    [(90 * 86_400_000, "until 2026-12-2", False), (86_400_000, "until 2026-09-2", True), (0, "ended", True)],
)
def test_the_account_is_described_with_the_agents_end_its_budget_and_its_own_fee(
    left_ms: int, word: str, has_remedy: bool
) -> None:
    """For the doctor: nothing of it is a key, and what is wrong has its remedy."""
    trading = an_agents_session(listed(NOW_UNIX_MS + 10**9))
    drive(trading.renew(NOW_UNIX_MS), BUDGET, listed(NOW_UNIX_MS + left_ms), META)

    requests, details = drive(trading.describe_account(NOW_UNIX_MS), {"userCrossRate": "0.000405"})

    assert json.loads(requests[0].body) == {"type": "userFees", "user": MASTER}
    agent, mode, budget = details.facts
    assert AGENT in agent.found
    assert word in agent.found
    assert bool(agent.remedy) is has_remedy
    assert agent.stops_entries is (left_ms == 0)
    assert mode.found.startswith("default")
    assert (budget.found, budget.remedy) == ("9988 of 10000 are left", "")
    assert details.taker_fee_bps == pytest.approx(4.05)
    assert AGENT_KEY[2:] not in str(details)


def test_a_sub_account_of_somebody_else_is_refused() -> None:
    other = {"role": "subAccount", "data": {"master": VAULT}}
    with pytest.raises(VenueError, match="HYPERLIQUID_SUB_ACCOUNT"):
        login(["default", OURS, other], sub_account=VAULT)


def test_reads_are_about_the_account_and_never_the_agent() -> None:
    trading = a_session(private_key=AGENT_KEY, account=MASTER)
    [request], _ = drive(trading.query_open_orders(NOW_UNIX_MS), [])
    assert json.loads(request.body)["user"] == MASTER
    trading = a_session(private_key=AGENT_KEY, account=MASTER, sub_account=VAULT)
    [request], _ = drive(trading.query_open_orders(NOW_UNIX_MS), [])
    assert json.loads(request.body)["user"] == VAULT
    trading.stream_connected(0)
    assert {json.loads(item)["subscription"]["user"] for item in trading.stream_take_frames()} == {VAULT}


@pytest.mark.parametrize(
    ("credentials", "name"),
    [
        ({}, MASTER),
        ({"account": "0x" + "AB" * 20}, "0x" + "ab" * 20),
        ({"account": "0x" + "AB" * 20, "sub_account": VAULT}, VAULT),
    ],
)
def test_the_accounts_name_is_the_address_that_is_traded(credentials: dict[str, str], name: str) -> None:
    assert VENUE.account_name(HyperliquidCredentials(MASTER_KEY, **credentials)) == name


@pytest.mark.parametrize("field", ["account", "sub_account"])
def test_a_key_where_an_address_belongs_is_refused_and_not_shown(field: str) -> None:
    with pytest.raises(ValueError, match="no address") as refused:
        HyperliquidTrading(HOSTS, HyperliquidCredentials(MASTER_KEY, **{field: AGENT_KEY}))
    assert AGENT_KEY[2:] not in str(refused.value)


def test_only_the_production_host_is_signed_for_as_main_net() -> None:
    """What is signed for a loopback must be worthless on the main net."""
    made = {}
    for hosts in (PRODUCTION_HOSTS, TESTNET_HOSTS, HOSTS):
        wire = a_session(hosts).sign_create(an_order(), NOW_UNIX_MS).wire
        assert isinstance(wire, bytes)
        made[hosts.rest_url] = json.loads(wire)["request"]["payload"]["signature"]
    production, testnet, loopback = made.values()
    assert testnet == loopback != production


# --- orders ---


def test_two_orders_of_one_millisecond_have_two_nonces() -> None:
    trading = a_session()
    nonces = []
    for _ in range(3):
        wire = trading.sign_create(an_order(), NOW_UNIX_MS).wire
        assert isinstance(wire, bytes)
        nonces.append(json.loads(wire)["request"]["payload"]["nonce"])
    assert nonces == [NOW_UNIX_MS, NOW_UNIX_MS + 1, NOW_UNIX_MS + 2]


def test_the_second_road_carries_the_same_signed_bytes() -> None:
    """Same nonce and signature: by whichever road it arrives, it is executed at most once."""
    trading = a_session()
    wire = trading.sign_create(an_order(), NOW_UNIX_MS).wire
    assert isinstance(wire, bytes)
    request = trading.create_over_http(wire)
    assert (request.method, request.path) == ("POST", "/exchange")
    assert json.loads(request.body) == json.loads(wire)["request"]["payload"]
    assert request.body in wire


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([status("open", "0.06")], (OrderStatus.OPEN, 4_000_000, None)),
        ([status("filled", "0.0"), [fill("0.04"), fill("0.06", 2)]], (OrderStatus.FILLED, 10_000_000, 10**8)),
        ([status("filled", "0.06"), [fill("0.04")]], (OrderStatus.CANCELLED, 4_000_000, 5 * 10**7)),
        ([status("canceled", "0.1"), []], (OrderStatus.CANCELLED, 0, 0)),
        ([status("iocCancelRejected", "0.1")], (OrderStatus.REJECTED, 0, 0)),
        # The fills are not all listed yet: the amount is certain, its fee is not.
        ([status("filled", "0.0"), [fill("0.04")]], (OrderStatus.FILLED, 10_000_000, None)),
        # Cut to the position: what remains says nothing, and nobody says more.
        (
            [status("filled", "0.0", reduceOnly=True), [fill("0.04")]],
            (OrderStatus.CANCELLED, None, None),
        ),
    ],
)
def test_what_an_order_did_is_its_status_and_the_sum_of_its_fills(
    answers: list[Any], expected: tuple[OrderStatus, int | None, int | None]
) -> None:
    requests, found = drive(a_session().query_order(REF, NOW_UNIX_MS), *answers)
    assert found is not None
    status_, filled_e8, fee_e8 = expected
    assert (found.status, found.filled_e8) == (status_, filled_e8)
    assert found.fee_e8 == fee_e8 or found.status is OrderStatus.OPEN
    assert json.loads(requests[0].body)["oid"] == f"0x{REF.client_order_id:032x}"


# --- the end of doubt ---


def voiding(*answers: Any) -> Any:
    trading = a_session()
    leave(trading, trading.sign_create(an_order(), NOW_UNIX_MS))
    requests, found = drive(trading.void_order(REF, NOW_UNIX_MS + 900), *answers)
    body = json.loads(requests[0].body)
    assert (body["action"], body["nonce"]) == ({"type": "noop"}, NOW_UNIX_MS)
    return found


def test_the_nonce_that_is_used_up_is_that_of_the_order_that_left() -> None:
    """A template signed later under the same id never left: its nonce being used up would prove nothing."""
    trading = a_session()
    left = trading.sign_create(an_order(), NOW_UNIX_MS)
    trading.sign_create(an_order(side=Side.SELL), NOW_UNIX_MS + 1)
    leave(trading, left)
    trading.sign_create(an_order(), NOW_UNIX_MS + 2)

    requests, _ = drive(trading.void_order(REF, NOW_UNIX_MS + 900), DONE)

    assert json.loads(requests[0].body)["nonce"] == NOW_UNIX_MS


def test_what_never_left_is_not_voided() -> None:
    trading = a_session()
    trading.sign_create(an_order(), NOW_UNIX_MS)
    with pytest.raises(StopIteration) as ended:
        next(trading.void_order(REF, NOW_UNIX_MS + 900))
    assert ended.value.value is None


def test_a_noop_that_is_taken_ends_the_doubt() -> None:
    """The order's nonce is used up: it was never executed and never will be."""
    found = voiding(DONE)
    assert (found.status, found.filled_e8, found.client_order_id) == (
        OrderStatus.REJECTED,
        0,
        REF.client_order_id,
    )


def test_a_used_nonce_has_the_order_asked_for_again() -> None:
    """It ran, or was refused with its nonce used: the venue knows which."""
    used = err("Invalid nonce: duplicate nonce 1790000000123")
    assert voiding(used, status("filled", "0.0"), [fill("0.1")]).status is OrderStatus.FILLED
    assert voiding(used, UNKNOWN) is None


def test_a_nonce_too_old_to_arrive_ends_the_doubt_if_the_order_is_unknown() -> None:
    old = err("Invalid nonce: nonce too low 1 < 2")
    assert voiding(old, UNKNOWN).status is OrderStatus.REJECTED
    assert voiding(old, status("open", "0.1")) is None


def test_what_the_venue_does_not_settle_stays_in_doubt() -> None:
    assert voiding(err("Too many cumulative requests sent (2 > 1)")) is None
    with pytest.raises(TransportError):
        voiding(an_answer(b"null", status=500))


def test_an_order_signed_by_another_life_is_not_voided() -> None:
    """Its nonce is not known here. Nothing is sent."""
    requests: list[Any] = []
    call = a_session().void_order(REF, NOW_UNIX_MS)
    with pytest.raises(StopIteration) as stop:
        requests.append(next(call))
    assert (stop.value.value, requests) == (None, [])


# --- account and listing ---

STATE = {
    "crossMarginSummary": {"accountValue": "463.94", "totalMarginUsed": "4.02"},
    "crossMaintenanceMarginUsed": "1.0",
    "assetPositions": [
        {"position": {"coin": "BTC", "szi": "-0.001", "entryPx": "80000.0", "positionValue": "80.45"}},
        {"position": {"coin": "TAO", "szi": "5.0"}},
    ],
}


def test_positions_and_margin_are_read_from_one_state() -> None:
    trading = a_session()
    _, positions = drive(trading.query_positions(NOW_UNIX_MS), STATE)
    assert positions == [Position(7, -100_000, 80_000 * E8, 80_450 * E8, 0)]
    _, account = drive(trading.query_account(NOW_UNIX_MS), STATE)
    assert account == Account(46_394_000_000, 45_992_000_000, E8)


def test_with_one_balance_for_everything_the_money_is_on_spot() -> None:
    trading = HyperliquidTrading(HOSTS, HyperliquidCredentials(MASTER_KEY))
    drive(trading.login(NOW_UNIX_MS), "unifiedAccount", USER, BUDGET)
    spot = {"balances": [{"coin": "USDC", "total": "1000.5", "hold": "0.0"}, {"coin": "HYPE", "total": "9"}]}
    _, account = drive(trading.query_account(NOW_UNIX_MS), STATE, spot)
    assert (account.value_e8, account.free_e8) == (100_050_000_000, 99_648_000_000)


def test_the_grid_is_that_of_the_listing_and_the_fee_the_lowest_tiers() -> None:
    _, [found] = drive(fetch_instruments({"BTC": 7}), META, FEES)
    assert found == BTC
    _, [old] = drive(fetch_instruments({"OLD": 3}), META, FEES)
    assert not old.is_trading


@pytest.mark.parametrize(
    ("symbol", "hint"),
    [("BTCC", "did you mean BTC"), ("PURR/USDC", "spot is not traded"), ("@107", "spot is not traded")],
)
def test_an_unknown_coin_is_named_with_what_may_have_been_meant(symbol: str, hint: str) -> None:
    with pytest.raises(VenueError, match=hint):
        drive(a_session().fetch_instruments({symbol: 7}), META)


SPOT_META = {
    "universe": [
        {"name": "PURR/USDC", "tokens": [1, 0], "index": 0, "isCanonical": True},
        {"name": "@166", "tokens": [268, 0], "index": 166, "isCanonical": False},
        {"name": "@9", "tokens": [77, 0], "index": 9, "isCanonical": False},
    ],
    "tokens": [
        {"name": "USDC", "szDecimals": 8, "weiDecimals": 8, "index": 0},
        {"name": "PURR", "szDecimals": 0, "weiDecimals": 5, "index": 1},
        {"name": "USDT0", "szDecimals": 2, "weiDecimals": 8, "index": 268},
    ],
}


def test_a_spot_pair_can_be_watched_and_says_what_its_price_is_in() -> None:
    """By its name on the wire, its tokens by their index; beside perpetuals, in the order asked for."""
    _, found = drive(fetch_instruments({"@166": 5, "BTC": 7, "PURR/USDC": 6}), META, FEES, SPOT_META)
    rate, perpetual, purr = found
    assert [item.instrument_id for item in found] == [5, 7, 6]
    assert (rate.base, rate.quote, rate.is_spot) == ("USDT0", "USDC", True)
    # Five figures, and 8 less the size's decimals: 1.0002 stands on it, 1.00025 does not.
    assert (rate.lot_e8, rate.price_step_e8(E8), rate.price_decimals) == (10**6, 10**4, 6)
    assert (purr.symbol, purr.lot_e8, purr.tick_e8) == ("PURR/USDC", E8, 1)
    assert perpetual == BTC
    with pytest.raises(VenueError, match="lists no @107"):
        drive(fetch_instruments({"@107": 5}), SPOT_META)
    with pytest.raises(TransportError, match="a token that is not there"):
        drive(fetch_instruments({"@9": 5}), SPOT_META)


def test_why_nothing_should_be_opened_is_told() -> None:
    """Something special at the venue, a delisted coin, or no requests left."""
    quiet = {"time": NOW_UNIX_MS, "specialStatuses": None}
    trading = a_session()
    assert drive(trading.query_closed(), quiet)[1] == ""
    assert drive(trading.query_closed(), quiet | {"specialStatuses": {"halt": True}})[1]
    gone = {**META, "universe": [META["universe"][0] | {"isDelisted": True}, *META["universe"][1:]]}  # type: ignore[index]
    drive(trading.renew(NOW_UNIX_MS), BUDGET, gone)
    assert drive(trading.query_closed(), quiet)[1] == "DELISTED BTC"
    drive(trading.renew(NOW_UNIX_MS), BUDGET | {"nRequestsUsed": 10_000}, META)
    assert drive(trading.query_closed(), quiet)[1] == "REQUEST BUDGET USED UP"


def test_the_dead_mans_switch_is_set_anew_where_the_volume_allows_it() -> None:
    trading = a_session()
    requests, _ = drive(trading.renew(NOW_UNIX_MS), BUDGET | {"cumVlm": "1000000.0"}, META, DONE)
    action = json.loads(requests[-1].body)["action"]
    assert action == {"type": "scheduleCancel", "time": NOW_UNIX_MS + 180_000}
    requests, _ = drive(trading.renew(NOW_UNIX_MS), BUDGET | {"cumVlm": "999999.9"}, META)
    assert len(requests) == 2


def test_leverage_is_set_for_the_coins_number() -> None:
    requests, value = drive(a_session().set_leverage(BTC, 3, NOW_UNIX_MS), DONE)
    action = json.loads(requests[0].body)["action"]
    assert (action, value) == ({"type": "updateLeverage", "asset": 0, "isCross": True, "leverage": 3}, 3)
    with pytest.raises(VenueError, match="Insufficient"):
        drive(a_session().set_leverage(BTC, 3, NOW_UNIX_MS), err("Insufficient margin to change leverage."))


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("success", Outcome.ACCEPTED),
        ({"error": "Order was never placed, already canceled, or filled. asset=0"}, Outcome.REFUSED),
    ],
)
def test_a_cancel_is_by_our_id(answer: Any, outcome: Outcome) -> None:
    reported = {"status": "ok", "response": {"type": "cancel", "data": {"statuses": [answer]}}}
    requests, ack = drive(a_session().cancel_order(REF, NOW_UNIX_MS), reported)
    assert ack.outcome is outcome
    action = json.loads(requests[0].body)["action"]
    assert action["cancels"] == [{"asset": 0, "cloid": f"0x{REF.client_order_id:032x}"}]


def test_public_questions() -> None:
    assert drive(fetch_server_time_ms(), {"time": 5, "specialStatuses": None})[1] == 5
    assert drive(fetch_system_state(), {"time": 5, "specialStatuses": None})[1] == "ok"
    book = {"coin": "BTC", "time": 1, "levels": [[{"px": "100.0", "sz": "1.0", "n": 1}], []]}
    assert drive(fetch_touch("BTC"), book)[1] == (100 * E8, 0)
    with pytest.raises(VenueError, match="no book"):
        drive(fetch_touch("X"), an_answer(b"null"))
    contexts = [{"funding": rate} for rate in ("0.0000125", "-0.0001", "0.0")]
    _, rates = drive(fetch_funding({"ETH": 4, "BTC": 2}), [META, contexts])
    assert {(item.instrument_id, round(item.hourly_bps, 6)) for item in rates} == {(2, 0.125), (4, -1.0)}
    with pytest.raises(TransportError):
        drive(fetch_funding({"BTC": 2}), [META, contexts[:1]])
