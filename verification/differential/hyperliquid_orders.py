"""Random Hyperliquid actions as the adapter puts them on the wire, for somebody else to judge.

    python -m verification.differential.hyperliquid_orders [CASES]

One JSON line a case: the key, the network, what was meant, and the posted body with its signature. The judge
makes the same order by the official SDK's own methods and compares.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from typing import Any, Final

from tests.venues.hyperliquid.builders import FEES, drive
from venues.contract import E8, Instrument, OrderRequest, Side, TimeInForce
from venues.hyperliquid import PRODUCTION_HOSTS, TESTNET_HOSTS, HyperliquidCredentials, HyperliquidTrading
from verification.differential.random_orders import EDGES_E8

SEED: Final = 20_261_130
CURVE_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def cases(count: int, seed: int = SEED) -> Iterator[dict[str, Any]]:
    """``count`` random orders of ever new keys; the edges of every field among them."""
    dice = random.Random(seed)
    for _ in range(count):
        is_mainnet = dice.random() < 0.5
        key = f"0x{dice.choice([1, CURVE_ORDER - 1, dice.randrange(1, CURVE_ORDER)]):064x}"
        vault = dice.choice(["", f"0x{dice.randrange(2**160):040x}"])
        asset = dice.choice([0, 1, 127, 128, 255, 256, dice.randrange(300)])
        trading = _trading(key, vault, asset, is_mainnet=is_mainnet)
        request = _order(dice)
        now_unix_ms = dice.choice([1, 127, 128, 65_536, 1_790_000_000_123, dice.randrange(1, 2**53)])
        wire = trading.sign_create(request, now_unix_ms).wire
        assert isinstance(wire, bytes)
        yield {
            "key": key,
            "is_mainnet": is_mainnet,
            "meant": {
                "asset": asset,
                "is_buy": request.side is Side.BUY,
                "size_e8": request.size_e8,
                "price_e8": request.limit_price_e8,
                "reduce_only": request.reduce_only,
                "tif": {TimeInForce.IOC: "Ioc", TimeInForce.GTC: "Gtc"}[request.time_in_force],
                "client_order_id": request.client_order_id,
                "nonce": now_unix_ms,
                "vault": vault or None,
                "expires_after": now_unix_ms + 5_000,
            },
            "body": json.loads(wire)["request"]["payload"],
        }


def _trading(key: str, vault: str, asset: int, *, is_mainnet: bool) -> HyperliquidTrading:
    """A logged-in account; the venue's answers are given by hand."""
    hosts = PRODUCTION_HOSTS if is_mainnet else TESTNET_HOSTS
    trading = HyperliquidTrading(hosts, HyperliquidCredentials(key, sub_account=vault))
    listing = {"universe": [{"name": f"C{place}", "szDecimals": 0} for place in range(asset)]}
    listing["universe"].append({"name": "X", "szDecimals": 0})
    drive(trading.fetch_instruments({"X": 7}), listing, FEES)
    budget = {"cumVlm": "0.0", "nRequestsUsed": 0, "nRequestsCap": 10_000}
    roles = [{"role": "vault"}] if vault else []
    drive(trading.login(0), "default", *roles, budget)
    return trading


def _order(dice: random.Random) -> OrderRequest:
    """Any numbers that the SDK can say without rounding: it takes floats."""
    size_e8, price_e8 = (_number_e8(dice) for _ in range(2))
    instrument = Instrument(7, "hyperliquid", "X", "X", 1, 1, 1, 0, 0, 8, 8, 4.5, True)
    number = dice.choice([1, 2**53 - 1, dice.randrange(1, 2**53)])
    side, life = dice.choice(list(Side)), dice.choice([TimeInForce.IOC, TimeInForce.GTC])
    return OrderRequest(number, instrument, side, size_e8, price_e8, dice.random() < 0.5, life)


def _number_e8(dice: random.Random) -> int:
    if dice.random() < 0.3:
        return min(dice.choice(EDGES_E8), 10**14)
    figures = dice.randrange(1, 15)
    value_e8 = dice.randrange(1, 10**figures) * 10 ** dice.randrange(9)
    return int(min(value_e8, 10**7 * E8))


def main() -> None:
    for case in cases(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000):
        print(json.dumps(case))


if __name__ == "__main__":
    main()
