"""Recovers who signed a request, with eth-keys and eth-abi: independent of our own signing.

Source: Vest v2 API documentation, "Register" and "Signature": registration is an EIP-712 proof
without chain id; a request is the standard ABI encoding of its fields, hashed with keccak-256 and
signed as a 32-byte EIP-191 personal message. Both hashes are a few lines here: importing
eth-account for them would double the time until the first quote.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eth_abi.abi import encode
from eth_abi.exceptions import EncodingError
from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError

ORDER = ("uint256", "uint256", "string", "string", "bool", "string", "string", "bool")
CANCEL = ("uint256", "uint256", "string")

_DOMAIN_TYPE = b"EIP712Domain(string name,string version,address verifyingContract)"
_PROOF_TYPE = b"SignerProof(address approvedSigner,uint256 signerExpiry)"
_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")


def request_digest(types: Sequence[str], values: Sequence[Any]) -> bytes:
    """Return the hash a client signs as a personal message. Raises ValueError if it cannot exist."""
    try:
        return bytes(keccak(encode(types, values)))
    except EncodingError as error:
        raise ValueError("a signed field is out of range") from error


def request_signer(digest: bytes, signature: str) -> str | None:
    """Return the lower-case address that signed, or None if the signature is unusable."""
    return _recover(keccak(b"\x19Ethereum Signed Message:\n32" + digest), signature)


def register_signer(contract: str, signing_address: str, expiry_ms: int, signature: str) -> str | None:
    """Return the lower-case address that signed a registration proof, or None."""
    domain = _struct_hash(
        _DOMAIN_TYPE,
        ("bytes32", "bytes32", "address"),
        (keccak(b"VestRouterV2"), keccak(b"0.0.1"), contract),
    )
    try:
        proof = _struct_hash(_PROOF_TYPE, ("address", "uint256"), (signing_address, expiry_ms))
    except EncodingError:
        return None
    return _recover(keccak(b"\x19\x01" + domain + proof), signature)


def _struct_hash(type_text: bytes, types: Sequence[str], values: Sequence[Any]) -> bytes:
    return bytes(keccak(keccak(type_text) + encode(types, values)))


def _recover(digest: bytes, signature: str) -> str | None:
    # 65 bytes as text: 0x and 130 digits, v 27 or 28.
    if len(signature) != 132 or not signature.startswith("0x") or not _HEX_DIGITS.issuperset(signature[2:]):
        return None
    raw = bytes.fromhex(signature[2:])
    if raw[64] not in (27, 28):
        return None
    try:
        parsed = Signature(raw[:64] + bytes([raw[64] - 27]))
        return parsed.recover_public_key_from_msg_hash(digest).to_address()
    except (BadSignature, ValidationError):
        return None
