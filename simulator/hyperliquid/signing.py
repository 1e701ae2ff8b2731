"""Who signed an action: recovered with eth-keys from a MessagePack written here, independent of our signing.

Source: hyperliquid-python-sdk 0.24.0, ``utils/signing.py``, and EIP-712. An action is hashed as it was
posted, keys in their order and numbers as their texts: what a client writes in another form recovers somebody
else.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

from eth_abi.abi import encode
from eth_abi.exceptions import EncodingError
from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError

_ORDER_OF_CURVE: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_DOMAIN_TYPE: Final = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
_NOBODY: Final = "0x" + 40 * "0"

# Fields of the actions that a user signs readably, in the order of their types.
USER_SIGNED: Final[Mapping[str, tuple[str, Sequence[tuple[str, str]]]]] = {
    "approveAgent": (
        "ApproveAgent",
        (
            ("hyperliquidChain", "string"),
            ("agentAddress", "address"),
            ("agentName", "string"),
            ("nonce", "uint64"),
        ),
    ),
    "approveBuilderFee": (
        "ApproveBuilderFee",
        (
            ("hyperliquidChain", "string"),
            ("maxFeeRate", "string"),
            ("builder", "address"),
            ("nonce", "uint64"),
        ),
    ),
    "usdClassTransfer": (
        "UsdClassTransfer",
        (("hyperliquidChain", "string"), ("amount", "string"), ("toPerp", "bool"), ("nonce", "uint64")),
    ),
    "usdSend": (
        "UsdSend",
        (("hyperliquidChain", "string"), ("destination", "string"), ("amount", "string"), ("time", "uint64")),
    ),
    "spotSend": (
        "SpotSend",
        (
            ("hyperliquidChain", "string"),
            ("destination", "string"),
            ("token", "string"),
            ("amount", "string"),
            ("time", "uint64"),
        ),
    ),
    "withdraw3": (
        "Withdraw",
        (("hyperliquidChain", "string"), ("destination", "string"), ("amount", "string"), ("time", "uint64")),
    ),
    "sendAsset": (
        "SendAsset",
        (
            ("hyperliquidChain", "string"),
            ("destination", "string"),
            ("sourceDex", "string"),
            ("destinationDex", "string"),
            ("token", "string"),
            ("amount", "string"),
            ("fromSubAccount", "string"),
            ("nonce", "uint64"),
        ),
    ),
    "userSetAbstraction": (
        "UserSetAbstraction",
        (
            ("hyperliquidChain", "string"),
            ("user", "address"),
            ("abstraction", "string"),
            ("nonce", "uint64"),
        ),
    ),
}


def packed(value: Any) -> bytes:
    """A JSON value as MessagePack, each number and length in its shortest form. ValueError for others."""
    match value:
        case None:
            return b"\xc0"
        case bool():
            return b"\xc3" if value else b"\xc2"
        case int():
            return _packed_number(value)
        case float():
            return b"\xcb" + struct.pack(">d", value)
        case str():
            data = value.encode()
            return _head(len(data), 0xA0, 32, (0xD9, 0xDA, 0xDB)) + data
        case list():
            return _head(len(value), 0x90, 16, (None, 0xDC, 0xDD)) + b"".join(map(packed, value))
        case dict():
            items = b"".join(packed(key) + packed(item) for key, item in value.items())
            return _head(len(value), 0x80, 16, (None, 0xDE, 0xDF)) + items
    raise ValueError(f"{type(value).__name__} has no place in an action")


def _head(length: int, fixed: int, below: int, wider: tuple[int | None, int, int]) -> bytes:
    if length < below:
        return bytes([fixed | length])
    for mark, form, limit in zip(wider, (">B", ">H", ">I"), (8, 16, 32), strict=True):
        if mark is not None and length < 1 << limit:
            return bytes([mark]) + struct.pack(form, length)
    raise ValueError("too long")


def _packed_number(value: int) -> bytes:
    if -32 <= value < 128:
        return struct.pack("b", value) if value < 0 else bytes([value])
    unsigned = ((0xCC, ">B", 8), (0xCD, ">H", 16), (0xCE, ">I", 32), (0xCF, ">Q", 64))
    signed = ((0xD0, ">b", 8), (0xD1, ">h", 16), (0xD2, ">i", 32), (0xD3, ">q", 64))
    for mark, form, bits in unsigned if value >= 0 else signed:
        if (0 <= value < 1 << bits) if value >= 0 else (value >= -(1 << bits - 1)):
            return bytes([mark]) + struct.pack(form, value)
    raise ValueError(f"{value} does not fit 64 bits")


def action_hash(action: Any, nonce: int, vault: str | None, expires_after: int | None) -> bytes:
    """The hash an action is signed by. ValueError if it holds what MessagePack cannot."""
    data = packed(action) + nonce.to_bytes(8, "big")
    data += b"\x00" if vault is None else b"\x01" + bytes.fromhex(vault.removeprefix("0x"))
    if expires_after is not None:
        data += b"\x00" + expires_after.to_bytes(8, "big")
    return bytes(keccak(data))


def action_digest(hashed: bytes, *, is_mainnet: bool) -> bytes:
    """What is signed for an action's hash on a network."""
    agent = keccak(
        keccak(b"Agent(string source,bytes32 connectionId)") + keccak(b"a" if is_mainnet else b"b") + hashed
    )
    return _digest("Exchange", 1337, agent)


def user_digest(action: Mapping[str, Any]) -> bytes:
    """What a user signs for an action of his own. ValueError if it lacks a field or one has no such type."""
    name, fields = USER_SIGNED[str(action.get("type"))]
    kind = f"HyperliquidTransaction:{name}({','.join(f'{kind} {field}' for field, kind in fields)})"
    words = [keccak(kind.encode())]
    try:
        chain_id = int(str(action["signatureChainId"]), 16)
        for field, type_name in fields:
            # An agent without a name is signed as one with an empty name.
            value = action.get(field, "") if field == "agentName" else action[field]
            if type_name == "string":
                words.append(keccak(str(value).encode()))
            else:
                words.append(encode([type_name], [value]))
    except (KeyError, EncodingError) as error:
        raise ValueError(f"{action.get('type')}: {error}") from None
    return _digest("HyperliquidSignTransaction", chain_id, keccak(b"".join(words)))


def _digest(name: str, chain_id: int, hashed: bytes) -> bytes:
    domain = keccak(
        keccak(_DOMAIN_TYPE)
        + keccak(name.encode())
        + keccak(b"1")
        + encode(["uint256", "address"], [chain_id, _NOBODY])
    )
    return bytes(keccak(b"\x19\x01" + domain + hashed))


def recover(digest: bytes, signature: Any) -> str | None:
    """The lower-case address that signed, or None if r, s and v are no signature.

    The venue's SDK leaves leading zeros of r and s out. High s and a v of 0 or 1 are refused, which is
    assumed of the venue.
    """
    if not isinstance(signature, dict):
        return None
    try:
        r, s = (int(str(signature[name]), 16) for name in ("r", "s"))
        v = signature["v"]
    except (KeyError, ValueError):
        return None
    if not (0 < r < _ORDER_OF_CURVE and 0 < s <= _ORDER_OF_CURVE // 2) or v not in (27, 28):
        return None
    try:
        parsed = Signature(vrs=(v - 27, r, s))
        return str(parsed.recover_public_key_from_msg_hash(digest).to_address())
    except (BadSignature, ValidationError):
        return None
