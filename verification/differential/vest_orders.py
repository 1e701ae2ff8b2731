"""Random Vest orders as the adapter sends them, judged by eth-abi and eth-account.

    python -m verification.differential.vest_orders [CASES]

The judge reads the request body as the venue does: it encodes the texts it finds there, hashes them,
and recovers who signed. Every hash is compared and every signature recovered.
"""

from __future__ import annotations

import json
import random
import sys
import time
from typing import Any, Final

from eth_abi.abi import encode
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_utils.crypto import keccak

from tests.venues.vest.builders import SIGNING_KEY, a_session
from venues.contract import HttpRequest, OrderRequest, Side, TimeInForce, parse_e8
from venues.vest.signing import encode_order, keccak256
from verification.differential.random_orders import random_order

SEED: Final = 20_251_120
TYPES: Final = ("uint256", "uint256", "string", "string", "bool", "string", "string", "bool")
SYMBOLS: Final = ("BTC-PERP", "kBONK-PERP", "NDX-USD-PERP", "A-PERP", "X" * 32)
SIGNER: Final = Account.from_key(SIGNING_KEY).address


def mismatches(count: int, seed: int = SEED) -> list[str]:
    """What does not agree in ``count`` random orders; nothing if all does."""
    dice = random.Random(seed)
    trading = a_session()
    found = []
    for _ in range(count):
        request = random_order(
            dice,
            venue="vest",
            client_order_id=dice.choice([1, 2**53 - 1, dice.randrange(1, 2**53)]),
            symbols=SYMBOLS,
            times_in_force=tuple(TimeInForce),
        )
        now_unix_ms = dice.choice([0, 1, 1_790_000_000_123, dice.randrange(2**53)])
        wire = trading.sign_create(request, now_unix_ms).wire
        assert isinstance(wire, HttpRequest)
        body = json.loads(wire.body)
        wrong = _wrong(body, request, now_unix_ms)
        found += [f"{what}: {body}" for what in wrong]
    return found


def _wrong(body: dict[str, Any], request: OrderRequest, now_unix_ms: int) -> list[str]:
    order = body["order"]
    wrong = []
    if (
        *(parse_e8(order[name]) for name in ("size", "limitPrice")),
        order["symbol"],
        order["isBuy"],
        order["reduceOnly"],
        order["nonce"],
        order["time"],
    ) != (
        request.size_e8,
        request.limit_price_e8,
        request.instrument.symbol,
        request.side is Side.BUY,
        request.reduce_only,
        request.client_order_id,
        now_unix_ms,
    ):
        wrong.append("what is on the wire is not what was meant")
    names = ("time", "nonce", "orderType", "symbol", "isBuy", "size", "limitPrice", "reduceOnly")
    theirs = keccak(encode(TYPES, [order[name] for name in names]))
    if _our_hash(order) != theirs:
        wrong.append("the hash differs")
    message = encode_defunct(primitive=theirs)
    if Account.recover_message(message, signature=body["signature"]) != SIGNER:
        wrong.append("the signature is somebody else's")
    return wrong


def _our_hash(order: dict[str, Any]) -> bytes:
    encoded = encode_order(
        time_ms=order["time"],
        nonce=order["nonce"],
        order_type=order["orderType"],
        symbol=order["symbol"],
        is_buy=order["isBuy"],
        size=order["size"],
        limit_price=order["limitPrice"],
        reduce_only=order["reduceOnly"],
    )
    return keccak256(encoded)


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    started = time.monotonic()
    found = mismatches(count)
    for what in found:
        print(what, file=sys.stderr)
    elapsed_s = time.monotonic() - started
    print(f"vest against eth-abi and eth-account: {count} cases, {len(found)} mismatches ({elapsed_s:.0f} s)")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
