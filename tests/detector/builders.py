"""Builders for detector tests: each leaves only what matters in sight."""

from __future__ import annotations

from typing import Any

import pytest

from detector.gates import FeedStatus
from detector.layers import Layer
from detector.rules import Rules
from detector.strategy import Market
from shm.records import DepthBook, PairPhase, PairView, Quote, QuoteFlags
from venues.contract import E8, Instrument

NOW_NS = 1_000_000_000_000
MS = 1_000_000


def e8(value: float) -> int:
    return round(value * E8)


def an_instrument(instrument_id: int = 0, venue: str = "vest", **changes: Any) -> Instrument:
    instrument = Instrument(
        instrument_id=instrument_id,
        venue=venue,
        symbol="BTC-PERP",
        base="BTC",
        tick_e8=e8(0.1),
        lot_e8=e8(0.001),
        min_size_e8=e8(0.001),
        min_notional_e8=0,
        max_size_e8=0,
        price_decimals=1,
        size_decimals=3,
        taker_fee_bps=1.0,
        is_trading=True,
    )
    return instrument._replace(**changes)


def a_quote(
    bid: float = 100.0,
    ask: float = 100.0,
    *,
    size: float = 10.0,
    instrument_id: int = 0,
    age_ms: float = 0,
    flags: int = QuoteFlags.VALID,
) -> Quote:
    recv_mono_ns = NOW_NS - int(age_ms * MS)
    return Quote(
        instrument_id, e8(bid), e8(ask), e8(size), e8(size), 0, recv_mono_ns, recv_mono_ns, 0, int(flags), 1
    )


def a_view(phase: PairPhase = PairPhase.FLAT, **changes: Any) -> PairView:
    view = PairView(
        pair_id=0,
        phase=phase,
        direction=0,
        size_e8=0,
        naked_e8=0,
        layers_open=0,
        entries_allowed=1,
        entry_spread_bps=0.0,
        opened_mono_ns=0,
        closed_mono_ns=0,
        trade_id=0,
        last_signal_id=0,
        updated_mono_ns=0,
    )
    return view._replace(**changes)


def a_hedged_view(direction: int = 1, **changes: Any) -> PairView:
    held = {"direction": direction, "size_e8": e8(1), "layers_open": 1, "opened_mono_ns": NOW_NS - 1_000 * MS}
    return a_view(PairPhase.HEDGED, **{**held, **changes})


def some_rules(**changes: Any) -> Rules:
    """Entry at 10 bps for one layer of 1 BTC, exit at 0, no fees, and limits far away."""
    values: dict[str, Any] = {
        "pair_id": 0,
        "name": "btc",
        "first": an_instrument(0, "vest"),
        "second": an_instrument(1, "paradex", symbol="BTC-USD-PERP"),
        "layers": (Layer(10.0, e8(1)),),
        "is_suspended": False,
        "exit_bps": 0.0,
        "confirm_ticks": 1,
        "exit_confirm_ticks": 1,
        "fees_bps": 0.0,
        "slippage_bps": 0.0,
        "is_slippage_learned": True,
        "learned_samples_min": 10,
        "learned_age_s_max": 3_600.0,
        "is_funding_included": True,
        "expected_hold_h": 1.0,
        "edge_bps_min": 0.0,
        "gain_bps_max": 1_000.0,
        "quote_age_ns_max": 3_000 * MS,
        "leg_skew_ns_max": 3_000 * MS,
        "liquidity_ratio_min": 1.0,
        "slippage_bps_max": 5.0,
        "reach_bps": 5.0,
        "cooldown_ns": 1_000 * MS,
        "hold_ns_max": 3_600_000 * MS,
        "signal_ttl_ns": 50 * MS,
    }
    values |= changes
    legs = values["first"], values["second"]
    values.setdefault("min_notional_e8", max(leg.min_notional_e8 for leg in legs))
    return Rules(**values)


ALIVE = FeedStatus(is_connected=True, beat_mono_ns=NOW_NS)


def a_market(first: Quote | None = None, second: Quote | None = None, **changes: Any) -> Market:
    """A market that every gate but the edge likes: both legs at 100, flat, entries allowed."""
    market = Market(
        first=a_quote() if first is None else first,
        second=a_quote(instrument_id=1) if second is None else second,
        first_feed=ALIVE,
        second_feed=ALIVE,
        view=a_view(),
        pending=None,
        maintenance_left_s=0,
        read_depth=lambda _: None,
        now_mono_ns=NOW_NS,
    )
    return market._replace(**changes)


def a_wide_market(gap_bps: float = 20.0, *, size: float = 10.0, **changes: Any) -> Market:
    """Buying the first leg at 100 and selling the second captures ``gap_bps``."""
    price = 100 * (1 + gap_bps / 10_000)
    market = a_market(a_quote(size=size), a_quote(price, price, size=size, instrument_id=1))
    return market._replace(**changes)


def a_book(bids: list[tuple[float, float]], asks: list[tuple[float, float]], **changes: Any) -> DepthBook:
    return DepthBook(
        [(e8(price), e8(size)) for price, size in bids],
        [(e8(price), e8(size)) for price, size in asks],
        recv_mono_ns=NOW_NS,
        venue_sequence=0,
        is_valid=True,
    )._replace(**changes)


def near(value: float) -> Any:
    """Equal but for rounding; typed so that it may stand in a record."""
    return pytest.approx(value)
