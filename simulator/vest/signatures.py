"""Who signed a request: recovered with eth-account and eth-abi, independent of our own signing.

Source: Vest v2 API documentation, "Register" and "Signature": registration is an EIP-712 proof
without chain id; a request is the standard ABI encoding of its fields, hashed with keccak-256 and
signed as a 32-byte EIP-191 personal message.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eth_abi.abi import encode
from eth_abi.exceptions import EncodingError
from eth_account import Account
from eth_account.messages import SignableMessage, encode_defunct, encode_typed_data
from eth_keys.exceptions import BadSignature
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError

ORDER = ("uint256", "uint256", "string", "string", "bool", "string", "string", "bool")
CANCEL = ("uint256", "uint256", "string")
_UNSIGNABLE = (BadSignature, ValidationError, EncodingError, ValueError, TypeError)


def request_digest(types: Sequence[str], values: Sequence[Any]) -> bytes:
    """Return the hash a client signs as a personal message. Raises ValueError if it cannot exist."""
    try:
        return bytes(keccak(encode(types, values)))
    except EncodingError as error:
        raise ValueError("a signed field is out of range") from error


def request_signer(digest: bytes, signature: str) -> str | None:
    """Return the lower-case address that signed, or None if the signature is unusable."""
    return _recover(encode_defunct(primitive=digest), signature)


def register_signer(contract: str, signing_address: str, expiry_ms: int, signature: str) -> str | None:
    """Return the lower-case address that signed a registration proof, or None."""
    try:
        message = encode_typed_data(
            {"name": "VestRouterV2", "version": "0.0.1", "verifyingContract": contract},
            {
                "SignerProof": [
                    {"name": "approvedSigner", "type": "address"},
                    {"name": "signerExpiry", "type": "uint256"},
                ]
            },
            {"approvedSigner": signing_address, "signerExpiry": expiry_ms},
        )
    except _UNSIGNABLE:
        return None
    return _recover(message, signature)


def _recover(message: SignableMessage, signature: str) -> str | None:
    # 65 bytes as text: 0x and 130 digits, v 27 or 28.
    if len(signature) != 132 or not signature.startswith("0x") or signature[-2:].lower() not in ("1b", "1c"):
        return None
    try:
        return str(Account.recover_message(message, signature=signature)).lower()
    except _UNSIGNABLE:
        return None
