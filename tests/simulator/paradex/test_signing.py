"""Signature checks against the published vectors: right ones pass, every kind of wrong one fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from simulator.paradex import signing
from simulator.paradex.signing import Message, Verification, Verifier

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "paradex_vectors.json").read_text())
CASES = VECTORS["signing_cases"]
SEPOLIA = "PRIVATE_SN_POTC_SEPOLIA"


def message_of(case: dict[str, Any]) -> Message:
    fields = case["message"]
    if case["primary_type"] == "Constant":
        return signing.onboarding_message()
    if case["primary_type"] == "Request":
        return signing.auth_message(fields["timestamp"], fields["expiration"])
    order = signing.order_message(
        signed_unix_ms=int(fields["timestamp"]),
        market=fields["market"],
        side={"1": "BUY", "2": "SELL"}[fields["side"]],
        order_type=fields["orderType"],
        size_e8=int(fields["size"]),
        price_e8=int(fields["price"]),
    )
    return signing.modify_message(order, fields["id"]) if "id" in fields else order


def public_key_of(case: dict[str, Any]) -> int:
    from fast_stark_crypto import get_public_key

    key: int = get_public_key(int(case["private_key"], 16))
    return key


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["name"]))
async def test_every_vector_hashes_and_verifies(case: dict[str, Any]) -> None:
    """Both families of deterministic nonces are valid: the venue verifies, it does not compare."""
    verifier = Verifier(case["chain_id"], Verification.ALL)
    account = int(case["account"], 16)
    message = message_of(case)

    assert verifier.message_hash(account, message) == int(case["message_hash"], 16)
    for signature in case["signatures"].values():
        text = json.dumps([signature["r"], signature["s"]])
        assert await verifier.check(public_key_of(case), account, message, text)
    assert await verifier.check(
        public_key_of(case), account, message, case["header_or_body_signature_string"]
    )
    verifier.close()


@pytest.mark.parametrize("case", VECTORS["negative_verification"], ids=lambda case: str(case["name"]))
async def test_every_negative_vector_is_refused(
    case: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier = Verifier(SEPOLIA, Verification.ALL)
    wanted_hash = int(case["message_hash"], 16)
    monkeypatch.setattr(verifier, "message_hash", lambda account, message: wanted_hash)

    text = json.dumps([case["r"], case["s"]])

    assert not await verifier.check(int(case["public_key"], 16), 1, signing.onboarding_message(), text)
    verifier.close()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '["1"]',
        '["1","2","3"]',
        '["0","1"]',
        '["1","0"]',
        f'["{2**251}","1"]',
        f'["1","{signing.CURVE_ORDER}"]',
        '["-1","1"]',
        '["1.5","1"]',
        "[Infinity,1]",
        "[" * 100_000,
        '["' + "9" * 5000 + '","1"]',
        f'["1","{pow(signing.CURVE_ORDER - 1, -1, signing.CURVE_ORDER)}"]',
    ],
)
async def test_text_that_cannot_be_a_signature_is_refused_without_raising(text: str) -> None:
    """The library panics on numbers out of range; nothing a client sends may get that far."""
    verifier = Verifier(SEPOLIA, Verification.ALL)

    assert not await verifier.check(public_key_of(CASES[0]), 1, signing.onboarding_message(), text)
    verifier.close()


def test_hex_signatures_are_read_like_decimal_ones() -> None:
    assert signing.parse_signature('["0x10", "0xff"]') == signing.parse_signature('["16","255"]')


@pytest.mark.parametrize("key", [0, 5, signing.FIELD_PRIME, 2**256])
def test_numbers_that_are_no_public_key_are_told_apart(key: int) -> None:
    assert not signing.is_curve_key(key)
    assert signing.is_curve_key(public_key_of(CASES[0]))


@pytest.mark.parametrize("case", VECTORS["account_derivation"], ids=lambda case: str(case["name"]))
def test_addresses_follow_from_the_public_key(case: dict[str, Any]) -> None:
    address = signing.derive_address(
        int(case["l2_public_key"], 16),
        proxy_class_hash=int(case["paraclear_account_proxy_hash"], 16),
        account_class_hash=int(case["paraclear_account_hash"], 16),
    )

    assert address == int(case["l2_address"], 16)


@pytest.mark.parametrize(
    ("verification", "checked"), [(Verification.ALL, 32), (Verification.SAMPLE, 2), (Verification.NONE, 0)]
)
async def test_the_verification_setting_says_how_many_orders_are_checked(
    verification: Verification, checked: int
) -> None:
    verifier = Verifier(SEPOLIA, verification)
    wrong = '["1","2"]'
    message = signing.onboarding_message()

    answers = [await verifier.check_order(public_key_of(CASES[0]), 1, message, wrong) for _ in range(32)]

    assert answers.count(False) == checked
    assert not await verifier.check_order(public_key_of(CASES[0]), 1, message, "no signature at all")
    verifier.close()
