"""Published signature vectors, sent to the simulated Vest as the bodies a client would send."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.simulator.vest_client import VestClient, address
from tests.simulator.vest_server import VestServer, a_vest

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "vest_vectors.json").read_text())
NOW_NS = 1_763_600_001_000 * 1_000_000  # the vectors' own day


async def a_registered_client(vest: VestServer) -> VestClient:
    client = VestClient(vest.session, vest.port)
    status, answer = await client.call("POST", "/register", VECTORS["register_prod"]["request_body"])
    assert status == 200
    client.headers = {"X-API-KEY": answer["apiKey"], "xrestservermm": f"restserver{answer['accGroup']}"}
    return client


@pytest.mark.parametrize("name", ["order_limit", "order_market"])
@pytest.mark.parametrize("signer", ["signature_signing_key", "signature_primary_key"])
async def test_a_vector_order_is_accepted(name: str, signer: str) -> None:
    """From either key the venue accepts, over the texts exactly as they stand in the body."""
    async with a_vest(now_unix_ns=lambda: NOW_NS) as vest:
        client = await a_registered_client(vest)
        body = VECTORS[name]["request_body"] | {"signature": VECTORS[name][signer]}

        status, answer = await client.call("POST", "/orders", body)

        assert status == 200, answer
        assert len(bytes.fromhex(answer["id"][2:])) == 32


async def test_the_vector_cancel_is_signed_right_and_its_order_unknown() -> None:
    """3017 and not 1022: the signature was accepted before the id was looked for."""
    async with a_vest(now_unix_ns=lambda: NOW_NS) as vest:
        client = await a_registered_client(vest)
        assert await client.refused("/orders/cancel", VECTORS["cancel"]["request_body"]) == 3017


@pytest.mark.parametrize("case", VECTORS["order_limit_negative"]["cases"])
async def test_a_wrongly_made_order_signature_is_1022(case: str) -> None:
    """Every mistake of the vectors recovers to somebody else."""
    async with a_vest(now_unix_ns=lambda: NOW_NS) as vest:
        client = await a_registered_client(vest)
        wrong = VECTORS["order_limit_negative"]["cases"][case]["signature"]
        body = VECTORS["order_limit"]["request_body"] | {"signature": wrong}

        assert await client.refused("/orders", body) == 1022


@pytest.mark.parametrize("case", VECTORS["register_prod_negative"]["cases"])
async def test_a_wrongly_made_registration_is_1022(case: str) -> None:
    """Chain id, seconds, another contract, the wrong key."""
    async with a_vest(now_unix_ns=lambda: NOW_NS) as vest:
        client = VestClient(vest.session, vest.port)
        wrong: dict[str, Any] = VECTORS["register_prod_negative"]["cases"][case]
        body = VECTORS["register_prod"]["request_body"] | {"signature": wrong["signature"]}

        assert await client.refused("/register", body) == 1022
        assert not vest.exchange.has_account(address(client.primary))
