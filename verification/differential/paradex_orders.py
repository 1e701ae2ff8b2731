"""Random Paradex orders as the adapter puts them on the wire, for somebody else to judge.

    python -m verification.differential.paradex_orders [CASES]

One JSON line a case: whose order it is, the hash we signed, and the WebSocket frame. The judge reads
sizes, prices and times from the frame as the venue does, so a slip in rendering shows as a wrong hash.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from venues.contract import Call, HttpResponse, OrderRequest, TimeInForce, VenueHosts
from venues.paradex import ParadexCredentials, ParadexTrading
from venues.paradex.signing import CURVE_ORDER, Signer
from verification.differential.random_orders import random_order

SEED: Final = 20_261_121
CHAINS: Final = ("PRIVATE_SN_POTC_SEPOLIA", "PRIVATE_SN_PARACLEAR_MAINNET")
MARKETS: Final = ("BTC-USD-PERP", "ETH-USD-PERP", "kPEPE-USD-PERP", "BTC-USD-25DEC26-100000-C", "A", "X" * 31)
FIELD_PRIME: Final = 2**251 + 17 * 2**192 + 1
_HOSTS: Final = VenueHosts("http://127.0.0.1:1/v1", "ws://127.0.0.1:1/v1", "ws://127.0.0.1:1/v1")


class Case(NamedTuple):
    """One order: the numbers it was made from, and what we made of them."""

    chain_id: str
    account: int
    public_key: int
    message_hash: int
    frame: bytes
    request: OrderRequest

    def as_json(self) -> str:
        return json.dumps(
            {
                "chain_id": self.chain_id,
                "account": hex(self.account),
                "public_key": hex(self.public_key),
                "message_hash": hex(self.message_hash),
                "order": json.loads(self.frame)["params"],
                "meant": {
                    "size_e8": self.request.size_e8,
                    "price_e8": self.request.limit_price_e8,
                    "side": self.request.side.name,
                    "reduce_only": self.request.reduce_only,
                },
            }
        )


def cases(count: int, seed: int = SEED) -> Iterator[Case]:
    """``count`` random orders of ever new accounts; the edges of every field among them."""
    dice = random.Random(seed)
    for number in range(count):
        chain_id = dice.choice(CHAINS)
        private_key = dice.choice([1, CURVE_ORDER - 1, dice.randrange(1, CURVE_ORDER)])
        account = dice.choice([1, FIELD_PRIME - 1, dice.randrange(1, FIELD_PRIME)])
        request = random_order(
            dice,
            venue="paradex",
            client_order_id=number + 1,
            symbols=MARKETS,
            times_in_force=(TimeInForce.IOC, TimeInForce.GTC),
        )
        now_unix_ms = dice.choice([0, 1, 1_790_000_000_123, dice.randrange(2**53)])
        trading = _trading(private_key, account, chain_id)
        frame = trading.sign_create(request, now_unix_ms).wire
        assert isinstance(frame, bytes)
        signer = Signer(private_key=private_key, account=account, chain_id=chain_id)
        message_hash = signer.order_hash(
            timestamp_ms=now_unix_ms,
            market=request.instrument.symbol,
            side=request.side,
            size_e8=request.size_e8,
            price_e8=request.limit_price_e8,
        )
        yield Case(chain_id, account, signer.public_key, message_hash, frame, request)


def _trading(private_key: int, account: int, chain_id: str) -> ParadexTrading:
    """A logged-in account; the venue's two answers are given by hand."""
    trading = ParadexTrading(_HOSTS, ParadexCredentials(f"{private_key:#x}", f"{account:#x}"))
    config = {
        "starknet_chain_id": chain_id,
        "paraclear_account_proxy_hash": "0x1",
        "paraclear_account_hash": "0x1",
    }
    _answer(trading.login(0), config, {"jwt_token": "t"})
    return trading


def _answer(call: Call[None], *bodies: dict[str, Any]) -> None:
    next(call)
    try:
        for body in bodies:
            call.send(HttpResponse(200, {}, json.dumps(body).encode(), 0))
    except StopIteration:
        return
    raise AssertionError("the login asked for more than two answers")


def main() -> None:
    for case in cases(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000):
        print(case.as_json())


if __name__ == "__main__":
    main()
