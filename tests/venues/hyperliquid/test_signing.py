"""Signatures equal the official SDK's, byte for byte; wrong ones recover somebody else, for both sides."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from eth_account import Account

from simulator.hyperliquid import signing as theirs
from tests.venues.hyperliquid.builders import (
    AGENT,
    AGENT_KEY,
    MASTER,
    MASTER_KEY,
    VECTORS,
    a_session,
    an_order,
)
from venues.contract import E8, TimeInForce
from venues.hyperliquid.messages import client_order_id, cloid_text, decimal_text, order_action
from venues.hyperliquid.signing import Signer, action_hash, agent_digest

L1 = [*VECTORS["l1_cases"], *VECTORS["published_cases"]]
NETWORKS = {"mainnet": True, "testnet": False}


def by_name(case: dict[str, Any]) -> str:
    return str(case["name"])


def hashed(case: dict[str, Any]) -> bytes:
    return action_hash(
        case["action"],
        case["nonce"],
        vault=case["vault_address"] or "",
        expires_unix_ms=case["expires_after"],
    )


@pytest.mark.parametrize("case", L1, ids=by_name)
def test_an_action_is_hashed_and_signed_as_the_sdk_does(case: dict[str, Any]) -> None:
    assert "0x" + hashed(case).hex() == case["action_hash"]
    for network, is_mainnet in NETWORKS.items():
        signer = Signer(case["private_key"], is_mainnet=is_mainnet)
        assert signer.address == case["signer"]
        assert "0x" + agent_digest(hashed(case), is_mainnet=is_mainnet).hex() == case[network]["digest"]
        assert signer.sign(hashed(case))._asdict() == {name: case[network][name] for name in "rsv"}


@pytest.mark.parametrize("case", L1, ids=by_name)
def test_the_simulator_recovers_the_signer(case: dict[str, Any]) -> None:
    """By a MessagePack of its own."""
    assert "0x" + theirs.packed(case["action"]).hex() == case["msgpack"]
    found = theirs.action_hash(case["action"], case["nonce"], case["vault_address"], case["expires_after"])
    for network, is_mainnet in NETWORKS.items():
        digest = theirs.action_digest(found, is_mainnet=is_mainnet)
        assert theirs.recover(digest, case[network]) == case["signer"]


@pytest.mark.parametrize("case", VECTORS["negative_verification"], ids=by_name)
def test_what_was_not_signed_recovers_somebody_else(case: dict[str, Any]) -> None:
    """A number written otherwise, a key in another place, another network: each is another signer."""
    found = theirs.action_hash(case["action"], case["nonce"], case["vault_address"], case["expires_after"])
    digest = theirs.action_digest(found, is_mainnet=case["source"] == "a")
    recovered = theirs.recover(digest, case["signature"])
    assert (recovered == case["true_signer"]) is case["valid"]
    if case["name"] != "r_s_swapped":  # here s is high, which is refused before anybody is recovered
        assert recovered == case["recovered"]


@pytest.mark.parametrize("case", VECTORS["user_signed_cases"], ids=by_name)
def test_the_simulator_reads_what_users_sign(case: dict[str, Any]) -> None:
    kinds = {f"HyperliquidTransaction:{name}": kind for kind, (name, _) in theirs.USER_SIGNED.items()}
    for network in NETWORKS:
        if network in case:
            found = theirs.user_digest({"type": kinds[case["primary_type"]], **case[network]["action"]})
            assert "0x" + found.hex() == case[network]["digest"]
            assert theirs.recover(found, case[network]) == case["signer"]


def test_leading_zeros_of_a_signature_may_be_there_or_not() -> None:
    case = VECTORS["published_cases"][0]
    texts = VECTORS["signature_text"]
    digest = bytes.fromhex(case["mainnet"]["digest"][2:])
    for r in (texts["r_as_sent"], texts["r_padded"]):
        assert theirs.recover(digest, case["mainnet"] | {"r": r}) == case["signer"]


@pytest.mark.parametrize(
    "changes", [{"v": 0}, {"v": 29}, {"r": "0x0"}, {"s": "0x0"}, {"r": "x"}, {"s": None}]
)
def test_what_is_no_signature_recovers_nobody(changes: dict[str, Any]) -> None:
    case = L1[0]
    digest = bytes.fromhex(case["mainnet"]["digest"][2:])
    assert theirs.recover(digest, case["mainnet"] | changes) is None
    assert theirs.recover(digest, {}) is None
    assert theirs.recover(digest, None) is None


def test_an_order_of_ours_is_the_sdks_order() -> None:
    """Through ``sign_create``, with the vectors' own keys: the texts and their order are the SDK's."""
    action = order_action(an_order(client_order_id=1, size_e8=123_000, limit_price_e8=65_001 * E8), asset=0)
    case = next(case for case in L1 if case["name"] == "order_ioc_buy_btc_cloid")
    assert json.dumps(action) == json.dumps(case["action"])


def test_an_order_carries_vault_and_expiry_under_the_agents_signature() -> None:
    trading = a_session(private_key=AGENT_KEY, account=MASTER, sub_account=VECTORS["keys"]["vault_address"])
    wire = trading.sign_create(an_order(), 1_790_000_000_123).wire
    assert isinstance(wire, bytes)
    body = json.loads(wire)["request"]["payload"]
    assert body["vaultAddress"] == VECTORS["keys"]["vault_address"]
    assert body["expiresAfter"] == 1_790_000_005_123
    found = theirs.action_hash(body["action"], body["nonce"], body["vaultAddress"], body["expiresAfter"])
    assert theirs.recover(theirs.action_digest(found, is_mainnet=False), body["signature"]) == AGENT


@pytest.mark.parametrize(
    ("value_e8", "text"),
    [(1, "0.00000001"), (E8, "1"), (65_000 * E8, "65000"), (245_010_000_000, "2450.1"), (10, "0.0000001")],
)
def test_numbers_are_written_without_trailing_zeros(value_e8: int, text: str) -> None:
    assert decimal_text(value_e8) == text


@pytest.mark.parametrize("value_e8", [0, -1, -(10**12)])
def test_what_is_not_positive_is_no_number_of_an_order(value_e8: int) -> None:
    """The SDK lets NaN, infinity and -0 through; ours cannot even say them."""
    with pytest.raises(ValueError, match="not positive"):
        decimal_text(value_e8)


@pytest.mark.parametrize("case", VECTORS["float_to_wire"]["ok"], ids=lambda case: str(case["float"]))
def test_texts_of_the_sdk_are_ours_where_they_are_numbers(case: dict[str, str]) -> None:
    value = Decimal(case["wire"]) * E8
    if value.is_finite() and value == value.to_integral_value() and value > 0:
        assert decimal_text(int(value)) == case["wire"]


def test_our_ids_come_back_and_others_do_not() -> None:
    for number in (1, 7, 2**53 - 1):
        assert client_order_id(cloid_text(number)) == number
    for text in (None, "", "0x1", "0x" + "0" * 32, "0x" + "f" * 32, "0x" + "z" * 32, "1" * 34):
        assert client_order_id(text) == 0
    for number in (0, -1, 2**53):
        with pytest.raises(ValueError, match="client order id"):
            cloid_text(number)


def test_there_is_no_fill_or_kill() -> None:
    """The venue has none, and an IOC in its place would be another order."""
    with pytest.raises(ValueError, match="FOK"):
        order_action(an_order(time_in_force=TimeInForce.FOK), asset=0)


@pytest.mark.parametrize(
    ("text", "why"),
    [("", "64 hex digits"), ("0x12", "64 hex digits"), (MASTER, "is an address"), ("0" * 64, "none")],
)
def test_a_key_that_is_none_is_named_and_not_shown(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        Signer(text, is_mainnet=False)
    assert len(text) < 8 or text not in str(refused.value)


def test_the_address_is_the_keys_own() -> None:
    assert Signer(MASTER_KEY, is_mainnet=True).address == MASTER
    assert Account.from_key(AGENT_KEY).address.lower() == AGENT
