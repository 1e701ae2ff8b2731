"""Vest v2 signatures: registration proof (EIP-712), orders and cancels (EIP-191 over ABI).

The venue signs by Ethereum's recipes: ``abi.encode`` of the fields, Keccak-256, then the 32 raw
bytes as a personal message. The ABI encoding of an order always has the same shape, so it is put
together from parts made once per (type, symbol, side, reduce-only); only four words change.
Signatures are deterministic (RFC 6979, in libsecp256k1): no nonce can repeat.

Source: Vest API v2 documentation, "Authentication" and "Orders"; EIP-712, EIP-191, Solidity ABI
specification.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from coincurve import PrivateKey
from Crypto.Hash import keccak

_WORD: Final = 32
_PERSONAL_MESSAGE_PREFIX: Final = b"\x19Ethereum Signed Message:\n32"


def keccak256(data: bytes) -> bytes:
    """Ethereum's hash: Keccak before NIST's padding, not SHA3-256."""
    return keccak.new(digest_bits=256, data=data).digest()


class Signer:
    """One Ethereum key. ``repr`` shows its address, never the key.

    Raises ValueError, without showing the text, unless it is 32 bytes of hex within the curve.
    An empty text makes a fresh random key that lives in memory alone.
    """

    __slots__ = ("_key", "address")

    def __init__(self, private_key_hex: str, *, name: str) -> None:
        try:
            secret = bytes.fromhex(private_key_hex.removeprefix("0x"))
            if private_key_hex and len(secret) != _WORD:
                raise ValueError
            self._key = PrivateKey(secret or None)
        except ValueError:
            # The cause is cut off: its text could hold the key.
            raise ValueError(
                f"vest: the {name} is not a private key: give 64 hex digits, with or without 0x"
            ) from None
        public = self._key.public_key.format(compressed=False)
        self.address = "0x" + keccak256(public[1:])[-20:].hex()

    def __repr__(self) -> str:
        return f"Signer({self.address})"

    def sign_digest(self, digest: bytes) -> str:
        """Return r, s and v (27 or 28) as lower-case hex with 0x, 65 bytes."""
        signature: bytes = self._key.sign_recoverable(digest, hasher=None)
        return f"0x{signature[:64].hex()}{27 + signature[64]:02x}"

    def sign_personal(self, message: bytes) -> str:
        """Sign 32 raw bytes as an EIP-191 personal message."""
        assert len(message) == _WORD
        return self.sign_digest(keccak256(_PERSONAL_MESSAGE_PREFIX + message))


def encode_order(
    *,
    time_ms: int,
    nonce: int,
    order_type: str,
    symbol: str,
    is_buy: bool,
    size: str,
    limit_price: str,
    reduce_only: bool,
) -> bytes:
    """Return the ABI encoding of an order: 16 words, in the venue's order of fields.

    ``(uint256 time, uint256 nonce, string orderType, string symbol, bool isBuy, string size,
    string limitPrice, bool reduceOnly)``. Each text must fit one word; raises ValueError if not.
    """
    return b"".join(
        (
            time_ms.to_bytes(_WORD, "big"),
            nonce.to_bytes(_WORD, "big"),
            _fixed_part(order_type, symbol, is_buy, reduce_only),
            _short_text(size),
            _short_text(limit_price),
        )
    )


@lru_cache(maxsize=1024)
def _fixed_part(order_type: str, symbol: str, is_buy: bool, reduce_only: bool) -> bytes:
    """Words 2 to 11: the eight heads less time and nonce, then order type and symbol."""
    heads = (0x100, 0x140, int(is_buy), 0x180, 0x1C0, int(reduce_only))
    return (
        b"".join(head.to_bytes(_WORD, "big") for head in heads)
        + _short_text(order_type)
        + _short_text(symbol)
    )


def _short_text(text: str) -> bytes:
    """Length and padded bytes of a text that fits one word, as the offsets above assume."""
    raw = text.encode()
    if not 0 < len(raw) <= _WORD:
        raise ValueError(f"vest cannot sign {text[:40]!r}: a text of 1 to 32 bytes is needed")
    return len(raw).to_bytes(_WORD, "big") + raw.ljust(_WORD, b"\0")


def encode_cancel(*, time_ms: int, nonce: int, venue_order_id: str) -> bytes:
    """Return the ABI encoding of a cancel: ``(uint256 time, uint256 nonce, string id)``.

    The id is hashed as the text the venue gave, not as the number it spells.
    """
    raw = venue_order_id.encode()
    padding = -len(raw) % _WORD
    words = (time_ms, nonce, 0x60, len(raw))
    return b"".join(word.to_bytes(_WORD, "big") for word in words) + raw + bytes(padding)


def sign_fields(signer: Signer, encoded: bytes) -> str:
    """Return the signature a request carries over its ABI-encoded fields."""
    return signer.sign_personal(keccak256(encoded))


_DOMAIN_TYPE: Final = b"EIP712Domain(string name,string version,address verifyingContract)"
_PROOF_TYPE: Final = b"SignerProof(address approvedSigner,uint256 signerExpiry)"


def proof_digest(*, contract: str, approved_signer: str, expiry_unix_ms: int) -> bytes:
    """Return the EIP-712 digest by which a primary key approves a signing key.

    The domain holds neither chain id nor salt. ``expiry_unix_ms`` is in milliseconds, the same
    integer as the request's ``expiryTime``. Addresses are 0x hex; their case does not matter.
    """
    domain = keccak256(
        keccak256(_DOMAIN_TYPE) + keccak256(b"VestRouterV2") + keccak256(b"0.0.1") + _address_word(contract)
    )
    proof = keccak256(
        keccak256(_PROOF_TYPE) + _address_word(approved_signer) + expiry_unix_ms.to_bytes(_WORD, "big")
    )
    return keccak256(b"\x19\x01" + domain + proof)


def _address_word(address: str) -> bytes:
    return bytes.fromhex(address.removeprefix("0x")).rjust(_WORD, b"\0")
