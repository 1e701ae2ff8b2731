"""The benchmark that judges everything else must itself be right: what it reports is what happened."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks import wire_to_wire
from benchmarks.wire.analysis import stages, summarise
from benchmarks.wire.analysis import wire_to_wire as seen_by_the_venues
from benchmarks.wire.contenders import Variant
from benchmarks.wire.market import ENTRY_BPS, EXIT_BPS, Market
from benchmarks.wire.plot import draw
from venues.contract import MarketData, VenueHosts
from venues.hyperliquid import HyperliquidMarketData
from venues.paradex import ParadexMarketData
from venues.vest import VestMarketData


def a_trade(sent: int, vest: int, paradex: int, client_order_id: int = 1) -> dict[str, Any]:
    return {
        "venue": "vest",
        "sent_mono_ns": sent,
        "arrived_mono_ns": {"vest": vest, "paradex": paradex},
        "client_order_ids": {"vest": str(client_order_id), "paradex": f"x-{client_order_id + 1}"},
    }


def test_the_slower_leg_is_what_counts() -> None:
    """A trade is open to risk until its second order has arrived, whichever venue that is."""
    trades = [a_trade(0, 10_000, 30_000), a_trade(100_000, 150_000, 110_000)]

    found = seen_by_the_venues(trades)

    assert (found["both legs"].p50, found["both legs"].max) == (50.0, 50.0)
    assert (found["first leg"].p50, found["gap between legs"].max) == (10.0, 40.0)


def test_percentiles_are_those_of_the_samples() -> None:
    row = summarise([number * 1_000 for number in range(1, 1_001)])

    assert (row.p50, row.p90, row.p99, row.max, row.trades) == (501.0, 901.0, 991.0, 1000.0, 1000)


def test_stages_add_up_to_the_way_from_the_venue_to_the_wire() -> None:
    """A stage that is left out would make the sum too small, and the fault invisible."""
    line = {
        "event": "signal_stages",
        "client_order_ids": [7, 8],
        "recv_mono_ns": 11_000,
        "publish_mono_ns": 13_000,
        "detector_mono_ns": 16_000,
        "decided_mono_ns": 20_000,
        "executor_mono_ns": 25_000,
        "checked_mono_ns": 31_000,
        "sent_mono_ns": [45_000, 38_000],
    }

    parts = stages([a_trade(10_000, 50_000, 60_000, client_order_id=7)], [line])

    assert [row.p50 for row in parts.values()] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 7.0]


@pytest.mark.parametrize("first", ["vest", "hyperliquid"])
@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("is_entry", [True, False])
def test_one_frame_of_one_venue_crosses_the_threshold(first: str, is_first: bool, is_entry: bool) -> None:
    """Read by the product's own protocols: short of the threshold before the frame, past it after."""
    hosts = VenueHosts("http://localhost", "ws://localhost", "ws://localhost")
    paradex, market = ParadexMarketData(hosts, {"BTC-USD-PERP": 1}), Market(0, first)
    paradex.connected(0)
    other: MarketData
    if first == "vest":
        other = VestMarketData(hosts, {"BTC-PERP": 0})
    else:
        other = HyperliquidMarketData(hosts, {"BTC": 0})
        other.connected(0)

    def spread_bps(*legs: str) -> float:
        for leg in legs:
            if leg == "paradex":
                paradex.receive(market.paradex_bbo(is_sbe=True), True, 1)
            elif leg == "vest":
                other.receive(market.vest_depth(), True, 1)
            else:
                other.receive(market.hyperliquid_book(), False, 1)
                other.receive(market.hyperliquid_bbo(), False, 1)
        tops.update({top.instrument_id: top for top in (*other.take_tops(), *paradex.take_tops())})
        assert other.take_faults() == []
        paid, got = (tops[0].ask_e8, tops[1].bid_e8) if is_entry else (tops[0].bid_e8, tops[1].ask_e8)
        return float(10_000 * (got - paid) / paid)

    tops: dict[int, Any] = {}
    market.approach(is_entry=is_entry)
    before_bps = spread_bps(first, "paradex")
    moved = first if is_first else "paradex"
    market.cross(is_entry=is_entry, venue=moved)
    after_bps = spread_bps(moved)

    if is_entry:
        assert before_bps < ENTRY_BPS <= after_bps
    else:
        assert before_bps > EXIT_BPS >= after_bps


def test_frames_are_as_large_as_the_captured_ones() -> None:
    """Parsing is part of what is measured; 268 B, 77 B and 960 B are the venues' own."""
    market = Market(0)

    assert len(market.paradex_bbo(is_sbe=True)) == 69  # the captured ones of this market, too
    assert 220 <= len(market.paradex_bbo(is_sbe=False)) <= 290
    assert 900 <= len(market.vest_depth()) <= 1_100
    assert len(msgspec.json.decode(market.vest_depth())["data"]["bids"]) == 20


@pytest.mark.parametrize("first", ["vest", "hyperliquid"])
def test_the_whole_product_is_measured_over_real_sockets(
    first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trades through every process: each stage of each is there, and armed orders were taken."""
    variant = Variant("tandem", tls=True, idle="park", awake=False, first=first)
    options = argparse.Namespace(
        trades=20, warm_up=2, gap_ms=60.0, keep=tmp_path, only="x", runs=1, referee=False
    )

    found = wire_to_wire.measure(variant, options)
    found["load"] = 1.0

    assert found["wire"]["both legs"]["trades"] == 20
    assert len(found["stages"]) == 8
    assert all(row["trades"] == 20 for row in found["stages"].values())
    assert found["hits"] > 0
    monkeypatch.setattr(wire_to_wire, "RESULTS", tmp_path)
    wire_to_wire.record({variant.name: [found]}, options)
    assert variant.name in draw(tmp_path / "plot.svg", {variant.name: found["wire"]["both legs"]}).read_text()
