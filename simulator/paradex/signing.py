"""Checking StarkNet typed-data signatures, written from the venue's rules and nothing else.

The message is hashed with the Pedersen function (typed data revision 0) and the signature is ECDSA
on the STARK curve. ``venues.paradex`` signs; nothing of it is used here, so that a mistake made
there is refused here.

Source: Paradex documentation, "Authentication" and "Order signing"; typed data of paradex-py.
"""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from functools import cache, lru_cache, reduce
from typing import Final, NamedTuple

from Crypto.Hash import keccak
from fast_stark_crypto import pedersen_hash, verify

FIELD_PRIME: Final = 2**251 + 17 * 2**192 + 1
CURVE_ORDER: Final = 0x800000000000010FFFFFFFFFFFFFFFFB781126DCAE7B2321E66A241ADC64D2F
CURVE_BETA: Final = 0x6F21413EFBE40DE150E596D72F7A8C5609AD26C15C915C1F4CDFCB99CEE9E89
ELEMENT_BOUND: Final = 2**251
ADDRESS_BOUND: Final = 2**251 - 256


class Verification(Enum):
    """How many order signatures are checked. Logins are always checked."""

    ALL = "all"
    SAMPLE = "sample"  # every 16th order
    NONE = "none"


SAMPLE_EVERY: Final = 16

_NUMBER = r'\s*"?(0x[0-9a-fA-F]{1,64}|[0-9]{1,78})"?\s*'
_SIGNATURE: Final = re.compile(rf"\s*\[{_NUMBER},{_NUMBER}\]\s*")


class Message(NamedTuple):
    """A typed-data struct: its type string and its fields as field elements."""

    type_string: str
    fields: tuple[int, ...]


class Verifier:
    """Hashes and checks messages for one chain id.

    A check costs about 0.8 ms. It runs on a thread of its own, and the library leaves the
    interpreter lock meanwhile, so market data on the event loop does not wait for it.
    """

    def __init__(self, chain_id: str, verification: Verification) -> None:
        self._verification = verification
        self._domain = hash_struct(
            "StarkNetDomain(name:felt,chainId:felt,version:felt)",
            short_string("Paradex"),
            short_string(chain_id),
            1,
        )
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="paradex-verify")
        self._orders_seen = 0

    def close(self) -> None:
        self._thread.shutdown(wait=True)

    def message_hash(self, account: int, message: Message) -> int:
        """The number that is signed."""
        struct_hash = hash_struct(message.type_string, *message.fields)
        return pedersen_hash(pedersen_hash(_envelope_prefix(self._domain, account), struct_hash), 4)

    async def check(self, public_key: int, account: int, message: Message, signature: str) -> bool:
        """Whether ``signature`` is the key's over ``message`` for ``account``.

        Anything malformed is False: no text a client sends can raise here.
        """
        pair = parse_signature(signature)
        if pair is None or not is_curve_key(public_key):
            return False
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._check, public_key, account, message, pair)

    async def check_order(self, public_key: int, account: int, message: Message, signature: str) -> bool:
        """``check`` as often as the verification setting says; the text is always parsed."""
        self._orders_seen += 1
        if self._verification is Verification.NONE or (
            self._verification is Verification.SAMPLE and self._orders_seen % SAMPLE_EVERY != 1
        ):
            return parse_signature(signature) is not None
        return await self.check(public_key, account, message, signature)

    def _check(self, public_key: int, account: int, message: Message, pair: tuple[int, int]) -> bool:
        message_hash = self.message_hash(account, message)
        return message_hash < ELEMENT_BOUND and bool(verify(public_key, message_hash, *pair))


# --- messages ---


def onboarding_message() -> Message:
    return Message("Constant(action:felt)", (short_string("Onboarding"),))


def auth_message(timestamp_s: int, expiration_s: int) -> Message:
    path = short_string("/v1/auth")  # also when the request's path carries the public key
    return Message(
        "Request(method:felt,path:felt,body:felt,timestamp:felt,expiration:felt)",
        (short_string("POST"), path, 0, timestamp_s, expiration_s),
    )


