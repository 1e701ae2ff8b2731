"""Random orders against an implementation that shares nothing with ours.

100 in every run; ``TANDEM_DIFFERENTIAL_CASES=10000`` for the long one (some minutes).
"""

from __future__ import annotations

import os
import random
import re
from typing import Any

import pytest

from tests.venues.paradex import starknet_reference as reference
from tests.venues.paradex.samples import VECTORS
from venues.contract import Side
from venues.paradex.signing import CURVE_ORDER, Signer

CASES = int(os.environ.get("TANDEM_DIFFERENTIAL_CASES", "100"))
CHAINS = tuple(VECTORS["constants"]["domains"])
EDGES_E8 = (1, 9, 10, 10**8 - 1, 10**8, 10**8 + 1, 2**53 - 1, 2**53 + 1, 2**62, 10**19, 123_456_789)
MARKETS = ("BTC-USD-PERP", "ETH-USD-PERP", "kPEPE-USD-PERP", "BTC-USD-25DEC26-100000-C", "A", "X" * 31)


@pytest.mark.parametrize("name", ["GENERATOR", "SHIFT", "LOW_1", "HIGH_1", "LOW_2", "HIGH_2"])
def test_the_reference_stands_on_the_curve(name: str) -> None:
    """A mistyped constant would be a different hash, not a check."""
    assert reference.is_on_curve(getattr(reference, name))


@pytest.mark.parametrize("vector", VECTORS["pedersen"])
def test_the_reference_knows_pedersen(vector: dict[str, str]) -> None:
    """Against the published base hashes."""
    assert hex(reference.pedersen(int(vector["a"], 16), int(vector["b"], 16))) == vector["hash"]


@pytest.mark.timeout(1_200)
def test_random_orders_hash_and_verify_alike() -> None:
    """Sizes, prices, sides, markets, times, chains, accounts and keys; the edges of each among them."""
    chance = random.Random(20_261_121)
    for number in range(CASES):
        chain_id = chance.choice(CHAINS)
        private_key = chance.choice([1, CURVE_ORDER - 1, chance.randrange(1, CURVE_ORDER)])
        account = chance.choice([1, reference.P - 1, chance.randrange(1, reference.P)])
        order: dict[str, Any] = {
            "timestamp": chance.choice([0, 1_790_000_000_123, chance.randrange(2**53)]),
            "market": chance.choice(MARKETS),
            "side": chance.choice([1, 2]),
            "orderType": "LIMIT",
            "size": chance.choice([chance.choice(EDGES_E8), chance.randrange(1, 10**16)]),
            "price": chance.choice([chance.choice(EDGES_E8), chance.randrange(1, 10**16)]),
        }
        signer = Signer(private_key=private_key, account=account, chain_id=chain_id)

        ours = signer.order_hash(
            timestamp_ms=order["timestamp"],
            market=order["market"],
            side=Side.BUY if order["side"] == 1 else Side.SELL,
            size_e8=order["size"],
            price_e8=order["price"],
        )

        typed_data = {
            "types": VECTORS["typed_data_types"],
            "primaryType": "Order",
            "domain": {"name": "Paradex", "chainId": chain_id, "version": "1"},
            "message": order,
        }
        assert ours == reference.message_hash(typed_data, account), (number, order)
        r, s = (int(digits) for digits in re.findall(r"\d+", signer.sign(ours)))
        assert reference.verify(signer.public_key, ours, r, s), (number, order)
        if number % 10 == 0:
            assert not reference.verify(signer.public_key, ours ^ 1, r, s), (number, order)
