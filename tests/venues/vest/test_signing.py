"""Signatures equal those of libraries we did not write, and the wrong recipes stay wrong."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import encode as eth_abi_encode
from eth_keys.datatypes import Signature

from tests.venues.vest.builders import PRIMARY_KEY, SIGNING_KEY, VECTORS
from venues.vest.signing import (
    Signer,
    encode_cancel,
    encode_order,
    keccak256,
    proof_digest,
    sign_fields,
)
from verification.differential.vest_orders import mismatches

ORDER_TYPES = ["uint256", "uint256", "string", "string", "bool", "string", "string", "bool"]
CASES = {name: case for name, case in VECTORS.items() if isinstance(case, dict)}
ORDERS = [name for name, case in CASES.items() if case.get("abi_types") == ORDER_TYPES]
SIGNED = [name for name, case in CASES.items() if "signature_signing_key" in case]
REGISTRATIONS = ["register_prod", "register_dev"]
ORDER_NEGATIVES = VECTORS["order_limit_negative"]["cases"]
REGISTER_NEGATIVES = VECTORS["register_prod_negative"]["cases"]

primary = Signer(PRIMARY_KEY, name="primary private key")
signing = Signer(SIGNING_KEY, name="signing private key")


def encoded_order(values: list[Any]) -> bytes:
    time_ms, nonce, order_type, symbol, is_buy, size, limit_price, reduce_only = values
    return encode_order(
        time_ms=int(time_ms),
        nonce=int(nonce),
        order_type=order_type,
        symbol=symbol,
        is_buy=is_buy,
        size=size,
        limit_price=limit_price,
        reduce_only=reduce_only,
    )


def signer_of(digest: bytes, signature: str) -> str:
    """Who signed ``digest``, by eth-keys."""
    raw = bytes.fromhex(signature[2:])
    recovered = Signature(raw[:64] + bytes([raw[64] - 27])).recover_public_key_from_msg_hash(digest)
    return str(recovered.to_checksum_address())


def test_the_vectors_are_all_covered() -> None:
    """A vector added to the file without a test would be believed for nothing."""
    assert len(ORDERS) == 8
    assert set(SIGNED) | set(REGISTRATIONS) | {"third_party_market_order"} == {
        name for name in CASES if name not in ("keys", "contracts") and not name.endswith("_negative")
    }
    assert (len(ORDER_NEGATIVES), len(REGISTER_NEGATIVES)) == (6, 4)


@pytest.mark.parametrize(("name", "key"), [("primary", primary), ("signing", signing)])
def test_an_address_is_derived_from_its_key(name: str, key: Signer) -> None:
    assert key.address == VECTORS["keys"][f"{name}_address"].lower()


@pytest.mark.parametrize("name", [name for name in ORDERS if "abi_encoded" in CASES[name]])
def test_an_order_is_encoded_word_for_word(name: str) -> None:
    case = CASES[name]
    assert "0x" + encoded_order(case["abi_values"]).hex() == case["abi_encoded"]


def test_a_cancel_is_encoded_word_for_word() -> None:
    case = VECTORS["cancel"]
    time_ms, nonce, venue_order_id = case["abi_values"]
    encoded = encode_cancel(time_ms=int(time_ms), nonce=int(nonce), venue_order_id=venue_order_id)
    assert "0x" + encoded.hex() == case["abi_encoded"]


@pytest.mark.parametrize("name", SIGNED)
def test_hash_and_both_signatures_equal_the_vector(name: str) -> None:
    case = CASES[name]
    encoded = bytes.fromhex(case["abi_encoded"][2:])
    assert "0x" + keccak256(encoded).hex() == case["keccak"]
    assert sign_fields(signing, encoded) == case["signature_signing_key"]
    assert sign_fields(primary, encoded) == case["signature_primary_key"]


def test_a_signature_made_by_strangers_is_over_our_hash() -> None:
    """The third-party vector shares no author with the others."""
    case = VECTORS["third_party_market_order"]
    hashed = keccak256(encoded_order(case["abi_values"]))
    digest = keccak256(b"\x19Ethereum Signed Message:\n32" + hashed)
    assert "0x" + hashed.hex() == case["keccak"]
    assert "0x" + digest.hex() == case["eip191_digest"]
    assert signer_of(digest, case["signature"]) == case["recovered_signer"]


@pytest.mark.parametrize("name", REGISTRATIONS)
def test_the_proof_equals_the_vector(name: str) -> None:
    case = VECTORS[name]
    digest = proof_digest(
        contract=case["domain"]["verifyingContract"],
        approved_signer=signing.address,
        expiry_unix_ms=case["message"]["signerExpiry"],
    )
    assert "0x" + digest.hex() == case["digest"]
    assert primary.sign_digest(digest) == case["signature"]


@pytest.mark.parametrize("case", ORDER_NEGATIVES.values(), ids=ORDER_NEGATIVES)
def test_a_wrong_recipe_for_an_order_names_another_signer(case: dict[str, str]) -> None:
    """Over the hash we sign, each wrong signature recovers to the address the vector states."""
    digest = bytes.fromhex(VECTORS["order_limit"]["eip191_digest"][2:])
    assert sign_fields(signing, encoded_order(VECTORS["order_limit"]["abi_values"])) != case["signature"]
    assert signer_of(digest, case["signature"]) == case["recovered_signer"]
    assert case["recovered_signer"].lower() not in (signing.address, primary.address)


@pytest.mark.parametrize("case", REGISTER_NEGATIVES.values(), ids=REGISTER_NEGATIVES)
def test_a_wrong_recipe_for_a_proof_names_another_signer(case: dict[str, str]) -> None:
    registration = VECTORS["register_prod"]
    digest = proof_digest(
        contract=registration["domain"]["verifyingContract"],
        approved_signer=signing.address,
        expiry_unix_ms=registration["message"]["signerExpiry"],
    )
    assert primary.sign_digest(digest) != case["signature"]
    assert signer_of(digest, case["signature"]) == case["recovered_signer"]
    assert case["recovered_signer"].lower() != primary.address


def test_ten_thousand_random_orders_hash_and_sign_as_eth_abi_and_eth_account_say() -> None:
    """The template must be the ABI for every order, not only for the vectors'."""
    assert mismatches(10_000) == []