def order_message(
    *, signed_unix_ms: int, market: str, side: str, order_type: str, size_e8: int, price_e8: int
) -> Message:
    return Message(
        "Order(timestamp:felt,market:felt,side:felt,orderType:felt,size:felt,price:felt)",
        (signed_unix_ms, short_string(market), _side(side), short_string(order_type), size_e8, price_e8),
    )


def modify_message(order: Message, order_id: str) -> Message:
    """The order's fields as they shall become, and the id of the order they replace."""
    return Message(
        "ModifyOrder(timestamp:felt,market:felt,side:felt,orderType:felt,size:felt,price:felt,id:felt)",
        (*order.fields, int(order_id)),
    )


def _side(side: str) -> int:
    return 1 if side == "BUY" else 2


# --- hashing ---


def short_string(text: str) -> int:
    """ASCII text of at most 31 characters as a number, first character highest."""
    data = text.encode("ascii")
    if len(data) > 31:
        raise ValueError(f"{text[:40]!r} does not fit a short string of 31 characters")
    return int.from_bytes(data, "big")


def chain(*values: int) -> int:
    """Return ``H(…H(H(0, v1), v2)…, count)``: the hash of a list of field elements."""
    return pedersen_hash(reduce(pedersen_hash, values, 0), len(values))


def hash_struct(type_string: str, *fields: int) -> int:
    state = reduce(pedersen_hash, fields, _struct_prefix(type_string))
    return pedersen_hash(state, len(fields) + 1)


@cache
def _struct_prefix(type_string: str) -> int:
    digest = keccak.new(digest_bits=256, data=type_string.encode()).digest()
    return pedersen_hash(0, int.from_bytes(digest, "big") & (2**250 - 1))


@lru_cache(maxsize=1024)
def _envelope_prefix(domain: int, account: int) -> int:
    return reduce(pedersen_hash, (short_string("StarkNet Message"), domain, account), 0)


# --- keys, addresses, signature text ---


def derive_address(public_key: int, *, proxy_class_hash: int, account_class_hash: int) -> int:
    """The account contract's address, which follows from its key and the class hashes."""
    digest = keccak.new(digest_bits=256, data=b"initialize").digest()
    selector = int.from_bytes(digest, "big") & (2**250 - 1)
    calldata = chain(account_class_hash, selector, 2, public_key, 0)
    prefix = short_string("STARKNET_CONTRACT_ADDRESS")
    return chain(prefix, 0, public_key, proxy_class_hash, calldata) % ADDRESS_BOUND


@lru_cache(maxsize=1024)
def is_curve_key(public_key: int) -> bool:
    """Whether the number is the x coordinate of a point on the STARK curve."""
    if not 0 < public_key < FIELD_PRIME:
        return False
    square = (pow(public_key, 3, FIELD_PRIME) + public_key + CURVE_BETA) % FIELD_PRIME
    return pow(square, (FIELD_PRIME - 1) // 2, FIELD_PRIME) in (0, 1)


def parse_signature(text: str) -> tuple[int, int] | None:
    """``(r, s)`` from ``["r","s"]``, decimal or 0x-hex, or None if it cannot be a signature.

    The bounds are those of ECDSA on this curve. The library ends the process's thread with a
    panic on numbers outside them, so they are checked before it sees them.
    """
    match = _SIGNATURE.fullmatch(text)
    if match is None:
        return None
    r, s = (int(number, 16 if number.startswith("0x") else 10) for number in match.groups())
    if not (0 < r < ELEMENT_BOUND and 0 < s < CURVE_ORDER):
        return None
    return (r, s) if pow(s, -1, CURVE_ORDER) < ELEMENT_BOUND else None


def parse_felt(text: str) -> int | None:
    """A 0x-hex or decimal field element, or None."""
    try:
        value = int(text, 0)
    except ValueError:
        return None
    return value if 0 <= value < FIELD_PRIME else None
