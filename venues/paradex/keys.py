"""From an Ethereum key to the L2 key that trades: done once per account, never while trading.

Paradex derives the L2 key from a deterministic EIP-712 signature, so the owner of the L1 key can
always recompute it. The 32-byte ``r`` of that signature is *ground* into the curve's range.

Source: paradex-py and paradex.js account code; vectors "account_derivation".
"""

from __future__ import annotations

from hashlib import sha256

from eth_account import Account

from venues.paradex.signing import CURVE_ORDER

_GRIND_BOUND = 2**256 - 2**256 % CURVE_ORDER


def l2_private_key(l1_private_key: str, *, l1_chain_id: int) -> int:
    """Return the L2 private key of an L1 key. ``l1_chain_id`` is in ``GET /system/config``."""
    signed = Account.sign_typed_data(
        l1_private_key,
        domain_data={"name": "Paradex", "version": "1", "chainId": l1_chain_id},
        message_types={"Constant": [{"name": "action", "type": "string"}]},
        message_data={"action": "STARK Key"},
    )
    return grind(signed.r)


def grind(seed: int) -> int:
    """Return the first hash of (seed, 0), (seed, 1), … that is unbiased modulo the curve order."""
    index = 0
    while True:
        candidate = int.from_bytes(sha256(_fewest_bytes(seed) + _fewest_bytes(index)).digest(), "big")
        if candidate < _GRIND_BOUND:
            return candidate % CURVE_ORDER
        index += 1


def _fewest_bytes(value: int) -> bytes:
    return value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")
