"""Onboarding, login, tokens, and what is public, over real sockets."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from Crypto.Hash import SHA256
from Crypto.PublicKey import ECC
from Crypto.Signature import DSS

from simulator.paradex.settings import RateLimits
from tests.simulator.paradex.client import Client, Key
from tests.simulator.paradex.conftest import BTC, StartVenue, Venue


def decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


async def test_the_config_has_every_field_the_sdk_insists_on(venue: Venue) -> None:
    async with Client(venue.url) as client:
        config = await client.get("/system/config")

    required = {
        "starknet_fullnode_rpc_url",
        "starknet_fullnode_rpc_base_url",
        "starknet_chain_id",
        "block_explorer_url",
        "paraclear_address",
        "paraclear_decimals",
        "paraclear_account_proxy_hash",
        "paraclear_account_hash",
        "oracle_address",
        "bridged_tokens",
        "l1_core_contract_address",
        "l1_operator_address",
        "l1_chain_id",
        "liquidation_fee",
    }
    assert required <= config.keys()
    assert config["starknet_chain_id"] == "PRIVATE_SN_POTC_SEPOLIA"
    assert isinstance(config["l1_chain_id"], str)


async def test_time_and_state_are_the_venues(venue: Venue) -> None:
    venue.clock.ahead_s = 1000.0
    venue.front.system_status = "post_only"
    began_s = time.time()
    async with Client(venue.url) as client:
        server_ms = int((await client.get("/system/time"))["server_time"])
        state = await client.get("/system/state")

    assert began_s - 1 < server_ms / 1_000 - 1_000.0 < time.time() + 1
    assert state == {"status": "post_only"}


async def test_markets_show_the_grid(venue: Venue) -> None:
    async with Client(venue.url) as client:
        (market,) = (await client.get(f"/markets?market={BTC}"))["results"]
        all_markets = (await client.get("/markets"))["results"]

    assert len(all_markets) == 2
    assert market["price_tick_size"] == "0.1"
    assert market["order_size_increment"] == "0.00001"
    assert market["min_notional"] == "10"
    assert market["max_order_size"] == "100"
    assert market["delta1_cross_margin_params"]["imf_base"] == "0.02"
    assert market["delta1_cross_margin_params"]["mmf_factor"] == "0.5"
    assert market["fee_config"]["api_fee"]["taker_fee"]["fee"] == "0.00045"


async def test_book_best_prices_and_summary_are_public(venue: Venue) -> None:
    async with Client(venue.url) as client:
        bbo = await client.get(f"/bbo/{BTC}")
        book = await client.get(f"/orderbook/{BTC}?depth=1")
        (summary,) = (await client.get(f"/markets/summary?market={BTC}"))["results"]

    assert (bbo["bid"], bbo["bid_size"], bbo["ask"], bbo["ask_size"]) == ("65000", "2", "65001", "2")
    assert (book["bids"], book["asks"]) == ([["65000", "2"]], [["65001", "2"]])
    assert book["seq_no"] == bbo["seq_no"]
    assert (summary["mark_price"], summary["bid"], summary["ask"]) == ("65000.5", "65000", "65001")


async def test_an_unknown_market_and_an_unknown_path_are_named(venue: Venue) -> None:
    async with Client(venue.url) as client:
        market = await client.call("GET", "/bbo/DOGE-USD-PERP")
        path = await client.call("GET", "/no/such/path")

    assert (market[0], market[1]["error"]) == (400, "MARKET_NOT_FOUND")
    assert (path[0], path[1]["error"]) == (404, "NOT_FOUND")


async def test_login_needs_onboarding_first(venue: Venue) -> None:
    async with Client(venue.url) as client:
        path = f"/auth/{hex(client.key.public)}"
        before = await client.call("POST", path, headers=client.key.auth_headers())
        described = await client.get(f"/onboarding?public_key={hex(client.key.public)}")
        await client.onboard()
        await client.onboard()  # doing it again changes nothing
        await client.log_in()
        account = await client.get("/account")

    assert (before[0], before[1]["error"]) == (400, "NOT_ONBOARDED")
    assert (described["address"], described["exists"]) == (hex(client.key.account), False)
    assert account["account"] == hex(client.key.account)
    assert account["account_value"] == "100000"
    assert account["status"] == "ACTIVE"


async def test_the_path_may_leave_the_key_out(venue: Venue) -> None:
    async with Client(venue.url) as client:
        await client.onboard()
        status, body, _ = await client.call("POST", "/auth", headers=client.key.auth_headers())

    assert (status, list(body)) == (200, ["jwt_token"])


async def test_a_token_is_a_jwt_that_the_published_key_proves(venue: Venue) -> None:
    """Clients read ``exp`` to renew in time, so it must be the real one."""
    async with Client(venue.url) as client:
        await client.onboard()
        await client.log_in()
        (key,) = (await client.get("/jwks.json"))["keys"]

    head, claims_part, signature = client.token.split(".")
    claims = json.loads(decode(claims_part))
    public = ECC.construct(
        curve="P-256",
        point_x=int.from_bytes(decode(key["x"]), "big"),
        point_y=int.from_bytes(decode(key["y"]), "big"),
    )
    DSS.new(public, "fips-186-3").verify(SHA256.new(f"{head}.{claims_part}".encode()), decode(signature))
    assert claims["sub"] == hex(client.key.account)
    assert claims["exp"] - claims["iat"] == 300
    assert abs(claims["iat"] - time.time()) < 5


async def test_a_token_dies_after_five_minutes(venue: Venue) -> None:
    async with Client(venue.url) as client:
        await client.onboard()
        await client.log_in()
        venue.clock.ahead_s = 200.0  # not near the limit: time goes on
        alive = await client.call("GET", "/account")
        venue.clock.ahead_s = 301.0
        dead = await client.call("GET", "/account")

    assert alive[0] == 200
    assert (dead[0], dead[1]["error"]) == (401, "INVALID_TOKEN")


@pytest.mark.parametrize(
    ("token", "code"), [("", "UNAUTHORIZED_ERROR"), ("a.b.c", "INVALID_TOKEN"), ("x", "INVALID_TOKEN")]
)
async def test_private_calls_need_a_token_of_ours(venue: Venue, token: str, code: str) -> None:
    async with Client(venue.url) as client:
        client.token = token
        status, body, _ = await client.call("GET", "/positions")

    assert (status, body["error"]) == (401, code)
    assert set(body) == {"error", "message", "data"}


def wrong_key(headers: dict[str, str]) -> dict[str, str]:
    other = Key(0xABCDEF, account=int(headers["PARADEX-STARKNET-ACCOUNT"], 16))
    signature = other.auth_headers()["PARADEX-STARKNET-SIGNATURE"]
    return {**headers, "PARADEX-STARKNET-SIGNATURE": signature}


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (wrong_key, "STARKNET_SIGNATURE_VERIFICATION_FAILED"),
        (
            lambda headers: {**headers, "PARADEX-STARKNET-SIGNATURE": "rubbish"},
            "STARKNET_SIGNATURE_VERIFICATION_FAILED",
        ),
        (
            lambda headers: {**headers, "PARADEX-TIMESTAMP": str(int(headers["PARADEX-TIMESTAMP"]) + 1)},
            "STARKNET_SIGNATURE_VERIFICATION_FAILED",
        ),
        (lambda headers: {**headers, "PARADEX-TIMESTAMP": "soon"}, "INVALID_TIMESTAMP"),
        (lambda headers: {**headers, "PARADEX-STARKNET-ACCOUNT": "me"}, "INVALID_STARKNET_ADDRESS"),
    ],
    ids=["wrong key", "rubbish", "other time", "no time", "no address"],
)
async def test_a_login_that_does_not_prove_itself_is_refused(venue: Venue, spoil: Any, code: str) -> None:
    async with Client(venue.url) as client:
        await client.onboard()
        headers = spoil(client.key.auth_headers())
        status, body, _ = await client.call("POST", f"/auth/{hex(client.key.public)}", headers=headers)

    assert (status, body["error"]) == (400, code)


@pytest.mark.parametrize(
    ("timestamp_s", "life_s"), [(-600, 1800), (600, 1800), (-100, 50), (0, 8 * 24 * 3600)]
)
async def test_a_login_outside_its_time_is_refused(venue: Venue, timestamp_s: int, life_s: int) -> None:
    """Too old, from the future, expired, or valid for more than a week."""
    async with Client(venue.url) as client:
        await client.onboard()
        headers = client.key.auth_headers(timestamp_s=int(time.time()) + timestamp_s, life_s=life_s)
        status, body, _ = await client.call("POST", f"/auth/{hex(client.key.public)}", headers=headers)

    assert (status, body["error"]) == (400, "INVALID_TIMESTAMP")


async def test_onboarding_needs_the_accounts_own_key(venue: Venue) -> None:
    async with Client(venue.url) as client:
        headers = client.key.onboarding_headers()
        other = Key(0xABCDEF)
        stolen = await client.call(
            "POST", "/onboarding", headers=headers, json={"public_key": hex(other.public)}
        )
        forged = await client.call(
            "POST",
            "/onboarding",
            headers={**headers, "PARADEX-STARKNET-SIGNATURE": '["1","2"]'},
            json={"public_key": hex(client.key.public)},
        )
        no_key = await client.call("POST", "/onboarding", headers=headers, json={"public_key": "0x5"})

    assert stolen[1]["error"] == "INVALID_STARKNET_ADDRESS"
    assert forged[1]["error"] == "STARKNET_SIGNATURE_VERIFICATION_FAILED"
    assert no_key[1]["error"] == "PUBLIC_KEY_INVALID"


async def test_a_subkey_logs_in_for_its_main_account_and_signs_with_its_own_key(start: StartVenue) -> None:
    main = Key(0x1234567890ABCDEF)
    sub = Key(0x5555, account=main.account)
    venue = await start(subkeys={sub.public: main.account})
    async with Client(venue.url) as owner, Client(venue.url, 0x5555, main.account) as client:
        await owner.onboard()
        await client.log_in()
        accepted = await client.call("POST", "/orders", json=client.key.order())
        foreign = await client.call("POST", "/orders", json=main.order())

    assert (accepted[0], accepted[1]["account"]) == (201, hex(main.account))
    assert (foreign[0], foreign[1]["error"]) == (400, "INVALID_ORDER_SIGNATURE")


async def test_budgets_are_told_and_then_enforced(start: StartVenue) -> None:
    venue = await start(rate_limits=RateLimits(public_rest=((3, 60),)))
    async with Client(venue.url) as client:
        answers = [await client.call("GET", "/system/time") for _ in range(4)]
        venue.clock.ahead_s = 20.0  # 3 per minute give one back every 20 s
        later = await client.call("GET", "/system/time")
        again = await client.call("GET", "/system/time")

    assert [status for status, _, _ in answers] == [200, 200, 200, 429]
    assert [headers["x-ratelimit-remaining"] for _, _, headers in answers] == ["2", "1", "0", "0"]
    refused = answers[3][2]
    assert (refused["x-ratelimit-limit"], refused["x-ratelimit-window"]) == ("3", "60")
    assert 0 < int(refused["retry-after"]) <= 20
    assert int(refused["x-ratelimit-reset"]) > time.time()
    assert (later[0], again[0]) == (200, 429)
