"""Hashes and signs what Paradex requires to be signed.

StarkNet typed data of revision 0: Pedersen hash chains over field elements, then ECDSA on the STARK
curve. Only creates and modifies are signed (and the login); cancels, flags, instruction and client
id are not covered by any signature.

``chain(v1..vn) = H(…H(H(0, v1), v2)…, n)``, so everything before the first value that changes is
constant. A naive order costs 18 hashes of about 55 µs each; with the domain, the envelope up to
the account and the order's type hash computed once, nine are left.

Signatures are deterministic (RFC 6979 without extra entropy): the same order signed twice is the
same bytes, and no random source can ever leak the key.

Source: paradex-py and starknet-py message code, checked against paradex.js, ccxt and starknet.js;
the shared vectors are in ``tests/vectors/paradex_vectors.json``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from Crypto.Hash import keccak
from fast_stark_crypto import get_public_key, pedersen_hash, sign

from venues.contract import Side

CURVE_ORDER: Final = 0x800000000000010FFFFFFFFFFFFFFFFB781126DCAE7B2321E66A241ADC64D2F
_ADDRESS_BOUND: Final = 2**251 - 256
_SIDE_FELT: Final = {Side.BUY: 1, Side.SELL: 2}
AUTH_PATH: Final = "/v1/auth"  # signed as this even when the key is appended to the URL


def short_string(text: str) -> int:
    """Return ASCII text as a field element. Raises ValueError if it is not ASCII or over 31 characters."""
    encoded = text.encode("ascii")
    if len(encoded) > 31:
        raise ValueError(f"{text!r} is longer than the 31 characters a field element holds")
    return int.from_bytes(encoded, "big")


def starknet_keccak(text: str) -> int:
    """Return keccak-256 cut to 250 bits, StarkNet's hash for type strings and selectors."""
    digest = keccak.new(digest_bits=256, data=text.encode("ascii")).digest()
    return int.from_bytes(digest, "big") & (2**250 - 1)


def chain(values: Sequence[int]) -> int:
    """Return the Pedersen hash chain over values, their count hashed in last."""
    return pedersen_hash(_absorb(0, values), len(values))


def _absorb(state: int, values: Sequence[int]) -> int:
    for value in values:
        state = pedersen_hash(state, value)
    return state


_DOMAIN_TYPE: Final = starknet_keccak("StarkNetDomain(name:felt,chainId:felt,version:felt)")
_CONSTANT_TYPE: Final = starknet_keccak("Constant(action:felt)")
_REQUEST_TYPE: Final = starknet_keccak(
    "Request(method:felt,path:felt,body:felt,timestamp:felt,expiration:felt)"
)
_ORDER_TYPE: Final = starknet_keccak(
    "Order(timestamp:felt,market:felt,side:felt,orderType:felt,size:felt,price:felt)"
)
# The order path hashes the same few words for ever; the state after the type is constant too.
_ORDER_STATE: Final = _absorb(0, [_ORDER_TYPE])
_MESSAGE_PREFIX: Final = short_string("StarkNet Message")


class Signer:
    """One private key signing for one account on one chain. ``repr`` shows the account, never the key.

    A subkey signs with its own key for the *main* account's address.
    Raises ValueError when the key is not one of the curve's.
    """

    def __init__(self, *, private_key: int, account: int, chain_id: str) -> None:
        self._private_key = private_key
        self.account = account
        self.public_key = public_key(private_key)
        domain = chain([_DOMAIN_TYPE, short_string("Paradex"), short_string(chain_id), 1])
        self._envelope_state = _absorb(0, [_MESSAGE_PREFIX, domain, account])

    def __repr__(self) -> str:
        return f"Signer(account={self.account:#x})"

    def order_hash(
        self,
        *,
        timestamp_ms: int,
        market: str,
        side: Side,
        size_e8: int,
        price_e8: int,
        order_type: str = "LIMIT",
    ) -> int:
        """Return the hash of a new order. ``price_e8`` is 0 for every market type."""
        fields = (
            timestamp_ms,
            short_string(market),
            _SIDE_FELT[side],
            short_string(order_type),
            size_e8,
            price_e8,
        )
        return self._message_hash(pedersen_hash(_absorb(_ORDER_STATE, fields), 7))

    def auth_hash(self, *, timestamp_s: int, expiration_s: int) -> int:
        """Return the hash of ``POST /auth``. Seconds here, milliseconds everywhere else."""
        fields = (short_string("POST"), short_string(AUTH_PATH), 0, timestamp_s, expiration_s)
        return self._message_hash(chain([_REQUEST_TYPE, *fields]))

    def onboarding_hash(self) -> int:
        """The hash that is signed to register the account, once per account."""
        return self._message_hash(chain([_CONSTANT_TYPE, short_string("Onboarding")]))

    def sign(self, message_hash: int) -> str:
        """Return the signature as Paradex wants it in headers and bodies: ``["<r>","<s>"]``."""
        r, s = sign(self._private_key, message_hash)
        return f'["{r}","{s}"]'

    def _message_hash(self, struct_hash: int) -> int:
        return pedersen_hash(pedersen_hash(self._envelope_state, struct_hash), 4)


def public_key(private_key: int) -> int:
    """Return the x coordinate of the key's point. Raises ValueError if it is not one of the curve's."""
    if not 0 < private_key < CURVE_ORDER:
        raise ValueError("the Paradex L2 private key is outside the curve's range")
    return int(get_public_key(private_key))


def account_address(key: int, *, proxy_class_hash: int, account_class_hash: int) -> int:
    """Return the address of the account contract that belongs to a public key, ``key``.

    The two class hashes are ``paraclear_account_proxy_hash`` and ``paraclear_account_hash`` of
    ``GET /system/config``; they differ between testnet and production.
    """
    calldata_hash = chain([account_class_hash, starknet_keccak("initialize"), 2, key, 0])
    return (
        chain([short_string("STARKNET_CONTRACT_ADDRESS"), 0, key, proxy_class_hash, calldata_hash])
        % _ADDRESS_BOUND
    )