@pytest.mark.parametrize("venue_order_id", ["", "0x1", "a" * 31, "a" * 32, "a" * 33, "é" * 40])
def test_a_cancel_of_any_id_is_encoded_as_eth_abi_does(venue_order_id: str) -> None:
    """The length of Vest's ids is not documented."""
    encoded = encode_cancel(time_ms=5, nonce=6, venue_order_id=venue_order_id)
    assert encoded == eth_abi_encode(["uint256", "uint256", "string"], [5, 6, venue_order_id])


@pytest.mark.parametrize("symbol", ["", "X" * 33])
def test_a_text_the_template_cannot_hold_is_refused(symbol: str) -> None:
    """One word too many would shift every offset after it."""
    with pytest.raises(ValueError, match="1 to 32 bytes"):
        encoded_order([1, 1, "LIMIT", symbol, True, "1", "1", False])


@pytest.mark.parametrize(
    "text", ["hunter2", "0x" + "11" * 31, "11" * 33, "0x" + "00" * 32, "ff" * 32, "0x", "zz" * 32]
)
def test_a_bad_key_is_named_but_never_shown(text: str) -> None:
    with pytest.raises(ValueError, match="signing private key") as caught:
        Signer(text, name="signing private key")
    assert text not in str(caught.value) or text == "0x"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_an_empty_key_makes_a_fresh_one_each_time() -> None:
    first, second = (Signer("", name="signing private key") for _ in range(2))
    assert first.address != second.address
    digest = keccak256(b"x")
    assert signer_of(digest, first.sign_digest(digest)).lower() == first.address


def test_repr_shows_the_address_alone() -> None:
    assert repr(signing) == f"Signer({signing.address})"
