"""Judge Hyperliquid orders with the official SDK, which shares nothing with our hashing or signing.

    python -m verification.differential.hyperliquid_orders 10000 | python check_with_hyperliquid_sdk.py 10000

The argument is how many there must be. Runs in an environment of its own (``make differential``) and imports
nothing of Tandem. Of every case the SDK makes the action, signs it, and must get the very body; then the
signer is recovered from our signature. With another nonce, tried for one in ten, he must be somebody else.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from eth_account import Account
from hyperliquid.utils.signing import (
    float_to_wire,
    order_request_to_order_wire,
    order_wires_to_order_action,
    recover_agent_or_user_from_l1_action,
    sign_l1_action,
)
from hyperliquid.utils.types import Cloid


def mismatches(number: int, case: dict[str, Any]) -> list[str]:
    """What does not agree in one case; nothing if all does."""
    meant, body, is_mainnet = case["meant"], case["body"], case["is_mainnet"]
    wallet = Account.from_key(case["key"])
    request = {
        "coin": "X",
        "is_buy": meant["is_buy"],
        "sz": meant["size_e8"] / 1e8,
        "limit_px": meant["price_e8"] / 1e8,
        "order_type": {"limit": {"tif": meant["tif"]}},
        "reduce_only": meant["reduce_only"],
        "cloid": Cloid.from_int(meant["client_order_id"]),
    }
    action = order_wires_to_order_action([order_request_to_order_wire(request, meant["asset"])], None, "na")
    found = []
    if json.dumps(action) != json.dumps(body["action"]):
        found.append(f"the SDK's action is {json.dumps(action)}")
    terms = (meant["vault"], meant["nonce"], meant["expires_after"], is_mainnet)
    if (body["vaultAddress"], body["nonce"], body["expiresAfter"]) != terms[:3]:
        found.append("what is on the wire is not what was meant")
    if sign_l1_action(wallet, action, *terms) != body["signature"]:
        found.append("the SDK's signature is another")
    vault, nonce, expires, _ = terms
    signature = body["signature"]
    signer = recover_agent_or_user_from_l1_action(action, signature, vault, nonce, expires, is_mainnet)
    if signer != wallet.address:
        found.append(f"the signer is {signer}")
    if number % 10 == 0:
        other = recover_agent_or_user_from_l1_action(action, signature, vault, nonce ^ 1, expires, is_mainnet)
        if other == wallet.address:
            found.append("another nonce recovers the same signer")
    return found


def main() -> int:
    assert float_to_wire(1.0) == "1"
    expected = int(sys.argv[1])
    started = time.monotonic()
    count = wrong = 0
    for count, line in enumerate(sys.stdin, 1):
        found = mismatches(count, json.loads(line))
        wrong += bool(found)
        for what in found:
            print(f"case {count}: {what}: {line.strip()}", file=sys.stderr)
    elapsed_s = time.monotonic() - started
    print(f"hyperliquid against its SDK: {count} cases, {wrong} mismatches ({elapsed_s:.0f} s)")
    if count != expected:
        print(f"{expected} cases were expected: did whoever makes them fail?", file=sys.stderr)
    return 1 if wrong or count != expected else 0


if __name__ == "__main__":
    sys.exit(main())
