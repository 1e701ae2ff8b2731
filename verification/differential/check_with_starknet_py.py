"""Judge Paradex orders with starknet-py, which shares nothing with our hashing or signing.

    python -m verification.differential.paradex_orders 10000 | python check_with_starknet_py.py 10000

The argument is how many there must be. Runs in an environment of its own (``make differential``) and
imports nothing of Tandem. Every hash is compared and every signature verified; one in ten must also be
refused for a hash one bit away.
"""

from __future__ import annotations

import json
import sys
import time
from decimal import Decimal
from typing import Any

from starknet_py.hash.utils import verify_message_signature
from starknet_py.utils.typed_data import TypedData

TYPES = {
    "StarkNetDomain": [
        {"name": "name", "type": "felt"},
        {"name": "chainId", "type": "felt"},
        {"name": "version", "type": "felt"},
    ],
    "Order": [
        {"name": "timestamp", "type": "felt"},
        {"name": "market", "type": "felt"},
        {"name": "side", "type": "felt"},
        {"name": "orderType", "type": "felt"},
        {"name": "size", "type": "felt"},
        {"name": "price", "type": "felt"},
    ],
}


def typed_data(chain_id: str, order: dict[str, Any]) -> TypedData:
    """The message of a create as Paradex documents it, from the texts on the wire."""
    return TypedData.from_dict(
        {
            "types": TYPES,
            "primaryType": "Order",
            "domain": {"name": "Paradex", "chainId": chain_id, "version": "1"},
            "message": {
                "timestamp": order["signature_timestamp"],
                "market": order["market"],
                "side": {"BUY": "1", "SELL": "2"}[order["side"]],
                "orderType": order["type"],
                "size": str(int(Decimal(order["size"]).scaleb(8))),
                "price": str(int(Decimal(order["price"]).scaleb(8))),
            },
        }
    )


def mismatches(number: int, case: dict[str, Any]) -> list[str]:
    """What does not agree in one case; nothing if all does."""
    order, meant = case["order"], case["meant"]
    account, public_key = int(case["account"], 16), int(case["public_key"], 16)
    found = []
    if (Decimal(order["size"]).scaleb(8), Decimal(order["price"]).scaleb(8)) != (
        meant["size_e8"],
        meant["price_e8"],
    ) or (order["side"], "REDUCE_ONLY" in order["flags"]) != (meant["side"], meant["reduce_only"]):
        found.append("what is on the wire is not what was meant")
    hashed = typed_data(case["chain_id"], order).message_hash(account)
    if hashed != int(case["message_hash"], 16):
        found.append(f"hash {hashed:#x} instead of {case['message_hash']}")
    signature = [int(part) for part in json.loads(order["signature"])]
    if not verify_message_signature(hashed, signature, public_key):
        found.append("the signature does not verify")
    if number % 10 == 0 and verify_message_signature(hashed ^ 1, signature, public_key):
        found.append("the signature verifies for another hash")
    return found


def main() -> int:
    expected = int(sys.argv[1])
    started = time.monotonic()
    count = wrong = 0
    for count, line in enumerate(sys.stdin, 1):
        found = mismatches(count, json.loads(line))
        wrong += bool(found)
        for what in found:
            print(f"case {count}: {what}: {line.strip()}", file=sys.stderr)
    elapsed_s = time.monotonic() - started
    print(f"paradex against starknet-py: {count} cases, {wrong} mismatches ({elapsed_s:.0f} s)")
    if count != expected:
        print(f"{expected} cases were expected: did whoever makes them fail?", file=sys.stderr)
    return 1 if wrong or count != expected else 0


if __name__ == "__main__":
    sys.exit(main())
