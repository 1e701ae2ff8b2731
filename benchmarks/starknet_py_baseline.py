"""starknet-py hashing and signing one Paradex order; run by ``benchmarks.signing``, prints JSON.

Runs in an environment that has starknet-py and nothing of ours, so it imports ``measure`` alone.
"""

from __future__ import annotations

import itertools
import json
import sys
from typing import Any

from starknet_py.hash.utils import message_signature
from starknet_py.utils.typed_data import TypedData

from benchmarks.measure import percentiles, time_calls

PRIVATE_KEY = 0x1234567890ABCDEF1234567890ABCDEF
ACCOUNT = 0x3CA3878D9C0358C9ABE2B8EEDE50BC08B33A189B7C8F1B3C344B52FCB48406E
FIELDS = {
    "StarkNetDomain": ("name", "chainId", "version"),
    "Order": ("timestamp", "market", "side", "orderType", "size", "price"),
}


def main() -> None:
    rounds = int(sys.argv[1])
    count = itertools.count(1_790_000_000_000)
    types = {name: [{"name": field, "type": "felt"} for field in fields] for name, fields in FIELDS.items()}
    domain = {"name": "Paradex", "chainId": "PRIVATE_SN_POTC_SEPOLIA", "version": "1"}

    def hashed() -> Any:
        message = {
            "timestamp": next(count),
            "market": "BTC-USD-PERP",
            "side": "1",
            "orderType": "LIMIT",
            "size": "10000000",
            "price": "6000000000000",
        }
        data = {"types": types, "primaryType": "Order", "domain": domain, "message": message}
        return TypedData.from_dict(data).message_hash(ACCOUNT)

    message_hash = hashed()
    timings = (
        percentiles("baseline: starknet-py typed data hash", time_calls(hashed, rounds)),
        percentiles(
            "baseline: starknet-py sign a hash",
            time_calls(lambda: message_signature(message_hash, PRIVATE_KEY), rounds),
        ),
    )
    print(json.dumps([timing._asdict() for timing in timings]))


if __name__ == "__main__":
    main()
