"""The public REST calls: grids, fees, the state of the system."""

from __future__ import annotations

from typing import Any

import pytest

from tests.venues.paradex.samples import BTC, answer, converse, refusal
from venues.contract import Instrument, TransportError, VenueError
from venues.paradex import fetch_instruments
from venues.paradex.rest import fetch_server_time_ms, fetch_system_state


def market(**changes: Any) -> dict[str, Any]:
    return {
        "symbol": "BTC-USD-PERP",
        "base_currency": "BTC",
        "price_tick_size": "0.1",
        "order_size_increment": "0.00001",
        "min_notional": "10",
        "max_order_size": "100",
        "asset_kind": "PERP",
        "trading_mode": "STANDARD",
        "fee_config": {
            "api_fee": {"maker_fee": {"fee": "0.00003"}, "taker_fee": {"fee": "0.00045"}},
            "interactive_fee": {"maker_fee": {"fee": "0"}, "taker_fee": {"fee": "0"}},
        },
    } | changes


def fetched(**changes: Any) -> Instrument:
    _, (instrument,) = converse(
        fetch_instruments({"BTC-USD-PERP": 7}), answer({"results": [market(**changes)]})
    )
    return instrument


def test_a_market_becomes_an_instrument() -> None:
    """No account is needed: the preflight has none."""
    requests, instruments = converse(fetch_instruments({"BTC-USD-PERP": 7}), answer({"results": [market()]}))

    assert [(request.method, request.path, request.headers) for request in requests] == [
        ("GET", "/markets", ())
    ]
    assert instruments == [BTC]


@pytest.mark.parametrize(
    ("tick", "decimals"), [("0.1", 1), ("0.5", 1), ("0.05", 2), ("1", 0), ("10", 0), ("0.00000001", 8)]
)
def test_decimals_follow_from_the_step(tick: str, decimals: int) -> None:
    """As many as a multiple of the step can have, and no more."""
    assert fetched(price_tick_size=tick).price_decimals == decimals
    assert fetched(order_size_increment=tick).size_decimals == decimals


def test_the_taker_fee_is_the_api_accounts() -> None:
    """Not the interactive one, which is zero and not for programs; a market may state a higher one."""
    config = {"api_fee": {"taker_fee": {"fee": "0.0007"}}}

    assert fetched(fee_config=config).taker_fee_bps == 7.0


def test_a_market_without_fees_of_its_own_has_the_published_ones() -> None:
    """The field is an override."""
    assert fetched(fee_config=None).taker_fee_bps == 4.5


def test_what_can_only_be_traded_on_request_is_not_trading() -> None:
    """RFQ-only markets have no book."""
    assert not fetched(trading_mode="RFQ_ONLY").is_trading


def test_limits_the_venue_does_not_state_are_zero() -> None:
    """Zero is the contract's word for none."""
    instrument = fetched(min_notional="", max_order_size="")

    assert (instrument.min_notional_e8, instrument.max_size_e8) == (0, 0)


def test_instruments_come_in_the_order_asked_for_and_others_are_not_read() -> None:
    """An option with fields of its own must not keep a perpetual from trading."""
    odd = {"symbol": "BTC-USD-25DEC26-100000-C", "price_tick_size": None, "fee_config": "none"}
    eth = market(symbol="ETH-USD-PERP", base_currency="ETH")

    _, instruments = converse(
        fetch_instruments({"ETH-USD-PERP": 9, "BTC-USD-PERP": 7}), answer({"results": [odd, market(), eth]})
    )

    assert [(one.symbol, one.instrument_id) for one in instruments] == [
        ("ETH-USD-PERP", 9),
        ("BTC-USD-PERP", 7),
    ]


def test_an_unknown_symbol_is_refused_with_what_was_perhaps_meant() -> None:
    """The remedy is in the message."""
    with pytest.raises(VenueError, match="no market BTC-USDC-PERP; did you mean BTC-USD-PERP"):
        converse(fetch_instruments({"BTC-USDC-PERP": 7}), answer({"results": [market()]}))


@pytest.mark.parametrize(
    "changes",
    [
        {"price_tick_size": "0"},
        {"order_size_increment": "-1"},
        {"price_tick_size": "1e-1"},
        {"base_currency": 5},
    ],
)
def test_a_grid_nobody_can_trade_on_is_no_usable_answer(changes: dict[str, Any]) -> None:
    """A step of zero would divide by it later."""
    with pytest.raises(TransportError, match="/markets"):
        fetched(**changes)


def test_a_refusal_and_an_unreadable_answer_are_told_apart() -> None:
    """One is the venue's word, the other is nothing."""
    with pytest.raises(VenueError, match="GEO_IP_BLOCK as the venue puts it"):
        converse(fetch_instruments({"BTC-USD-PERP": 7}), refusal("GEO_IP_BLOCK", status=403))
    with pytest.raises(TransportError):
        converse(fetch_instruments({"BTC-USD-PERP": 7}), answer(b"<html>"))


def test_the_state_of_the_system() -> None:
    """cancel_only and post_only surround the venue's releases."""
    requests, state = converse(fetch_system_state(), answer({"status": "cancel_only"}))

    assert (requests[0].path, state) == ("/system/state", "cancel_only")


@pytest.mark.parametrize("server_time", ["1790000000123", 1790000000123])
def test_the_venues_clock_as_text_or_number(server_time: str | int) -> None:
    """Specified as one, seen as the other."""
    requests, now_ms = converse(fetch_server_time_ms(), answer({"server_time": server_time}))

    assert (requests[0].path, now_ms) == ("/system/time", 1_790_000_000_123)


def test_a_clock_that_is_none_is_no_usable_answer() -> None:
    """Nothing is measured against it."""
    with pytest.raises(TransportError, match="soon"):
        converse(fetch_server_time_ms(), answer({"server_time": "soon"}))
