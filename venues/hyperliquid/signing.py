"""What Hyperliquid wants signed: an action's hash inside an EIP-712 "phantom agent".

``hash = keccak(msgpack(action) + nonce + vault + expiry)``; what is signed is a struct that holds only this
hash and the network. The signer is recovered by the venue, so any byte that differs ends as the refusal of
some unknown wallet. Signatures are deterministic (RFC 6979, in libsecp256k1).

Source: hyperliquid-python-sdk 0.24.0, ``utils/signing.py``; the shared vectors are in
``tests/vectors/hyperliquid_vectors.json``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec
from coincurve import PrivateKey
from Crypto.Hash import keccak

_WORD: Final = 32
_NO_VAULT: Final = b"\x00"
_VAULT: Final = b"\x01"
_EXPIRY: Final = b"\x00"

_encoder = msgspec.msgpack.Encoder()


def keccak256(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()


# Constant for ever, so hashed once. EIP-712 domain: Exchange, version 1, chain 1337, no contract.
_DOMAIN: Final = keccak256(
    keccak256(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
    + keccak256(b"Exchange")
    + keccak256(b"1")
    + (1337).to_bytes(_WORD, "big")
    + bytes(_WORD)
)
_DIGEST_START: Final = b"\x19\x01" + _DOMAIN
_AGENT_TYPE: Final = keccak256(b"Agent(string source,bytes32 connectionId)")
_AGENT_START: Final = {
    is_mainnet: _AGENT_TYPE + keccak256(b"a" if is_mainnet else b"b") for is_mainnet in (True, False)
}


def action_hash(
    action: Mapping[str, Any], nonce: int, *, vault: str = "", expires_unix_ms: int | None = None
) -> bytes:
    """The hash that stands for an action: its MessagePack form, keys in the order given, and its terms.

    ``vault``: 0x address of a sub-account or vault that the action is for.
    """
    packed = _encoder.encode(action) + nonce.to_bytes(8, "big")
    packed += _VAULT + bytes.fromhex(vault[2:]) if vault else _NO_VAULT
    if expires_unix_ms is not None:
        packed += _EXPIRY + expires_unix_ms.to_bytes(8, "big")
    return keccak256(packed)


def agent_digest(hashed: bytes, *, is_mainnet: bool) -> bytes:
    """What is signed for an action's hash on a network."""
    return keccak256(_DIGEST_START + keccak256(_AGENT_START[is_mainnet] + hashed))


class Signature(NamedTuple):
    """As it goes over the wire: r and s as hex numbers, v 27 or 28."""

    r: str
    s: str
    v: int


class Signer:
    """One Ethereum key on one network. ``repr`` shows its address, never the key.

    Raises ValueError, without showing the text, unless it is 32 bytes of hex within the curve.
    """

    __slots__ = ("_is_mainnet", "_key", "address")

    def __init__(self, private_key_hex: str, *, is_mainnet: bool) -> None:
        digits = private_key_hex.removeprefix("0x")
        if re.fullmatch("[0-9a-fA-F]{40}", digits):
            raise ValueError(
                "hyperliquid: the private key is an address: give the key of the agent wallet, 64 hex digits"
            )
        try:
            if not re.fullmatch("[0-9a-fA-F]{64}", digits):
                raise ValueError
            self._key = PrivateKey(bytes.fromhex(digits))
        except ValueError:
            # The cause is cut off: its text could hold the key.
            raise ValueError(
                "hyperliquid: the private key is none: give 64 hex digits, with or without 0x"
            ) from None
        self._is_mainnet = is_mainnet
        public = self._key.public_key.format(compressed=False)
        self.address = "0x" + keccak256(public[1:])[-20:].hex()

    def __repr__(self) -> str:
        return f"Signer({self.address})"

    def sign(self, hashed: bytes) -> Signature:
        """Sign an action's hash for this signer's network."""
        signature: bytes = self._key.sign_recoverable(
            agent_digest(hashed, is_mainnet=self._is_mainnet), hasher=None
        )
        r, s = (int.from_bytes(signature[at : at + _WORD], "big") for at in (0, _WORD))
        return Signature(f"{r:#x}", f"{s:#x}", 27 + signature[64])
