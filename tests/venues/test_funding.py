"""Funding rates as both venues answer: per hour, in bps, for the symbols asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.detector.builders import near
from venues import paradex, vest
from venues.contract import Call, FundingRate, HttpResponse, TransportError, VenueError, funding_bps


def drive(
    call: Call[list[FundingRate]], *bodies: Any, status: int = 200
) -> tuple[list[str], list[FundingRate]]:
    """Answer each request with the next body; return the paths asked for and the result."""
    paths, answers = [], iter(bodies)
    try:
        request = next(call)
        while True:
            paths.append(request.path)
            body = json.dumps(next(answers)).encode()
            request = call.send(HttpResponse(status, {}, body, 0))
    except StopIteration as stop:
        return paths, stop.value


def test_vest_tells_an_hourly_rate_of_every_symbol_in_one_answer() -> None:
    rows = [
        {"symbol": name, "oneHrFundingRate": rate}
        for name, rate in (("A", "0.0000125"), ("B", "-0.0001"), ("C", "1"))
    ]
    paths, rates = drive(vest.VENUE.fetch_funding({"A": 4, "B": 7}), {"tickers": rows})
    assert paths == ["/ticker/latest?symbols=A,B"]
    assert rates == [FundingRate(4, near(0.125)), FundingRate(7, near(-1.0))]


def test_paradex_tells_the_rate_of_eight_hours_market_by_market() -> None:
    answers = [
        {"results": [{"symbol": name, "funding_rate": "0.0001"}]} for name in ("A-USD-PERP", "B-USD-PERP")
    ]
    paths, rates = drive(paradex.VENUE.fetch_funding({"A-USD-PERP": 1, "B-USD-PERP": 3}), *answers)
    assert paths == ["/markets/summary?market=A-USD-PERP", "/markets/summary?market=B-USD-PERP"]
    assert rates == [FundingRate(1, near(0.125)), FundingRate(3, near(0.125))]


@pytest.mark.parametrize("rate", ["", "x", "nan", "inf"])
def test_a_rate_that_is_no_number_is_no_answer(rate: str) -> None:
    with pytest.raises(ValueError):
        funding_bps(rate, hours=1)
    with pytest.raises(TransportError):
        drive(vest.VENUE.fetch_funding({"A": 0}), {"tickers": [{"symbol": "A", "oneHrFundingRate": rate}]})
    with pytest.raises(TransportError):
        drive(paradex.VENUE.fetch_funding({"A": 0}), {"results": [{"symbol": "A", "funding_rate": rate}]})


def test_a_refusal_is_the_venues_own() -> None:
    with pytest.raises(VenueError):
        drive(
            paradex.VENUE.fetch_funding({"A": 0}), {"error": "VALIDATION_ERROR", "message": "no"}, status=400
        )
