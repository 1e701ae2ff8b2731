"""Random orders against an implementation that shares nothing with ours.

100 in every run, against the slow reference beside this file; ``make differential`` judges 10,000 of
the same orders with starknet-py.
"""

from __future__ import annotations

import json

import pytest

from tests.venues.paradex import starknet_reference as reference
from tests.venues.paradex.samples import VECTORS
from venues.contract import Side, parse_e8
from verification.differential.paradex_orders import cases


@pytest.mark.parametrize("name", ["GENERATOR", "SHIFT", "LOW_1", "HIGH_1", "LOW_2", "HIGH_2"])
def test_the_reference_stands_on_the_curve(name: str) -> None:
    """A mistyped constant would be a different hash, not a check."""
    assert reference.is_on_curve(getattr(reference, name))


@pytest.mark.parametrize("vector", VECTORS["pedersen"])
def test_the_reference_knows_pedersen(vector: dict[str, str]) -> None:
    """Against the published base hashes."""
    assert hex(reference.pedersen(int(vector["a"], 16), int(vector["b"], 16))) == vector["hash"]


def test_random_orders_hash_and_verify_alike() -> None:
    """Sizes, prices, sides, markets, times, chains, accounts and keys; the edges of each among them."""
    for number, case in enumerate(cases(100)):
        sent = json.loads(case.frame)["params"]
        typed_data = {
            "types": VECTORS["typed_data_types"],
            "primaryType": "Order",
            "domain": {"name": "Paradex", "chainId": case.chain_id, "version": "1"},
            "message": {
                "timestamp": sent["signature_timestamp"],
                "market": sent["market"],
                "side": 1 if sent["side"] == "BUY" else 2,
                "orderType": sent["type"],
                "size": parse_e8(sent["size"]),
                "price": parse_e8(sent["price"]),
            },
        }
        assert (parse_e8(sent["size"]), parse_e8(sent["price"])) == case.request[3:5], case
        assert sent["side"] == ("BUY" if case.request.side is Side.BUY else "SELL"), case
        assert sent["flags"] == (["REDUCE_ONLY"] if case.request.reduce_only else []), case
        assert reference.message_hash(typed_data, case.account) == case.message_hash, case
        r, s = (int(digits) for digits in json.loads(sent["signature"]))
        assert reference.verify(case.public_key, case.message_hash, r, s), case
        if number % 10 == 0:
            assert not reference.verify(case.public_key, case.message_hash ^ 1, r, s), case
