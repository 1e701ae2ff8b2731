"""Hyperliquid's funding rates. Source: the venue's documentation, "Asset contexts" and "Funding"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from venues.contract import Call, FundingRate, TransportError, funding_bps
from venues.hyperliquid.hosts import NAME
from venues.hyperliquid.messages import Meta
from venues.hyperliquid.rest import ask


class _Context(msgspec.Struct):
    funding: str  # of the running hour, per hour


_decoder: Final = msgspec.json.Decoder(tuple[Meta, list[_Context]])


def fetch_funding(wanted: Mapping[str, int]) -> Call[list[FundingRate]]:
    """The running hour's rates of the wanted symbols (symbol -> instrument_id)."""
    meta, contexts = yield from ask(_decoder, "metaAndAssetCtxs")
    try:
        return [
            FundingRate(wanted[row.name], funding_bps(context.funding, hours=1))
            for row, context in zip(meta.universe, contexts, strict=True)
            if row.name in wanted
        ]
    except ValueError as error:
        raise TransportError(f"{NAME}: metaAndAssetCtxs: {error}") from None
