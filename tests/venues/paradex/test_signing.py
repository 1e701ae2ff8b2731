"""Hashes and signatures against vectors that four independent implementations agree on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fast_stark_crypto import pedersen_hash, verify

from tests.venues.paradex.samples import VECTORS
from venues.contract import Side
from venues.paradex import signing
from venues.paradex.signing import Signer

# Tandem changes no open order: it has no hash for that.
CASES: list[dict[str, Any]] = [
    case for case in VECTORS["signing_cases"] if case["primary_type"] != "ModifyOrder"
]


def signer_of(case: dict[str, Any]) -> Signer:
    return Signer(
        private_key=int(case["private_key"], 16), account=int(case["account"], 16), chain_id=case["chain_id"]
    )


def hash_of(signer: Signer, case: dict[str, Any]) -> int:
    message = case["message"]
    if case["primary_type"] == "Constant":
        return signer.onboarding_hash()
    if case["primary_type"] == "Request":
        return signer.auth_hash(timestamp_s=message["timestamp"], expiration_s=message["expiration"])
    fields = {
        "timestamp_ms": int(message["timestamp"]),
        "market": message["market"],
        "side": Side.BUY if message["side"] == "1" else Side.SELL,
        "order_type": message["orderType"],
        "size_e8": int(message["size"]),
        "price_e8": int(message["price"]),
    }
    return signer.order_hash(**fields)


def test_there_are_19_signing_cases() -> None:
    """The vectors are all there; an emptied file must not pass."""
    assert len(CASES) == 19


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_hash_and_signature_equal_the_vector(case: dict[str, Any]) -> None:
    """The signature is the deterministic one without extra entropy, byte for byte."""
    signer = signer_of(case)

    message_hash = hash_of(signer, case)

    assert hex(message_hash) == case["message_hash"]
    expected = case["signatures"]["noseed"]
    assert signer.sign(message_hash) == f'["{expected["r"]}","{expected["s"]}"]'


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_other_family_of_signatures_belongs_to_our_hash_too(case: dict[str, Any]) -> None:
    """What the venue's own client signs verifies against the hash and key computed here."""
    signer = signer_of(case)
    r, s = (int(number) for number in json.loads(case["header_or_body_signature_string"]))

    assert verify(signer.public_key, hash_of(signer, case), r, s)


@pytest.mark.parametrize("case", VECTORS["negative_verification"], ids=lambda case: case["name"])
def test_a_wrong_signature_is_refused(case: dict[str, Any]) -> None:
    """Verification that accepted everything would make the tests above worthless."""
    assert not verify(
        int(case["public_key"], 16), int(case["message_hash"], 16), int(case["r"]), int(case["s"])
    )


@pytest.mark.parametrize("case", VECTORS["account_derivation"], ids=lambda case: case["name"])
def test_account_follows_from_the_key(case: dict[str, Any]) -> None:
    """The L2 key, then its public key, then the address."""
    public_key = signing.public_key(int(case["l2_private_key"], 16))

    assert hex(public_key) == case["l2_public_key"]
    address = signing.account_address(
        public_key,
        proxy_class_hash=int(case["paraclear_account_proxy_hash"], 16),
        account_class_hash=int(case["paraclear_account_hash"], 16),
    )
    assert hex(address) == case["l2_address"]


def test_an_order_costs_nine_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Domain, envelope and type are constant; hashing them again would double the time to sign."""
    calls: list[tuple[int, int]] = []

    def counted(first: int, second: int) -> int:
        calls.append((first, second))
        return int(pedersen_hash(first, second))

    case = next(case for case in CASES if case["name"] == "limit_buy_testnet")
    signer = signer_of(case)
    monkeypatch.setattr(signing, "pedersen_hash", counted)

    assert hex(hash_of(signer, case)) == case["message_hash"]
    assert len(calls) == 9


def test_the_key_is_in_no_repr() -> None:
    """A signer may end up in a log line or a traceback."""
    signer = Signer(private_key=0x1234567890ABCDEF, account=5, chain_id="PRIVATE_SN_POTC_SEPOLIA")

    assert "1234567890abcdef" not in f"{signer!r} {signer}".lower()
    assert str(0x1234567890ABCDEF) not in repr(signer)


@pytest.mark.parametrize("private_key", [0, -1, signing.CURVE_ORDER])
def test_a_key_outside_the_curve_is_refused(private_key: int) -> None:
    """Zero would sign with no secret at all."""
    with pytest.raises(ValueError, match="outside the curve's range"):
        Signer(private_key=private_key, account=5, chain_id="PRIVATE_SN_POTC_SEPOLIA")


def test_a_market_name_that_is_no_field_element_is_refused() -> None:
    """32 characters would wrap around the field and sign another market."""
    with pytest.raises(ValueError, match="31 characters"):
        signing.short_string("X" * 32)
