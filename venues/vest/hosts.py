"""Vest's hosts, and the URLs of its WebSockets.

Source: Vest API v2 documentation, "General information"; v3 hosts as the web application uses
them (protocol notes, sections 1 and 12).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from venues.contract import VenueHosts

NAME: Final = "vest"  # the name it goes by in our records
PRODUCTION_HOSTS: Final = VenueHosts(
    rest_url="https://server-prod.hz.vestmarkets.com/v2",
    public_ws_url="wss://ws-prod.hz.vestmarkets.com/ws-api",
    private_ws_url="wss://ws-prod.hz.vestmarkets.com/ws-api",
)
DEVELOPMENT_HOSTS: Final = VenueHosts(
    rest_url="https://server-dev.hz.vestmarkets.com/v2",
    public_ws_url="wss://ws-dev.hz.vestmarkets.com/ws-api",
    private_ws_url="wss://ws-dev.hz.vestmarkets.com/ws-api",
)
# Public market data only: v3 has no key a program could trade with.
V3_HOSTS: Final = VenueHosts(
    rest_url="https://api-gateway.hz.vestmarkets.com/v3",
    public_ws_url="wss://ws.hz.vestmarkets.com/ws",
    private_ws_url="wss://ws.hz.vestmarkets.com/ws/private",
)

_PRODUCTION_CONTRACT: Final = "0x919386306C47b2Fe1036e3B4F7C40D22D2461a23"
_DEVELOPMENT_CONTRACT: Final = "0x8E4D87AEf4AC4D5415C35A12319013e34223825B"


def verifying_contract(hosts: VenueHosts) -> str:
    """Return the contract a registration proof is made for.

    Production's for the production REST host, and the development contract for every other, the
    loopback simulator included: a proof made while testing is worthless on production.
    """
    production_host = urlsplit(PRODUCTION_HOSTS.rest_url).hostname
    is_production = urlsplit(hosts.rest_url).hostname == production_host
    return _PRODUCTION_CONTRACT if is_production else _DEVELOPMENT_CONTRACT


def with_query(url: str, parameters: Mapping[str, str]) -> str:
    """Return ``url`` with ``parameters`` added to its query; what is already there wins."""
    parts = urlsplit(url)
    query = {**parameters, **dict(parse_qsl(parts.query))}
    return urlunsplit(parts._replace(query=urlencode(query)))
