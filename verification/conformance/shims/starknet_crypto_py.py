"""The four functions paradex-py takes from ``starknet-crypto-py``, on top of fast-stark-crypto.

The original is a Rust extension whose Linux wheels end with CPython 3.10. Signatures made here belong
to the other of the venue's two deterministic families: RFC 6979 without the extra entropy ``seed``.
"""

from __future__ import annotations

import fast_stark_crypto


def get_public_key(private_key: int) -> int:
    return int(fast_stark_crypto.get_public_key(private_key))


def pedersen_hash(first: int, second: int) -> int:
    return int(fast_stark_crypto.pedersen_hash(first, second))


def sign(private_key: int, msg_hash: int, seed: int) -> tuple[int, int]:
    r, s = fast_stark_crypto.sign(private_key, msg_hash)
    return int(r), int(s)


def verify(public_key: int, msg_hash: int, r: int, s: int) -> bool:
    return bool(fast_stark_crypto.verify(public_key, msg_hash, r, s))
