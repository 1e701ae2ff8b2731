"""three-venues.yaml as shipped: each pair of the three venues trades, all of them at once.

As shipped but for the quote currencies, which are compared by a live rate instead of one for one.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from settings import KNOWN_VENUES, PROJECT, load_raw, parse_settings
from tests.instance import Instance, Line, a_directory, free_ports, memory_dir, write_config

SHIPPED = PROJECT / "three-venues.yaml"
PUBLISHED_BPS = 4.5  # of Paradex and Hyperliquid alike


def own_config(directory: Path) -> Path:
    """The shipped file with a memory, a disk and ports of its own."""
    config = load_raw(SHIPPED)
    own = yaml.safe_load(write_config(directory).read_text())
    config["bot_id"] = own["bot_id"]
    config["quote"] = {"usd_per_usdc": {"venue": "paradex", "symbol": "USDC-USD-PERP"}}
    config["persistence"] = {"var_dir": own["persistence"]["var_dir"]}
    config["runtime"] |= {"memory_dir": own["runtime"]["memory_dir"], "pin": {}}
    config["simulator"]["ports"] = dict(zip(KNOWN_VENUES, free_ports(len(KNOWN_VENUES)), strict=True))
    path = directory / "three.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


def test_it_pairs_every_venue_with_every_other() -> None:
    settings = parse_settings(load_raw(SHIPPED), str(SHIPPED))
    pairs = {frozenset(leg.venue for leg in pair.legs) for pair in settings.pairs}
    assert pairs == {frozenset(two) for two in (("vest", "paradex"), ("vest", "hyperliquid"),
                                                ("paradex", "hyperliquid"))}  # fmt: skip


def test_all_of_them_open_and_close_trades_at_once() -> None:
    with a_directory() as directory:
        path = own_config(directory)
        instance = Instance(path)
        closed: dict[str, list[Line]] = defaultdict(list)

        def has_closed_everywhere(line: Line) -> bool:
            if line["event"] == "trade_closed" and line["entry_spread_bps"] != 0:
                closed[str(line["pair"])].append(line)
            return set(closed) == {"btc", "eth", "sol"}

        try:
            instance.wait_for(has_closed_everywhere)
        finally:
            exit_code = instance.stop()
            shutil.rmtree(memory_dir(path), ignore_errors=True)

    assert exit_code == 0
    assert instance.events("halted") == []
    fees = fee_bps_by_pair(instance.lines)
    assert fees["sol"] == pytest.approx(PUBLISHED_BPS, abs=0.1)
    assert (fees["btc"], fees["eth"]) == pytest.approx((0.1, 0.1), abs=0.05)
    for pair in ("btc", "sol"):  # of which one leg is in USD and one in USDC
        rates = [rate for line in closed[pair] for rate in line["quote_rates_e8"]]
        assert all(0 < abs(rate - 10**8) < 10_000 for rate in rates)
    assert "quote_rates_e8" not in closed["eth"][0]
    ended = [line for line in closed["sol"] if line["net_e8"] > 0]
    assert ended, "at the fees that venues publish, a trade of this market is to pay"


def fee_bps_by_pair(lines: list[Line]) -> dict[str, float]:
    """What fills have cost, over their value."""
    sums: dict[str, list[Any]] = defaultdict(lambda: [0, 0])
    for line in lines:
        if line["event"] == "fill" and line["fee_e8"]:
            sums[str(line["pair"])][0] += line["fee_e8"]
            sums[str(line["pair"])][1] += line["size_e8"] * line["price_e8"] // 10**8
    return {pair: 10_000 * fee_e8 / value_e8 for pair, (fee_e8, value_e8) in sums.items()}
