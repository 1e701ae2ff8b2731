"""The venue's own SDK, unchanged, against a venue: classes ``Paradex``, ``ParadexL2``, ``ParadexSubkey``.

Run in the clients' environment: ``python -m conformance.clients.paradex_sdk --json URL --sbe URL``.
``--json`` is a venue that still serves JSON, ``--sbe`` one that serves nothing but SBE on its sockets,
private channels included. URLs end in ``/v1``.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

import httpx
from paradex_py import Paradex, ParadexL2, ParadexSubkey
from paradex_py.api.http_client import HttpClient

from .accounts import BASE_KEY, L1_ADDRESS, L1_KEY, MAIN_KEY, SUBKEY
from .checklist import Checklist
from .paradex_rest import orders_over_rest, private_reads, public_reads
from .paradex_socket import json_is_refused, trade_over_socket


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", required=True)
    parser.add_argument("--sbe", required=True)
    urls = parser.parse_args()

    _with_l2_key(Checklist("paradex-py Paradex · JSON"), urls.json)
    _with_l1_key(Checklist("paradex-py Paradex · SBE"), urls.json)
    _as_retail(Checklist("paradex-py Paradex · SBE only"), urls.sbe)
    for url, is_sbe, encoding in ((urls.json, False, "JSON"), (urls.sbe, True, "SBE only")):
        _by_key_alone(
            ParadexL2, MAIN_KEY, Checklist(f"paradex-py ParadexL2 · {encoding}"), url, is_sbe=is_sbe
        )
        _by_key_alone(
            ParadexSubkey, SUBKEY, Checklist(f"paradex-py ParadexSubkey · {encoding}"), url, is_sbe=is_sbe
        )


def _with_l2_key(calls: Checklist, url: str) -> None:
    """Everything over REST, and a socket in JSON. The account is onboarded when a login says it is not."""
    with calls.section():
        client = _paradex(url, calls, l2_private_key=hex(BASE_KEY + 1))
        public_reads(client.api_client, calls)
        private_reads(client.api_client, calls)
        orders_over_rest(client.api_client, calls)
        asyncio.run(trade_over_socket(client, calls, is_sbe=False))


def _with_l1_key(calls: Checklist, url: str) -> None:
    """The L2 key is derived, the address asked of the venue, public data in SBE, private data in JSON."""
    with calls.section():
        client = _paradex(url, calls, l1_private_key=L1_KEY, server_derive_address=True, ws_sbe_enabled=True)
        asyncio.run(trade_over_socket(client, calls, is_sbe=True))


def _as_retail(calls: Checklist, url: str) -> None:
    """A token that waits at the speed bump, on a venue that serves SBE alone."""
    with calls.section():
        client = _paradex(
            url,
            calls,
            l2_private_key=hex(BASE_KEY + 2),
            auth_params={"token_usage": "interactive"},
            ws_sbe_enabled=True,
        )
        asyncio.run(trade_over_socket(client, calls, is_sbe=True))
    with calls.section():
        asyncio.run(json_is_refused(_paradex(url, calls, l2_private_key=hex(BASE_KEY + 2)), calls))


def _by_key_alone(kind: Any, key: int, calls: Checklist, url: str, *, is_sbe: bool) -> None:
    """Trade with an L2 key and the main account's address; neither class can onboard an account."""
    with calls.section():
        account = _paradex(url, calls, l2_private_key=hex(MAIN_KEY)).account.l2_address
        client = _redirected(kind, key, account, url, calls, is_sbe=is_sbe)
        orders_over_rest(client.api_client, calls)
        asyncio.run(trade_over_socket(client, calls, is_sbe=is_sbe))


# --- logging in ---


def _paradex(url: str, calls: Checklist, **options: Any) -> Any:
    socket_url = url.replace("http", "ws", 1)
    with calls("Paradex()", "is onboarded and logged in") as call:
        client = Paradex(
            env="testnet",
            l1_address=L1_ADDRESS,
            api_base_url=url,
            ws_url_override=socket_url,
            ws_direct_url_override=socket_url,
            retry_strategy=None,
            disable_reconnect=True,
            **options,
        )
        call.expect(bool(client.account.jwt_token), client.account)
    return client


def _redirected(kind: Any, key: int, account: int, url: str, calls: Checklist, *, is_sbe: bool) -> Any:
    """A client of a class that takes no URL: its requests are sent elsewhere just before they leave."""
    target = httpx.URL(url)

    def redirect(request: httpx.Request) -> None:
        request.url = request.url.copy_with(scheme=target.scheme, host=target.host, port=target.port)

    with calls(f"{kind.__name__}()", "is logged in for the main account") as call:
        client = kind(
            env="testnet",
            l2_private_key=hex(key),
            l2_address=hex(account),
            ws_sbe_enabled=is_sbe,
            http_client=HttpClient(http_client=httpx.Client(event_hooks={"request": [redirect]})),
        )
        summary = client.api_client.fetch_account_summary()
        call.expect(int(summary.account, 16) == account, summary)
    client.ws_client.api_url = url.replace("http", "ws", 1)
    client.ws_client.disable_reconnect = True
    return client


if __name__ == "__main__":
    main()
